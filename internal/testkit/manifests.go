// Package testkit has images, registries and layouts in memory, for the tests of all rooms.
package testkit

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// LeastDescriptor is the shortest text of a descriptor that has a digest.
const LeastDescriptor = `{"digest":"` + EmptyDigest + `"}`

// EmptyDigest is the digest of no bytes at all.
const EmptyDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// Document is a manifest as a test writes it.
type Document struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType,omitempty"`
	ArtifactType  string               `json:"artifactType,omitempty"`
	Config        *ocispec.Descriptor  `json:"config,omitempty"`
	Layers        []ocispec.Descriptor `json:"layers,omitempty"`
	Manifests     []ocispec.Descriptor `json:"manifests,omitempty"`
	Subject       *ocispec.Descriptor  `json:"subject,omitempty"`
	Annotations   map[string]string    `json:"annotations,omitempty"`
}

// Manifest is what a registry holds of the document.
func (d Document) Manifest(t testing.TB) image.Manifest {
	t.Helper()
	d.SchemaVersion = 2
	raw, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	m, err := image.ParseManifest(raw, d.MediaType)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Blob describes a blob of the content.
func Blob(mediaType, content string) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromString(content), Size: int64(len(content))}
}

// Heavy is a layer that no engine pulls by its own digest, for its size.
func Heavy(mediaType, content string) ocispec.Descriptor {
	layer := Blob(mediaType, content)
	layer.Size += image.MaxBlobPull
	return layer
}

// Image is a container image with one layer, told from others by its content, which comes with the whole image.
func Image(t testing.TB, content string) image.Manifest {
	return ImageDocument(content).Manifest(t)
}

// ImageDocument is the document of Image.
func ImageDocument(content string) Document {
	config := Blob(ocispec.MediaTypeImageConfig, "config of "+content)
	return Document{
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    &config,
		Layers:    []ocispec.Descriptor{Heavy(ocispec.MediaTypeImageLayerGzip, content)},
	}
}

// Artifact is what signatures and SBOMs are, with the subject that it refers to.
func Artifact(t testing.TB, artifactType, content string, subject image.Manifest) image.Manifest {
	config := Blob("application/vnd.oci.empty.v1+json", "{}")
	return Document{
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: artifactType,
		Config:       &config,
		Layers:       []ocispec.Descriptor{Heavy(artifactType, content)},
		Subject:      &subject.Descriptor,
		Annotations:  map[string]string{"org.opencontainers.image.created": "2026-01-02T03:04:05Z", "of": content},
	}.Manifest(t)
}

// Child lists a manifest in an index; the platform is "os/arch", "os/arch/variant" or none.
func Child(m image.Manifest, platform *ocispec.Platform) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: m.Size, Platform: platform}
}

// Linux is a platform.
func Linux(architecture string, variant ...string) *ocispec.Platform {
	return &ocispec.Platform{OS: "linux", Architecture: architecture, Variant: slices.Concat(variant, []string{""})[0]}
}

// Index lists the children.
func Index(t testing.TB, children ...ocispec.Descriptor) image.Manifest {
	return Document{MediaType: ocispec.MediaTypeImageIndex, Manifests: children}.Manifest(t)
}

// Pair is an index of two platforms with its children.
func Pair(t testing.TB, content string) (index image.Manifest, children []image.Manifest) {
	amd, arm := Image(t, content+" amd64"), Image(t, content+" arm64")
	return Index(t, Child(amd, Linux("amd64")), Child(arm, Linux("arm64"))), []image.Manifest{amd, arm}
}

// ByDigest maps manifests by their digests.
func ByDigest(manifests ...image.Manifest) map[digest.Digest]image.Manifest {
	found := map[digest.Digest]image.Manifest{}
	for _, m := range manifests {
		found[m.Digest] = m
	}
	return found
}

// Digests returns the digests of the manifests.
func Digests(manifests []image.Manifest) []digest.Digest {
	digests := make([]digest.Digest, len(manifests))
	for i, m := range manifests {
		digests[i] = m.Digest
	}
	return digests
}
