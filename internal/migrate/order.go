package migrate

import "github.com/opencontainers/go-digest"

// waves puts what refers to an image behind that image: GitLab may refuse a manifest whose subject it does not have.
// Within a wave the order stays as it is: images of one repository share most blobs, and what they share need not be
// kept for long when they are copied one after the other.
func waves(items []*item) [][]*item {
	depths := subjectDepths(items)
	var ordered [][]*item
	for _, t := range items {
		depth := depths[t]
		for len(ordered) <= depth {
			ordered = append(ordered, nil)
		}
		if !t.hopeless() {
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
func subjectDepths(items []*item) map[*item]int {
	byDigest := map[within]*item{}
	for _, t := range items {
		for _, d := range t.members {
			byDigest[within{t.image.Repository.Name, d}] = t
		}
	}
	for _, t := range items { // what has a tag of its own arrives with it
		if t.referrers != nil {
			byDigest[within{t.image.Repository.Name, t.image.Digest}] = t
		}
	}
	subject := func(t *item) *item { return byDigest[within{t.image.Repository.Name, t.image.Subject}] }
	depths := map[*item]int{}
	for _, t := range items {
		for s := subject(t); s != nil && s != t && depths[t] < len(items); s = subject(s) {
			depths[t]++
		}
	}
	return depths
}
