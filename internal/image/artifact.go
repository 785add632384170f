package image

import (
	"encoding/json"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Artifact returns the manifest of an artifact with these layers, which an engine does not unpack, and its empty config (OCI
// Image Specification 1.1, "Guidelines for Artifact Usage").
func Artifact(artifactType string, layers ...ocispec.Descriptor) (artifact, config Manifest) {
	empty := ocispec.DescriptorEmptyJSON
	if len(layers) == 0 {
		layers = []ocispec.Descriptor{{MediaType: empty.MediaType, Digest: empty.Digest, Size: empty.Size}}
	}
	document := ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: artifactType,
		Config:       ocispec.Descriptor{MediaType: empty.MediaType, Digest: empty.Digest, Size: empty.Size},
		Layers:       layers,
	}
	raw, _ := json.Marshal(document) // only strings and numbers, which always marshal
	return Manifest{
			Descriptor: ocispec.Descriptor{MediaType: document.MediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))},
			Raw:        raw,
		}, Manifest{
			Descriptor: ocispec.Descriptor{Digest: empty.Digest},
			Raw:        empty.Data,
		}
}
