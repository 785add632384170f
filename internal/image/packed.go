package image

import "github.com/opencontainers/go-digest"

// PackedTree is a tree as the bytes of its manifests, the root first. It takes a third of the memory of a Tree.
type PackedTree []packedManifest

type packedManifest struct {
	mediaType string
	raw       []byte
}

// Pack returns the tree as bytes.
func (t Tree) Pack() PackedTree {
	manifests := t.Manifests()
	packed := make(PackedTree, len(manifests))
	for i, m := range manifests {
		packed[i] = packedManifest{m.MediaType, m.Raw}
	}
	return packed
}

// Unpack returns the tree, or an error if one of its manifests is invalid.
func (p PackedTree) Unpack() (Tree, error) {
	var root Manifest
	manifests := make(map[digest.Digest]Manifest, len(p))
	for i, packed := range p {
		m, err := ParseManifest(packed.raw, packed.mediaType)
		if err != nil {
			return Tree{}, err
		}
		if i == 0 {
			root = m
		}
		manifests[m.Digest] = m
	}
	return NewTree(root, manifests), nil
}

// Size returns the bytes of the manifests.
func (p PackedTree) Size() int64 {
	size := int64(0)
	for _, packed := range p {
		size += int64(len(packed.raw))
	}
	return size
}
