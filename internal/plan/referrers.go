package plan

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// referrers lists what refers to one subject.
type referrers struct {
	Count   int
	Roots   []digest.Digest
	members []digest.Digest // of the roots' trees
	Broken  error           // why some of them are not among the roots
	unknown map[string]int  // by media type that GitLab's registry is not known to take: the roots that have it
}

// bySubject returns the repository's referrers by subject, including tagged ones, because clients look for them only
// under the referrers tag of the subject. Referrers that one of the repository's own referrers tags lists arrive with
// that tag. The result is nil if there are no referrers.
func (p *Planner) bySubject(ctx context.Context, images []image.Image) map[digest.Digest]*referrers {
	concerned := slices.DeleteFunc(slices.Clone(images), func(i image.Image) bool {
		return i.Subject == "" || p.leavesOut(i.ArtifactType)
	})
	if len(concerned) == 0 {
		return nil
	}
	own := ownReferrersTags(images, concerned)
	var roots []digest.Digest
	for _, img := range append(slices.Clone(concerned), slices.Collect(maps.Values(own))...) {
		if !img.Archived {
			roots = append(roots, img.Digest)
		}
	}
	docs := readManifests(ctx, p.Source, images[0].Repository, roots)
	p.reads.Add(int64(len(docs.read)))
	found := map[digest.Digest]*referrers{}
	for _, img := range concerned {
		listing, tagged := own[image.ReferrersTag(img.Subject)]
		if tagged && slices.Contains(image.NewTree(docs.read[listing.Digest], docs.read).Digests(), img.Digest) {
			continue
		}
		if found[img.Subject] == nil {
			found[img.Subject] = &referrers{}
		}
		tree, err := docs.tree(img.Digest)
		found[img.Subject].add(img, tree, tagged, err)
	}
	return found
}

// ownReferrersTags returns the images that have the referrers tag of a subject.
func ownReferrersTags(images, referring []image.Image) map[string]image.Image {
	wanted := map[string]bool{}
	for _, img := range referring {
		wanted[image.ReferrersTag(img.Subject)] = true
	}
	own := map[string]image.Image{}
	for _, img := range images {
		for _, tag := range img.Tags {
			if wanted[tag] {
				own[tag] = img
			}
		}
	}
	return own
}

// add adds a referrer, or records why it cannot be copied.
func (r *referrers) add(img image.Image, tree image.Tree, tagged bool, err error) {
	r.Count++
	switch {
	case img.Archived:
		r.Broken = fmt.Errorf("the referrer %s is archived in ECR: restore it, then run again", img.Digest)
	case tagged:
		r.Broken = fmt.Errorf("the repository's own tag %s does not list the referrer %s: add it there, or delete the tag",
			image.ReferrersTag(img.Subject), img.Digest)
	case err != nil:
		r.Broken = err
	default:
		r.Roots = append(r.Roots, img.Digest)
		r.members = append(r.members, tree.Digests()...)
		for _, mediaType := range unknownMediaTypes(tree) {
			if r.unknown == nil {
				r.unknown = map[string]int{}
			}
			r.unknown[mediaType]++
		}
	}
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
			before := len(set.Roots)
			set.Roots = slices.DeleteFunc(set.Roots, func(d digest.Digest) bool { return members[d] })
			if set.Count -= before - len(set.Roots); set.Count == 0 {
				delete(bySubject, subject)
			}
		}
	}
}

// countReferrers returns the number of referrers of the manifests.
func countReferrers(bySubject map[digest.Digest]*referrers, subjects []digest.Digest) int {
	n := 0
	for _, d := range subjects {
		if set := bySubject[d]; set != nil {
			n += set.Count
		}
	}
	return n
}

// Subjects returns the manifests of the image that have referrers, followed by those of the referrers.
func (i *Item) Subjects() []digest.Digest {
	var ordered []digest.Digest
	seen := map[digest.Digest]bool{}
	for queue := i.members; len(queue) > 0; queue = queue[1:] {
		set := i.Referrers[queue[0]]
		if set == nil || seen[queue[0]] {
			continue
		}
		seen[queue[0]] = true
		ordered = append(ordered, queue[0])
		queue = slices.Concat(queue, set.members)
	}
	return ordered
}

// ReadReferrers reads referrers, and returns the index that lists them, with everything below it. Its error is a
// *Failure if one of them cannot be read.
func ReadReferrers(ctx context.Context, source Source, repository image.Repository, roots []digest.Digest) (image.Tree, error) {
	docs := readManifests(ctx, source, repository, roots)
	trees := make([]image.Tree, len(roots))
	for i, root := range roots {
		var err error
		if trees[i], err = docs.tree(root); err != nil {
			return image.Tree{}, err
		}
	}
	return image.ReferrersIndex(trees)
}
