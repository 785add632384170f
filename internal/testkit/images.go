package testkit

import (
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// SOCIType is the media type of SOCI indexes, which GitLab is not known to accept.
const SOCIType = "application/vnd.amazon.soci.index.v2+json"

// SOCI is an artifact of that media type.
func SOCI(t testing.TB, content string) image.Manifest {
	t.Helper()
	config := Blob(SOCIType, "{}")
	return Document{
		MediaType: ocispec.MediaTypeImageManifest, Config: &config, Layers: []ocispec.Descriptor{Heavy("application/octet-stream", content)},
	}.Manifest(t)
}

// LightImage is an image whose layers an engine pulls by digest: one of its own, and those that it shares.
func LightImage(t testing.TB, content string, shared ...string) image.Manifest {
	return imageOf(t, Blob, content, shared)
}

// HeavyImage is like LightImage, with layers too large for that.
func HeavyImage(t testing.TB, content string, shared ...string) image.Manifest {
	return imageOf(t, Heavy, content, shared)
}

func imageOf(t testing.TB, layer func(mediaType, content string) ocispec.Descriptor, content string, shared []string) image.Manifest {
	d := ImageDocument(content)
	d.Layers = nil
	for _, each := range append(shared, content) {
		d.Layers = append(d.Layers, layer(ocispec.MediaTypeImageLayerGzip, each))
	}
	return d.Manifest(t)
}

// ForeignImage is an image whose layer is at a host of its own.
func ForeignImage(t testing.TB, layer ocispec.Descriptor) image.Manifest {
	t.Helper()
	d := ImageDocument("app")
	layer.URLs = []string{"http://layers.example.com/" + layer.Digest.Encoded()}
	d.Layers[0] = layer
	return d.Manifest(t)
}

// DigestOf is the digest of a blob of the content.
func DigestOf(content string) string { return digest.FromString(content).String() }
