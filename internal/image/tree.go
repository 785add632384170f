package image

import (
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Tree is a manifest with everything that it lists, directly or through other indexes.
type Tree struct {
	Root      Manifest
	manifests map[digest.Digest]Manifest // the root included
}

// NewTree returns the tree of root. It leaves out what root does not reach, and what is not in below.
func NewTree(root Manifest, below map[digest.Digest]Manifest) Tree {
	t := Tree{Root: root, manifests: map[digest.Digest]Manifest{}}
	t.add(root, below)
	return t
}

func (t Tree) add(m Manifest, below map[digest.Digest]Manifest) {
	if _, seen := t.manifests[m.Digest]; seen {
		return
	}
	t.manifests[m.Digest] = m
	for _, child := range m.Children {
		if manifest, ok := below[child.Digest]; ok {
			t.add(manifest, below)
		}
	}
}

// Leaves returns the manifests that are not indexes, each once, in the order in which they are listed.
func (t Tree) Leaves() []Manifest {
	return t.walk(func(m Manifest) bool { return !m.IsIndex() })
}

// Manifests returns all manifests of the tree, each once, the root first.
func (t Tree) Manifests() []Manifest {
	return t.walk(func(Manifest) bool { return true })
}

// Manifest returns the manifest with the digest, or a zero Manifest if the tree does not contain it.
func (t Tree) Manifest(d digest.Digest) Manifest { return t.manifests[d] }

// Digests returns the digests of all manifests of the tree, the root's first.
func (t Tree) Digests() []digest.Digest {
	var digests []digest.Digest
	for _, m := range t.Manifests() {
		digests = append(digests, m.Digest)
	}
	return digests
}

// Without returns the digests of the manifests that are not in other.
func (t Tree) Without(other Tree) []digest.Digest {
	var digests []digest.Digest
	for _, m := range t.Manifests() {
		if _, has := other.manifests[m.Digest]; !has {
			digests = append(digests, m.Digest)
		}
	}
	return digests
}

// walk returns the manifests that want accepts, each once, parents before their children.
func (t Tree) walk(want func(Manifest) bool) []Manifest {
	var found []Manifest
	seen := map[digest.Digest]bool{}
	var visit func(d digest.Digest)
	visit = func(d digest.Digest) {
		m, known := t.manifests[d]
		if !known || seen[d] {
			return
		}
		seen[d] = true
		if want(m) {
			found = append(found, m)
		}
		for _, child := range m.Children {
			visit(child.Digest)
		}
	}
	visit(t.Root.Digest)
	return found
}

// Blobs returns the blobs of all leaves: one that several leaves list comes several times.
func (t Tree) Blobs() []ocispec.Descriptor {
	var all []ocispec.Descriptor
	for _, leaf := range t.Leaves() {
		all = append(all, leaf.Blobs()...)
	}
	return all
}
