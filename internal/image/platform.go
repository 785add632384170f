package image

import (
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Pick returns the tree of the first manifest that an index of the tree lists for the platform, and whether there is one.
// If the tree itself lacks that manifest, the root is what the index says of it.
func (t Tree) Pick(wanted ocispec.Platform) (single Tree, found bool) {
	for _, m := range t.Manifests() {
		for _, child := range m.Children {
			if child.Platform != nil && !IsIndex(child.MediaType) && Fits(wanted, *child.Platform) {
				root, held := t.manifests[child.Digest]
				if !held {
					root.Descriptor = child
				}
				return NewTree(root, t.manifests), true
			}
		}
	}
	return Tree{}, false
}

// Platforms returns the names of all platforms that the tree lists, in the order in which they are listed.
func (t Tree) Platforms() []string {
	var names []string
	for _, m := range t.Manifests() {
		for _, child := range m.Children {
			if child.Platform != nil && child.Platform.OS != "unknown" { // which attestations have
				names = append(names, platforms.FormatAll(*child.Platform))
			}
		}
	}
	return names
}

// Fits reports whether platform is the wanted one. A wanted OS version may be a prefix: containerd's matchers compare
// versions on Windows only.
func Fits(wanted, platform ocispec.Platform) bool {
	return platforms.OnlyStrict(wanted).Match(platform) &&
		(wanted.OSVersion == "" || strings.HasPrefix(platform.OSVersion+".", wanted.OSVersion+"."))
}
