package migrate

import "github.com/opencontainers/go-digest"

// waves puts what refers to an image behind that image: GitLab may refuse a manifest whose subject it does not have.
// Within a wave the order stays as it is: images of one repository share most blobs, and what they share need not be
// kept for long when they are copied one after the other.
func waves(tasks []*task) [][]*task {
	depths := subjectDepths(tasks)
	var ordered [][]*task
	for _, t := range tasks {
		depth := depths[t]
		for len(ordered) <= depth {
			ordered = append(ordered, nil)
		}
		if t.refusal == nil {
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
func subjectDepths(tasks []*task) map[*task]int {
	byDigest := map[within]*task{}
	for _, t := range tasks {
		for _, d := range t.members {
			byDigest[within{t.image.Repository.Name, d}] = t
		}
	}
	for _, t := range tasks { // what has a tag of its own arrives with it
		if t.referrers != nil {
			byDigest[within{t.image.Repository.Name, t.image.Digest}] = t
		}
	}
	subject := func(t *task) *task { return byDigest[within{t.image.Repository.Name, t.image.Subject}] }
	depths := map[*task]int{}
	for _, t := range tasks {
		for s := subject(t); s != nil && s != t && depths[t] < len(tasks); s = subject(s) {
			depths[t]++
		}
	}
	return depths
}
