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
	var visit func(d digest.Digest)
	visit = func(d digest.Digest) {
		m, known := t.manifests[d]
		if !known || seen[d] {
			return
		}
		seen[d] = true
		visit(m.Subject)
		for _, child := range m.Children {
			visit(child.Digest)
		}
		if first[d] {
			ordered = append(ordered, m)
		}
	}
	for _, child := range t.Root.Children {
		visit(child.Digest)
	}
	return ordered
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
