package plan

import (
	"github.com/opencontainers/go-digest"
)

// Waves puts what refers to an image behind that image: GitLab may refuse a manifest whose subject it does not have.
// Within a wave the order stays as it is: images of one repository share most blobs, and what they share need not be
// kept for long when they are copied one after the other.
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

// within names a digest of a repository.
type within struct {
	repository string
	digest     digest.Digest
}

// subjectDepths counts how many subjects stand before each image that has one.
func subjectDepths(items []*Item) map[*Item]int {
	byDigest := map[within]*Item{}
	for _, t := range items {
		for _, d := range t.members {
			byDigest[within{t.Image.Repository.Name, d}] = t
		}
	}
	for _, t := range items { // what has a tag of its own arrives with it
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
