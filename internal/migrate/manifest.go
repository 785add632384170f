package migrate

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ParseManifest reads an image manifest or an index, of Docker or of OCI, and computes its digest from its bytes.
// mediaType is what the registry says of it; where that is empty the document's own mediaType counts,
// which an OCI index need not have.
func ParseManifest(raw []byte, mediaType string) (Manifest, error) {
	var document struct {
		MediaType    string               `json:"mediaType"`
		ArtifactType string               `json:"artifactType"`
		Config       ocispec.Descriptor   `json:"config"`
		Layers       []ocispec.Descriptor `json:"layers"`
		Manifests    []ocispec.Descriptor `json:"manifests"`
		Subject      *ocispec.Descriptor  `json:"subject"`
		Annotations  map[string]string    `json:"annotations"`
	}
	if err := json.Unmarshal(raw, &document); err != nil {
		return Manifest{}, fmt.Errorf("manifest is not valid JSON: %w", err)
	}
	if err := validDigests(document.Config, document.Subject, slices.Concat(document.Layers, document.Manifests)); err != nil {
		return Manifest{}, err
	}
	if mediaType == "" {
		mediaType = document.MediaType
	}
	if mediaType == "" && document.Manifests != nil {
		mediaType = ocispec.MediaTypeImageIndex
	}
	m := Manifest{
		Descriptor: ocispec.Descriptor{
			MediaType:    mediaType,
			Digest:       digest.FromBytes(raw),
			Size:         int64(len(raw)),
			ArtifactType: document.ArtifactType,
			Annotations:  document.Annotations,
		},
		Raw:      raw,
		Config:   document.Config,
		Layers:   document.Layers,
		Children: document.Manifests,
	}
	if document.Subject != nil {
		m.Subject = document.Subject.Digest
	}
	return m, nil
}

// validDigests refuses what no registry could answer for. An index has no config, and not everything a subject.
func validDigests(config ocispec.Descriptor, subject *ocispec.Descriptor, listed []ocispec.Descriptor) error {
	if config.Digest != "" {
		listed = append(listed, config)
	}
	if subject != nil {
		listed = append(listed, *subject)
	}
	for _, descriptor := range listed {
		if err := descriptor.Digest.Validate(); err != nil {
			return fmt.Errorf("manifest lists the digest %q: %w", descriptor.Digest, err)
		}
	}
	return nil
}

// IsIndex reports whether the manifest lists other manifests: a Docker manifest list or an OCI index.
func (m Manifest) IsIndex() bool { return isIndex(m.MediaType) }

func isIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == mediaTypeDockerList
}

// Media types of Docker's image manifest, version 2 schema 2 (distribution, docs/spec/manifest-v2-2.md).
const (
	mediaTypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	mediaTypeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	mediaTypeDockerConfig   = "application/vnd.docker.container.image.v1+json"
	mediaTypeDockerLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// isContainerImage reports whether the manifest is an image that containers run from, not some other artifact.
func (m Manifest) isContainerImage() bool {
	return m.Config.MediaType == ocispec.MediaTypeImageConfig || m.Config.MediaType == mediaTypeDockerConfig
}

// Tree is a manifest and all that it lists, by digest.
type Tree struct {
	Root      Manifest
	manifests map[digest.Digest]Manifest
}

// NewTree makes a tree of a root and the manifests below it; what root does not reach is left out.
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

// Leaves returns the manifests of the tree that are no index, each once, in the order of their listing.
func (t Tree) Leaves() []Manifest {
	return t.walk(func(m Manifest) bool { return !m.IsIndex() })
}

// Manifests returns all manifests of the tree, each once, the root first.
func (t Tree) Manifests() []Manifest {
	return t.walk(func(Manifest) bool { return true })
}

// digests are those of all manifests of the tree, the root's first.
func (t Tree) digests() []digest.Digest {
	var digests []digest.Digest
	for _, m := range t.Manifests() {
		digests = append(digests, m.Digest)
	}
	return digests
}

// without returns the digests of the tree's manifests that other does not have.
func (t Tree) without(other Tree) []digest.Digest {
	var digests []digest.Digest
	for _, m := range t.Manifests() {
		if _, has := other.manifests[m.Digest]; !has {
			digests = append(digests, m.Digest)
		}
	}
	return digests
}

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
