package plan

import (
	"cmp"
	"slices"
	"sort"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// Share is one job's part of the registry, where several jobs migrate it together. The zero value is all of it.
//
// The images stand in a line, those that share layers beside each other, and the line is cut into shares of about the
// same bytes. So every job finds the same shares by itself, and finds them again when it is retried. Where a tag was
// pushed meanwhile, each cut moves by the image's own bytes at the most, and from there to the best place nearby (see
// cutSlack); so images beside a cut may go to the next job, and all others stay. The exception is a repository that
// now has most of its bytes in common with another one, or no longer has: it moves as a whole.
type Share struct {
	Index int // of the job, 1 to Total
	Total int // of the jobs; with fewer than two, the share is everything
}

// tagWeight is what a tag counts beside its bytes, in bytes: it costs requests, however small the image is.
const tagWeight = 1 << 20

// cutSlack says how far a cut may lie from its place, so that it tears few layers apart: this part of a share.
const cutSlack = 16

// unit is what no cut parts, mostly a single image.
type unit struct {
	items  []*Item
	weight int64 // bytes; of a blob that others consist of, too, its part
}

// Of returns the share's items, in their order. The items are those of the whole registry, as a survey sorts them.
func (s Share) Of(items []*Item, blobs *Catalog) []*Item {
	if s.Total < 2 {
		return items
	}
	return inOrder(cut(lineUp(items, blobs), blobs, s.Total)[s.Index-1])
}

// inOrder returns the items of the units as a survey sorts them.
func inOrder(units []unit) []*Item {
	items := itemsOf(units)
	sort.Slice(items, func(i, j int) bool { return items[i].Before(items[j]) })
	return items
}

// lineUp puts the units in the order in which they are cut: repository by repository, and in each as they are sorted,
// because images that follow each other share most layers.
func lineUp(items []*Item, blobs *Catalog) []unit {
	repositories := ByRepository(items)
	var line []unit
	for _, i := range kinship(repositories, blobs) {
		line = append(line, unparted(repositories[i])...)
	}
	weigh(line, blobs)
	return line
}

// ByRepository splits sorted items.
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

// kinship returns the order of the repositories: by name, but one that has at least half of its bytes in common with
// an earlier one stands with that.
func kinship(repositories [][]*Item, blobs *Catalog) []int {
	home := make([]int, blobs.Len())    // by blob: the first repository that has it, from 1
	counted := make([]int, blobs.Len()) // by blob: the last one that has counted it, from 1
	head := make([]int, len(repositories))
	order := make([]int, len(repositories))
	for i, items := range repositories {
		total, shared := int64(0), map[int]int64{} // bytes, and those that are in an earlier repository
		for _, t := range items {
			for _, id := range t.Blobs {
				if counted[id] == i+1 {
					continue
				}
				counted[id], home[id] = i+1, cmp.Or(home[id], i+1)
				size := blobs.Size(id)
				total += size
				if home[id] != i+1 {
					shared[home[id]-1] += size
				}
			}
		}
		order[i], head[i] = i, i
		if first, bytes := largest(shared); bytes > 0 && 2*bytes >= total {
			head[i] = head[first]
		}
	}
	sort.SliceStable(order, func(i, j int) bool { return head[order[i]] < head[order[j]] })
	return order
}

// largest returns the entry with the most bytes, of several the one with the lowest key.
func largest(bytes map[int]int64) (key int, most int64) {
	for k, n := range bytes {
		if n > most || n == most && k < key {
			key, most = k, n
		}
	}
	return key, most
}

// unparted makes the units of one repository: what refers to an image has to be copied after it, and what several
// images' referrers are listed under is brought by one of them, so these stay together.
func unparted(items []*Item) []unit {
	concerned := referredTo(items)
	families, seen := newFamilies(len(items)), map[digest.Digest]int{}
	for i, t := range items {
		for _, d := range slices.Concat([]digest.Digest{t.Image.Digest}, t.members, t.refersTo()) {
			if other, known := seen[d]; known {
				families.join(other, i)
			} else if concerned[d] {
				seen[d] = i
			}
		}
	}
	var units []unit
	place := make([]int, len(items)) // of the unit, by its first task
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

// families has for each number one of its family that is not above it, and for the first of a family itself.
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

// referredTo are the digests that something of the repository refers to.
func referredTo(items []*Item) map[digest.Digest]bool {
	found := map[digest.Digest]bool{}
	for _, t := range items {
		for _, d := range t.refersTo() {
			found[d] = true
		}
	}
	for d := range items[0].Referrers { // which all items have in common
		found[d] = true
	}
	return found
}

// refersTo returns the subject of the image, and that of the referrers that it lists under a referrers tag.
func (i *Item) refersTo() []digest.Digest {
	var subjects []digest.Digest
	if i.Image.Subject != "" {
		subjects = append(subjects, i.Image.Subject)
	}
	for _, tag := range i.Image.Tags {
		if subject, suffix := image.SubjectOf(tag); subject != "" && suffix == "" {
			subjects = append(subjects, subject)
		}
	}
	return subjects
}

// weigh gives each unit its weight. A blob's bytes are divided among the images that consist of it, so that wherever
// the line is cut, like images weigh the same. What is refused weighs nothing: it is told, and not copied.
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
				line[i].weight += tagWeight * int64(len(t.Image.Tags))
			}
			for _, id := range t.Blobs {
				line[i].weight += blobs.Size(id) / int64(holders[id])
			}
		}
	}
}

