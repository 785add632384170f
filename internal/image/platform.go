package image

import (
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Pick returns the tree of the first manifest for the platform among all the indexes of the tree.
func (t Tree) Pick(wanted ocispec.Platform) (single Tree, found bool) {
	for _, manifest := range t.Manifests() {
		for _, child := range manifest.Children {
			if child.Platform != nil && !IsIndex(child.MediaType) && Fits(wanted, *child.Platform) {
				return NewTree(t.manifests[child.Digest], t.manifests), true
			}
		}
	}
	return Tree{}, false
}

// Fits reports whether a platform is the one wanted, and of the version of Windows, or the beginning of one, that is
// wanted: containerd's matchers compare versions on Windows alone.
func Fits(wanted, platform ocispec.Platform) bool {
	return platforms.OnlyStrict(wanted).Match(platform) &&
		(wanted.OSVersion == "" || strings.HasPrefix(platform.OSVersion+".", wanted.OSVersion+"."))
}

// Platforms lists those of the tree's children that have one, for messages.
func (t Tree) Platforms() []string {
	var names []string
	for _, manifest := range t.Manifests() {
		for _, child := range manifest.Children {
			if child.Platform != nil && child.Platform.OS != "unknown" {
				names = append(names, platforms.FormatAll(*child.Platform))
			}
		}
	}
	return names
}
