package plan

import (
	_ "embed"
	"slices"
	"strings"
	"sync"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

//go:embed mediatypes.txt
var mediaTypesFile string

// MediaTypesOf is the version of GitLab's registry whose media types KnownMediaType knows. Later versions accept more.
const MediaTypesOf = "GitLab container registry 4.32 (November 2025)"

// mediaTypes returns the media types of mediatypes.txt.
var mediaTypes = sync.OnceValue(func() map[string]bool {
	known := map[string]bool{}
	for line := range strings.Lines(mediaTypesFile) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			known[line] = true
		}
	}
	return known
})

// KnownMediaType reports whether GitLab's registry is known to accept manifests with the media type as their artifact
// type or config type. It accepts any media type for layers.
func KnownMediaType(mediaType string) bool { return mediaType == "" || mediaTypes()[mediaType] }

// unknownMediaTypes returns the artifact and config types of the tree that GitLab's registry is not known to accept,
// sorted.
func unknownMediaTypes(tree image.Tree) []string {
	var unknown []string
	for _, m := range tree.Manifests() {
		for _, mediaType := range []string{m.ArtifactType, m.Config.MediaType} {
			if !KnownMediaType(mediaType) {
				unknown = append(unknown, mediaType)
			}
		}
	}
	slices.Sort(unknown)
	return slices.Compact(unknown)
}

// dispensable returns those of the media types without which the tree still has something to migrate.
func dispensable(tree image.Tree, unknown []string) []string {
	var can []string
	for _, mediaType := range unknown {
		rest, _, err := tree.LeaveOut(func(kind string) bool { return kind == mediaType })
		if err == nil && !slices.Contains(unknownMediaTypes(rest), mediaType) {
			can = append(can, mediaType)
		}
	}
	return can
}
