package docker

import (
	"slices"
	"strings"
)

// References returns the references of an image from what the engine calls its tags and digests. The classic store has a
// reference for each digest. The containerd store lists its digest references among the tags, and makes up a digest for each
// tag.
func References(tags, digests []string, classic bool) []string {
	var references []string
	repositories := map[string]bool{}
	for _, tag := range tags {
		if isReference(tag) {
			references = append(references, tag)
			repositories[RepositoryOf(tag)] = true
		}
	}
	for _, d := range digests {
		known := slices.Contains(references, d) || !classic && repositories[RepositoryOf(d)]
		if isReference(d) && !known {
			references = append(references, d)
		}
	}
	return references
}

// isReference rejects what engines write for an image without a name: "<none>:<none>", or its bare digest.
func isReference(text string) bool {
	return !strings.HasPrefix(text, "<none>") && !strings.HasPrefix(text, "sha256:")
}

// RepositoryOf returns the reference without its tag or digest.
func RepositoryOf(reference string) string {
	reference, _, _ = strings.Cut(reference, "@")
	if colon := strings.LastIndex(reference, ":"); colon > strings.LastIndex(reference, "/") {
		reference = reference[:colon]
	}
	return reference
}
