package image

import "github.com/opencontainers/go-digest"

// PushFirst returns the manifests that a registry must have, each by its own digest, before the root is pushed: those
// whose size or media type differs from what their index says, which an engine would send cut or mistyped; those that
// refer to another manifest or are referred to, because GitLab's registry before 4.42 refuses a manifest whose subject
// it does not have; and those of a kind that the registry may refuse, so that little has been moved when it does.
// What a manifest lists, or refers to, comes before it. The result is empty for most images.
func (t Tree) PushFirst(mayBeRefused func(kind string) bool) []Manifest {
	first := t.wantedFirst(mayBeRefused)
	if len(first) == 0 {
		return nil
	}
	var ordered []Manifest
	seen := map[digest.Digest]bool{t.Root.Digest: true}
	for _, child := range t.Root.Children {
		t.postorder(child.Digest, seen, func(m Manifest) {
			if first[m.Digest] {
				ordered = append(ordered, m)
			}
		})
	}
	return ordered
}

// postorder visits a manifest after its subject and after what it lists, unless it was seen before.
func (t Tree) postorder(d digest.Digest, seen map[digest.Digest]bool, visit func(Manifest)) {
	m, known := t.manifests[d]
	if !known || seen[d] {
		return
	}
	seen[d] = true
	t.postorder(m.Subject, seen, visit)
	for _, child := range m.Children {
		t.postorder(child.Digest, seen, visit)
	}
	visit(m)
}

// wantedFirst returns the digests of the manifests that PushFirst is about.
func (t Tree) wantedFirst(mayBeRefused func(kind string) bool) map[digest.Digest]bool {
	first := map[digest.Digest]bool{}
	for _, m := range t.Manifests() {
		for _, child := range m.Children {
			manifest, known := t.manifests[child.Digest]
			if known && (child.Size != manifest.Size || child.MediaType != manifest.MediaType) {
				first[child.Digest] = true
			}
		}
		if m.Subject != "" {
			first[m.Digest], first[m.Subject] = true, true
		}
		if !m.IsIndex() && (mayBeRefused(m.Kind()) || mayBeRefused(m.Config.MediaType)) {
			first[m.Digest] = true
		}
	}
	return first
}
