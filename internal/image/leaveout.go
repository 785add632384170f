package image

import (
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// annotationAttests names, on the descriptor of an attestation, the digest of the image that it is about
// (BuildKit, docs/attestations/attestation-storage.md).
const annotationAttests = "vnd.docker.reference.digest"

// LeaveOut returns the tree without the artifacts whose kind match accepts, without the attestations of those, and with
// the indexes that listed them written anew, so that the root's digest changes. It also returns what was left out, each
// manifest once. Neither the root nor anything that a container can run from is ever left out. The same tree yields the
// same bytes in every release of this program: a second run must find what the first one pushed.
//
// It returns an error where an index would have no manifest left.
func (t Tree) LeaveOut(match func(mediaType string) bool) (Tree, []Manifest, error) {
	l := leaveOut{tree: t, left: map[digest.Digest]bool{}, below: map[digest.Digest]Manifest{}}
	for _, m := range t.Manifests() {
		if m.Digest != t.Root.Digest && !m.runs() && match(m.Kind()) {
			l.left[m.Digest] = true
		}
	}
	if len(l.left) == 0 {
		return t, nil, nil
	}
	l.follow()
	root, err := l.rewrite(t.Root)
	if err != nil {
		return Tree{}, nil, err
	}
	var left []Manifest
	for _, m := range t.Manifests() {
		if l.left[m.Digest] {
			left = append(left, m)
		}
	}
	return NewTree(root, l.below), left, nil
}

// runs reports whether a container can run from the manifest, or from one that it lists.
func (m Manifest) runs() bool {
	return m.IsContainerImage() || m.IsIndex() && m.ArtifactType == ""
}

// leaveOut is one call of LeaveOut.
type leaveOut struct {
	tree  Tree
	left  map[digest.Digest]bool
	below map[digest.Digest]Manifest // what the new tree consists of
}

// follow leaves out what is about something that is left out, which may be attested or signed itself.
func (l *leaveOut) follow() {
	for before := -1; before < len(l.left); {
		before = len(l.left)
		for _, m := range l.tree.Manifests() {
			for _, child := range m.Children {
				about := digest.Digest(child.Annotations[annotationAttests])
				if l.left[about] || l.left[l.tree.manifests[child.Digest].Subject] {
					l.left[child.Digest] = true
				}
			}
		}
	}
}

// rewrite returns the manifest without what is left out below it.
func (l *leaveOut) rewrite(m Manifest) (Manifest, error) {
	var kept []ocispec.Descriptor
	changed := map[digest.Digest]Manifest{} // by the digest that is listed
	for _, child := range m.Children {
		if l.left[child.Digest] {
			continue
		}
		kept = append(kept, child)
		if err := l.rewriteChild(child.Digest, changed); err != nil {
			return Manifest{}, err
		}
	}
	switch {
	case len(kept) == len(m.Children) && len(changed) == 0:
		return m, nil
	case len(kept) == 0:
		return Manifest{}, fmt.Errorf("the index %s would have no manifest left", m.Digest)
	}
	return m.withChildren(kept, changed)
}

// rewriteChild keeps a listed manifest, and adds it to changed if it is another one now.
func (l *leaveOut) rewriteChild(listed digest.Digest, changed map[digest.Digest]Manifest) error {
	manifest, known := l.tree.manifests[listed]
	if !known {
		return nil
	}
	rewritten, err := l.rewrite(manifest)
	if err != nil {
		return err
	}
	l.below[rewritten.Digest] = rewritten
	if rewritten.Digest != listed {
		changed[listed] = rewritten
	}
	return nil
}

// withChildren returns the index with the kept children, in their order, of which those in changed have been replaced.
// Every other member of the document stays. Members are sorted by name and have no white space between them.
func (m Manifest) withChildren(kept []ocispec.Descriptor, changed map[digest.Digest]Manifest) (Manifest, error) {
	var document map[string]json.RawMessage
	var listed []map[string]json.RawMessage
	if err := json.Unmarshal(m.Raw, &document); err != nil {
		return Manifest{}, err
	}
	if err := json.Unmarshal(document["manifests"], &listed); err != nil {
		return Manifest{}, err
	}
	document["manifests"], _ = json.Marshal(m.replaced(listed, kept, changed))
	raw, err := json.Marshal(document)
	if err != nil {
		return Manifest{}, err
	}
	return ParseManifest(raw, m.MediaType)
}

// replaced returns those of the index's listed descriptors that are kept, with the digest and size of what replaces them.
func (m Manifest) replaced(
	listed []map[string]json.RawMessage, kept []ocispec.Descriptor, changed map[digest.Digest]Manifest,
) []map[string]json.RawMessage {
	stays := map[digest.Digest]bool{}
	for _, child := range kept {
		stays[child.Digest] = true
	}
	children := make([]map[string]json.RawMessage, 0, len(kept))
	for i, child := range m.Children {
		if !stays[child.Digest] {
			continue
		}
		if manifest, isReplaced := changed[child.Digest]; isReplaced {
			listed[i]["digest"], _ = json.Marshal(manifest.Digest)
			listed[i]["size"], _ = json.Marshal(manifest.Size)
		}
		children = append(children, listed[i])
	}
	return children
}
