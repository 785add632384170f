package image

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
func (m Manifest) IsIndex() bool { return IsIndex(m.MediaType) }

func IsIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == MediaTypeDockerIndex
}

// Media types of Docker's image manifest, version 2 schema 2 (distribution, docs/spec/manifest-v2-2.md).
const (
	MediaTypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	MediaTypeDockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
	MediaTypeDockerConfig   = "application/vnd.docker.container.image.v1+json"
	MediaTypeDockerLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// IsContainerImage reports whether the manifest is an image that containers run from, not some other artifact.
func (m Manifest) IsContainerImage() bool {
	return m.Config.MediaType == ocispec.MediaTypeImageConfig || m.Config.MediaType == MediaTypeDockerConfig
}

// Kind names an artifact by what says most about it.
func (m Manifest) Kind() string {
	if m.ArtifactType != "" {
		return m.ArtifactType
	}
	return m.Config.MediaType
}

// Blobs are what a manifest's image consists of, its config first.
func (m Manifest) Blobs() []ocispec.Descriptor {
	if m.IsIndex() {
		return nil
	}
	return append([]ocispec.Descriptor{m.Config}, m.Layers...)
}

// Manifest is an image manifest or an index, as the source registry holds it.
type Manifest struct {
	ocispec.Descriptor // MediaType, Digest and Size of the manifest itself
	Raw                []byte
	Config             ocispec.Descriptor   // empty for an index
	Layers             []ocispec.Descriptor // none for an index
	Children           []ocispec.Descriptor // of an index, in its order
	Subject            digest.Digest        // empty where there is none
}
