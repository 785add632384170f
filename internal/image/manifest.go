package image

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Media types of Docker's Image Manifest Version 2, Schema 2 (distribution, docs/spec/manifest-v2-2.md).
const (
	MediaTypeDockerManifest     = "application/vnd.docker.distribution.manifest.v2+json"
	MediaTypeDockerIndex        = "application/vnd.docker.distribution.manifest.list.v2+json"
	MediaTypeDockerConfig       = "application/vnd.docker.container.image.v1+json"
	MediaTypeDockerLayer        = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	MediaTypeDockerForeignLayer = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
)

// Manifest is an image manifest or an index.
type Manifest struct {
	ocispec.Descriptor                      // of the manifest itself, with its artifact type and annotations
	Raw                []byte               // exactly as the registry serves it
	Config             ocispec.Descriptor   // zero for an index
	Layers             []ocispec.Descriptor // nil for an index
	Children           []ocispec.Descriptor // of an index, in the order in which it lists them
	Subject            digest.Digest        // of a referrer; empty otherwise
}

// document is what this program reads of a manifest or an index.
type document struct {
	MediaType    string               `json:"mediaType"`
	ArtifactType string               `json:"artifactType"`
	Config       ocispec.Descriptor   `json:"config"`
	Layers       []ocispec.Descriptor `json:"layers"`
	Manifests    []ocispec.Descriptor `json:"manifests"`
	Subject      *ocispec.Descriptor  `json:"subject"`
	Annotations  map[string]string    `json:"annotations"`
}

// ParseManifest parses a Docker or OCI image manifest or index, and computes its digest. mediaType is the type that the
// registry serves it with; if that is empty, the document's own mediaType counts, which an OCI index may omit.
func ParseManifest(raw []byte, mediaType string) (Manifest, error) {
	var d document
	if err := json.Unmarshal(raw, &d); err != nil {
		return Manifest{}, fmt.Errorf("manifest is not valid JSON: %w", err)
	}
	if err := d.validate(); err != nil {
		return Manifest{}, err
	}
	m := Manifest{
		Descriptor: ocispec.Descriptor{
			MediaType: cmp.Or(mediaType, d.mediaType()), Digest: digest.FromBytes(raw), Size: int64(len(raw)),
			ArtifactType: d.ArtifactType, Annotations: d.Annotations,
		},
		Raw: raw, Config: d.Config, Layers: d.Layers, Children: d.Manifests,
	}
	if d.Subject != nil {
		m.Subject = d.Subject.Digest
	}
	return m, nil
}

// mediaType returns the type that the document states, or that of an OCI index where it lists manifests and states none.
func (d document) mediaType() string {
	if d.MediaType == "" && d.Manifests != nil {
		return ocispec.MediaTypeImageIndex
	}
	return d.MediaType
}

// validate returns an error for digests that no registry could resolve. An index has no config, and most manifests have
// no subject.
func (d document) validate() error {
	listed := slices.Concat(d.Layers, d.Manifests)
	if d.Config.Digest != "" {
		listed = append(listed, d.Config)
	}
	if d.Subject != nil {
		listed = append(listed, *d.Subject)
	}
	for _, descriptor := range listed {
		if err := descriptor.Digest.Validate(); err != nil {
			return fmt.Errorf("manifest lists the digest %q: %w", descriptor.Digest, err)
		}
	}
	return nil
}

// IsIndex reports whether the manifest is a Docker manifest list or an OCI index.
func (m Manifest) IsIndex() bool { return IsIndex(m.MediaType) }

// IsIndex reports whether the media type is that of a Docker manifest list or an OCI index.
func IsIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == MediaTypeDockerIndex
}

// ErrSchema1 is why an image of Docker's image manifest version 2, schema 1, is not migrated.
var ErrSchema1 = errors.New("the image has a manifest of Docker's schema 1, which current engines and GitLab's registry do not take: " +
	"build it anew, or pull it with a Docker Engine before 26.0 and push it to ECR again, or leave it out with MIGRATE_TAGS")

// IsSchema1 reports whether the media type is that of such a manifest, signed or not.
func IsSchema1(mediaType string) bool {
	return mediaType == "application/vnd.docker.distribution.manifest.v1+json" ||
		mediaType == "application/vnd.docker.distribution.manifest.v1+prettyjws"
}

// IsContainerImage reports whether containers can run from the manifest: it is neither an index nor another artifact.
func (m Manifest) IsContainerImage() bool {
	return m.Config.MediaType == ocispec.MediaTypeImageConfig || m.Config.MediaType == MediaTypeDockerConfig
}

// Kind returns the artifact type, which defaults to the config's media type.
func (m Manifest) Kind() string {
	if m.ArtifactType != "" {
		return m.ArtifactType
	}
	return m.Config.MediaType
}

// Blobs returns the config and the layers of an image manifest, and nil for an index.
func (m Manifest) Blobs() []ocispec.Descriptor {
	if m.IsIndex() {
		return nil
	}
	return append([]ocispec.Descriptor{m.Config}, m.Layers...)
}
