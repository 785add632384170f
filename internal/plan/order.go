package plan

import (
	"github.com/opencontainers/go-digest"
)

// Waves puts images that refer to another image into a later wave than their subject, because GitLab may refuse a manifest whose
// subject it does not have. Within a wave the order is kept: images of one repository share most blobs, and copied one after
// the other, they need those blobs in the engine for a short time only.
func Waves(items []*Item) [][]*Item {
	depths := subjectDepths(items)
	var ordered [][]*Item
	for _, t := range items {
		depth := depths[t]
		for len(ordered) <= depth {
			ordered = append(ordered, nil)
		}
		if !t.Rejected() {
			ordered[depth] = append(ordered[depth], t)
		}
	}
	return ordered
}

// within identifies a digest in a repository.
type within struct {
	repository string
	digest     digest.Digest
}

// subjectDepths returns the length of each item's chain of subjects.
func subjectDepths(items []*Item) map[*Item]int {
	byDigest := map[within]*Item{}
	for _, t := range items {
		for _, d := range t.members {
			byDigest[within{t.Image.Repository.Name, d}] = t
		}
	}
	for _, t := range items { // an image with its own tag arrives with that tag
		if t.Referrers != nil {
			byDigest[within{t.Image.Repository.Name, t.Image.Digest}] = t
		}
	}
	subject := func(t *Item) *Item { return byDigest[within{t.Image.Repository.Name, t.Image.Subject}] }
	depths := map[*Item]int{}
	for _, t := range items {
		for s := subject(t); s != nil && s != t && depths[t] < len(items); s = subject(s) {
			depths[t]++
		}
	}
	return depths
}
