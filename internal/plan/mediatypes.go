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
		unknown = append(unknown, unknownTo(m)...)
	}
	slices.Sort(unknown)
	return slices.Compact(unknown)
}

// unknownTo returns those of the manifest's artifact type and config type that GitLab's registry is not known to accept.
func unknownTo(m image.Manifest) []string {
	return slices.DeleteFunc([]string{m.ArtifactType, m.Config.MediaType}, KnownMediaType)
}

// OnTrial reports whether the target may refuse the manifest for its media type, and can be asked before anything else of
// the tree is moved: it lists nothing, and the tree does not contain its subject.
func OnTrial(m image.Manifest, tree image.Tree) bool {
	return len(unknownTo(m)) > 0 && !m.IsIndex() && tree.Manifest(m.Subject).Digest == ""
}

// trialBytes returns how many bytes of the tree have been moved when the target has answered for all media types that it
// may refuse: those of the manifests that are on trial, or all.
func trialBytes(tree image.Tree) int64 {
	bytes := int64(0)
	for _, m := range tree.Manifests() {
		if len(unknownTo(m)) == 0 {
			continue
		}
		if m.Digest == tree.Root.Digest || !OnTrial(m, tree) {
			return bytesOf(tree.Manifests()...)
		}
		bytes += bytesOf(m)
	}
	return bytes
}

// bytesOf returns the bytes of the manifests with their blobs.
func bytesOf(manifests ...image.Manifest) int64 {
	bytes := int64(0)
	for _, m := range manifests {
		bytes += int64(len(m.Raw))
		for _, blob := range m.Blobs() {
			bytes += min(max(0, blob.Size), MaxBlob)
		}
	}
	return bytes
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