// cut divides the line into so many shares, some of them empty where units are few or large.
func cut(line []unit, blobs *Catalog, total int) [][]unit {
	before := make([]int64, len(line)+1) // by place: the weight that stands before it
	for i, u := range line {
		before[i+1] = before[i] + u.weight
	}
	torn := tornBytes(line, blobs)
	shares := make([][]unit, total)
	from := 0
	for k := range shares {
		to := len(line)
		if k+1 < total {
			to = cutAt(before, torn, k+1, total)
		}
		shares[k], from = line[from:to], to
	}
	return shares
}

// tornBytes is, by place in the line, the size of the blobs that units on both sides of it consist of: two jobs would
// have to bring them.
func tornBytes(line []unit, blobs *Catalog) []int64 {
	first, last := make([]int32, blobs.Len()), make([]int32, blobs.Len()) // units, from 1
	for i, u := range line {
		for _, t := range u.items {
			for _, id := range t.Blobs {
				first[id], last[id] = cmp.Or(first[id], int32(i+1)), int32(i+1)
			}
		}
	}
	torn := make([]int64, len(line)+1)
	for id := range first {
		if first[id] < last[id] {
			size := blobs.Size(BlobID(id))
			torn[first[id]] += size
			torn[last[id]] -= size
		}
	}
	for i := 1; i < len(torn); i++ {
		torn[i] += torn[i-1]
	}
	return torn
}

// cutAt returns the place of the k-th cut: of those near k shares the one that tears the fewest bytes apart, which is
// the border of a repository where there is one.
func cutAt(before, torn []int64, k, total int) int {
	all := before[len(before)-1]
	share, rest := all/int64(total), all%int64(total)
	ideal := share*int64(k) + rest*int64(k)/int64(total)
	slack := share / cutSlack
	from, _ := slices.BinarySearch(before, ideal-slack)
	to, _ := slices.BinarySearch(before, ideal+slack+1)
	distance := func(i int) int64 { return max(before[i]-ideal, ideal-before[i]) }
	if from == to { // no place is near
		if distance(from-1) < distance(from) {
			return from - 1
		}
		return from
	}
	best := from
	for i := from + 1; i < to; i++ {
		if torn[i] < torn[best] || torn[i] == torn[best] && distance(i) < distance(best) {
			best = i
		}
	}
	return best
}
