package plan

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// ReferrersList describes an item that brings the referrers of one subject: an index under the subject's referrers tag
// lists them. There clients find them, and GitLab's garbage collection sees that they are in use.
type ReferrersList struct {
	Subject digest.Digest
	Count   int             // referrers of the subject
	Roots   []digest.Digest // those of them that can be copied, the oldest first
	Broken  error           // why the others cannot be copied, and therefore nothing is; nil: there are no others
	unknown map[string]int  // by media type that GitLab's registry is not known to take: the roots that have it
}

// MayBeRefused reports whether GitLab's registry is not known to take the media types of all referrers.
func (l *ReferrersList) MayBeRefused() bool { return len(l.unknown) > 0 }

// referrers are what refers to one subject, according to the source's listing.
type referrers struct {
	images []image.Image
	tagged bool // the repository has a referrers tag of its own for the subject, which does not list them
}

// bySubject returns the repository's referrers by subject, including tagged ones, because clients look for them only
// under the referrers tag of the subject. Referrers that one of the repository's own referrers tags lists arrive with
// that tag. The result is nil if nothing in the repository has a subject.
func (p *Planner) bySubject(ctx context.Context, images []image.Image) map[digest.Digest]*referrers {
	concerned := slices.DeleteFunc(slices.Clone(images), func(i image.Image) bool {
		return i.Subject == "" || p.leavesOut(i.ArtifactType)
	})
	if len(concerned) == 0 {
		return nil
	}
	listed := p.ownReferrersTags(ctx, images, concerned)
	found := map[digest.Digest]*referrers{}
	for _, img := range concerned {
		own, tagged := listed[image.ReferrersTag(img.Subject)]
		if own[img.Digest] {
			continue
		}
		if found[img.Subject] == nil {
			found[img.Subject] = &referrers{tagged: tagged}
		}
		found[img.Subject].images = append(found[img.Subject].images, img)
	}
	return found
}

// ownReferrersTags returns what is below the referrers tags that the repository has for the subjects of the referring
// images, by tag.
func (p *Planner) ownReferrersTags(ctx context.Context, images, referring []image.Image) map[string]map[digest.Digest]bool {
	wanted := map[string]bool{}
	for _, img := range referring {
		wanted[image.ReferrersTag(img.Subject)] = true
	}
	own := map[string]digest.Digest{}
	for _, img := range images {
		for _, tag := range img.Tags {
			if wanted[tag] {
				own[tag] = img.Digest
			}
		}
	}
	listed := map[string]map[digest.Digest]bool{}
	for page := range slices.Chunk(slices.Sorted(maps.Keys(own)), planPage) {
		roots := make([]digest.Digest, len(page))
		for i, tag := range page {
			roots[i] = own[tag]
		}
		docs := p.read(ctx, images[0].Repository, roots)
		for i, tag := range page {
			listed[tag] = map[digest.Digest]bool{}
			for _, d := range image.NewTree(docs.read[roots[i]], docs.read).Digests() {
				listed[tag][d] = true
			}
		}
	}
	return listed
}

// countReferrers returns the number of referrers of the manifests.
func countReferrers(bySubject map[digest.Digest]*referrers, subjects []digest.Digest) int {
	n := 0
	for _, d := range subjects {
		if set := bySubject[d]; set != nil {
			n += len(set.images)
		}
	}
	return n
}

// dropCarried removes referrers that arrive with their subject because one index lists both, such as BuildKit
// attestations with a subject.
func dropCarried(bySubject map[digest.Digest]*referrers, items []*Item) {
	for _, i := range items {
		members := map[digest.Digest]bool{}
		for _, d := range i.members {
			members[d] = true
		}
		for _, subject := range i.members {
			set := bySubject[subject]
			if set == nil {
				continue
			}
			set.images = slices.DeleteFunc(set.images, func(img image.Image) bool { return members[img.Digest] })
			if len(set.images) == 0 {
				delete(bySubject, subject)
			}
		}
	}
}

// follow plans the referrers of the items of one repository, and their referrers in turn. The subjects are planned page
// by page, so that only the manifests of one page are in memory.
func (p *Planner) follow(ctx context.Context, items []*Item, bySubject map[digest.Digest]*referrers) {
	if bySubject == nil {
		return
	}
	dropCarried(bySubject, items)
	lists := map[digest.Digest]*Item{}
	all := items
	for latest := items; len(latest) > 0; {
		subjects := withoutList(latest, bySubject, lists)
		latest = nil
		for len(subjects) > 0 {
			page := referrersPage(subjects, bySubject)
			subjects = subjects[len(page):]
			for _, list := range p.lists(ctx, items[0], page, bySubject) {
				lists[list.List.Subject] = list
				latest = append(latest, list)
			}
		}
		all = slices.Concat(all, latest)
	}
	linkLists(all, lists)
	linkTagged(all)
}

