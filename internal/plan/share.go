package plan

import (
	"slices"
	"sort"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// Share is one job's part of the registry when several jobs migrate it in parallel. The zero value is the whole
// registry.
//
// The images are lined up, repository by repository and from the oldest to the newest, so that images that share layers
// are neighbours. The line is cut into parts with about the same number of bytes. Every job computes the same parts,
// and computes them again when it is retried. A tag that is pushed in between moves each cut by at most that image's
// own bytes, so that only images next to a cut move to another job.
type Share struct {
	Index int // of the job, from 1 to Total
	Total int // number of jobs; below two, the share is everything
}

// tagWeight is what a tag counts in addition to its bytes, in bytes: every image takes requests, however small it is.
const tagWeight = 1 << 20

// Weight returns the work for a number of bytes and tags, in bytes.
func Weight(bytes int64, tags int) int64 { return bytes + tagWeight*int64(tags) }

// unit is a group of items that must stay together, usually a single item.
type unit struct {
	items  []*Item
	weight int64 // in bytes; the bytes of a blob are divided among the items that use it
}

// Of returns the items of the share in order. The items must be those of the whole registry, sorted as in a Survey.
func (s Share) Of(items []*Item, blobs *Catalog) []*Item {
	if s.Total < 2 {
		return items
	}
	return inOrder(cut(lineUp(items, blobs), s.Total)[s.Index-1])
}

// inOrder returns the items of the units, sorted as in a Survey.
func inOrder(units []unit) []*Item {
	items := itemsOf(units)
	sort.Slice(items, func(i, j int) bool { return items[i].Before(items[j]) })
	return items
}

// lineUp returns the units of all repositories in the order in which they are cut.
func lineUp(items []*Item, blobs *Catalog) []unit {
	var line []unit
	for _, ofOne := range ByRepository(items) {
		line = append(line, groupByReferrers(ofOne)...)
	}
	weigh(line, blobs)
	return line
}

// ByRepository splits items that are sorted as in a Survey.
func ByRepository(items []*Item) [][]*Item {
	var repositories [][]*Item
	for from, i := 0, 1; i <= len(items); i++ {
		if i == len(items) || items[i].Image.Repository.Name != items[from].Image.Repository.Name {
			repositories = append(repositories, items[from:i])
			from = i
		}
	}
	return repositories
}

// groupByReferrers returns the units of one repository. An image and its referrers are one unit, because the image has
// to be copied first. So are images with common referrers, which are copied once.
func groupByReferrers(items []*Item) []unit {
	concerned := referredTo(items)
	families, seen := newFamilies(len(items)), map[digest.Digest]int{}
	for i, t := range items {
		for _, d := range t.related() {
			if other, known := seen[d]; known {
				families.join(other, i)
			} else if concerned[d] {
				seen[d] = i
			}
		}
	}
	var units []unit
	place := make([]int, len(items)) // of the unit, by its first item
	for i, t := range items {
		if first := families.first(i); first != i {
			u := &units[place[first]]
			u.items = append(u.items, t)
			continue
		}
		place[i] = len(units)
		units = append(units, unit{items: items[i : i+1 : i+1]})
	}
	return units
}

// families is a union-find structure: each number points to a smaller one of its family, and the smallest to itself.
type families []int

func newFamilies(n int) families {
	f := make(families, n)
	for i := range f {
		f[i] = i
	}
	return f
}

func (f families) first(i int) int {
	for f[i] != i {
		f[i] = f[f[i]]
		i = f[i]
	}
	return i
}

func (f families) join(i, j int) {
	i, j = f.first(i), f.first(j)
	f[max(i, j)] = min(i, j)
}

// referredTo returns the digests that something in the repository refers to.
func referredTo(items []*Item) map[digest.Digest]bool {
	found := map[digest.Digest]bool{}
	for _, t := range items {
		for _, d := range t.refersTo() {
			found[d] = true
		}
		for _, list := range t.Lists() {
			found[list.List.Subject] = true
		}
	}
	return found
}

// related returns the digests of the item and of its referrers, and those that they refer to.
func (i *Item) related() []digest.Digest {
	all := slices.Concat([]digest.Digest{i.Image.Digest}, i.members, i.refersTo())
	for _, list := range i.Lists() {
		all = append(all, list.members...)
		all = append(all, list.List.Subject)
	}
	return all
}

// refersTo returns the subject of the image, and the subject of the referrers that it lists if it has a referrers tag of the
// repository's own. It is empty for the lists that are made here.
func (i *Item) refersTo() []digest.Digest {
	if i.List != nil {
		return nil
	}
	var subjects []digest.Digest
	if i.Image.Subject != "" {
		subjects = append(subjects, i.Image.Subject)
	}
	for _, tag := range i.Image.Tags {
		if subject, suffix := image.SubjectOf(tag); subject != "" && suffix == "" && subject != i.Image.Subject {
			subjects = append(subjects, subject)
		}
	}
	return subjects
}

// weigh sets the weight of each unit. The bytes of a blob are divided among the items that use it, so that similar
// items weigh the same wherever the line is cut. Rejected items have no weight: they are reported, not copied.
func weigh(line []unit, blobs *Catalog) {
	holders := make([]int32, blobs.Len())
	for _, u := range line {
		for _, t := range u.items {
			Count(holders, t.Blobs, 1)
		}
	}
	for i := range line {
		for _, t := range line[i].items {
			if !t.Rejected() {
				line[i].weight += Weight(0, len(t.Image.Tags))
			}
			for _, id := range t.Blobs {
				line[i].weight += blobs.Size(id) / int64(holders[id])
			}
		}
	}
}

// cut divides the line into total parts, making each cut at the place closest to the ideal. Some parts are empty if
// there are few units or large ones.
func cut(line []unit, total int) [][]unit {
	before := make([]int64, len(line)+1) // by place: the weight before it
	for i, u := range line {
		before[i+1] = before[i] + u.weight
	}
	parts := make([][]unit, total)
	from := 0
	for k := range parts {
		to := len(line)
		if k+1 < total {
			to = cutAt(before, k+1, total)
		}
		parts[k], from = line[from:to], to
	}
	return parts
}

// cutAt returns the place of the k-th cut.
func cutAt(before []int64, k, total int) int {
	all := before[len(before)-1]
	share, rest := all/int64(total), all%int64(total)
	ideal := share*int64(k) + rest*int64(k)/int64(total)
	at, _ := slices.BinarySearch(before, ideal)
	if at > 0 && ideal-before[at-1] < before[at]-ideal {
		return at - 1
	}
	return at
}
