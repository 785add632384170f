package plan

import (
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

func TestKnownMediaType(t *testing.T) {
	for mediaType, want := range map[string]bool{
		"":                                                          true, // a manifest need not have an artifact type
		ocispec.MediaTypeImageConfig:                                true,
		image.MediaTypeDockerConfig:                                 true,
		ocispec.MediaTypeEmptyJSON:                                  true,
		"text/plain; charset=utf-8":                                 true,
		"application/vnd.oci.image":                                 false,
		"# The media types":                                         false,
		"application/vnd.wasm.config.v0+json":                       false,
		"application/vnd.amazon.soci.index.v2+json":                 false,
		"application/vnd.cncf.notary.signature":                     false,
		"application/vnd.cncf.helm.config.v1+json":                  true,
		"application/vnd.docker.distribution.manifest.v1+prettyjws": true,
	} {
		if got := KnownMediaType(mediaType); got != want {
			t.Errorf("%q: got %t", mediaType, got)
		}
	}
	if n := len(mediaTypes()); n != 103 {
		t.Errorf("%d media types are known, want the 103 of %s", n, MediaTypesOf)
	}
}