// withoutList returns the subjects among the items' manifests that have referrers, but no list yet.
func withoutList(items []*Item, bySubject map[digest.Digest]*referrers, lists map[digest.Digest]*Item) []digest.Digest {
	var subjects []digest.Digest
	seen := map[digest.Digest]bool{}
	for _, i := range items {
		for _, d := range i.members {
			if bySubject[d] != nil && lists[d] == nil && !seen[d] {
				seen[d] = true
				subjects = append(subjects, d)
			}
		}
	}
	return subjects
}

// referrersPage returns the first of the subjects, as many as have planPage referrers together, but at least one.
func referrersPage(subjects []digest.Digest, bySubject map[digest.Digest]*referrers) []digest.Digest {
	images := 0
	for n, d := range subjects {
		if images += len(bySubject[d].images); n > 0 && images > planPage {
			return subjects[:n]
		}
	}
	return subjects
}

// lists plans the referrers of a page of subjects in the repository of the item beside.
func (p *Planner) lists(ctx context.Context, beside *Item, subjects []digest.Digest, bySubject map[digest.Digest]*referrers) []*Item {
	var roots []digest.Digest
	for _, subject := range subjects {
		for _, img := range bySubject[subject].images {
			if !img.Archived {
				roots = append(roots, img.Digest)
			}
		}
	}
	docs := p.read(ctx, beside.Image.Repository, roots)
	lists := make([]*Item, len(subjects))
	for at, subject := range subjects {
		lists[at] = &Item{
			Image: image.Image{
				Repository: beside.Image.Repository, Tags: []string{image.ReferrersTag(subject)}, MediaType: ocispec.MediaTypeImageIndex,
			},
			Target: beside.Target,
		}
		p.list(lists[at], subject, bySubject[subject], docs)
	}
	return lists
}

// list determines what the item brings of the subject's referrers.
func (p *Planner) list(i *Item, subject digest.Digest, found *referrers, docs documents) {
	i.List = &ReferrersList{Subject: subject, Count: len(found.images)}
	slices.SortStableFunc(found.images, func(a, b image.Image) int { return a.PushedAt.Compare(b.PushedAt) })
	var trees []image.Tree
	for _, img := range found.images {
		tree, err := docs.tree(img.Digest)
		switch {
		case img.Archived:
			i.List.Broken = fmt.Errorf("the referrer %s is archived in ECR: restore it, then run again", img.Digest)
		case found.tagged:
			i.List.Broken = fmt.Errorf("the repository's own tag %s does not list the referrer %s: add it there, or delete the tag",
				i.Image.Tags[0], img.Digest)
		case err != nil:
			i.List.Broken = err
		default:
			trees = append(trees, tree)
			i.List.add(tree)
		}
	}
	index, err := image.ReferrersIndex(trees)
	if err != nil {
		i.List.Broken = err
		return
	}
	if i.List.Broken == nil {
		i.Image.Digest = index.Root.Digest
		p.write(i, index)
		i.Unknown = slices.Sorted(maps.Keys(i.List.unknown))
	}
	i.members = index.Digests()
}

// add adds a referrer that can be copied.
func (l *ReferrersList) add(tree image.Tree) {
	l.Roots = append(l.Roots, tree.Root.Digest)
	for _, mediaType := range unknownMediaTypes(tree) {
		if l.unknown == nil {
			l.unknown = map[string]int{}
		}
		l.unknown[mediaType]++
	}
}

// linkLists has each list follow the items that have its subject.
func linkLists(items []*Item, lists map[digest.Digest]*Item) {
	for _, i := range items {
		for _, d := range i.members {
			if list := lists[d]; list != nil && list != i {
				list.After = append(list.After, i)
				i.Referrers = append(i.Referrers, list)
			}
		}
	}
}

// linkTagged has images that refer to others, and have a tag of their own, follow those.
func linkTagged(items []*Item) {
	wanted := map[digest.Digest][]*Item{}
	for _, i := range items {
		for _, d := range i.refersTo() {
			wanted[d] = append(wanted[d], i)
		}
	}
	for _, i := range items {
		if i.Rejected() {
			continue
		}
		for _, d := range i.digests() {
			for _, later := range wanted[d] {
				if later != i {
					later.After = append(later.After, i)
				}
			}
		}
	}
}

// Copies returns the items to copy: first those that are not rejected, then their referrer lists, each of them once.
func Copies(items []*Item) []*Item {
	var images, lists []*Item
	seen := map[*Item]bool{}
	for _, i := range items {
		if i.Rejected() {
			continue
		}
		images = append(images, i)
		for _, list := range i.Lists() {
			if !seen[list] {
				seen[list] = true
				lists = append(lists, list)
			}
		}
	}
	return append(images, lists...)
}
