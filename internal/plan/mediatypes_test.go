package plan

import (
	"slices"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

func TestKnownMediaType(t *testing.T) {
	for mediaType, want := range map[string]bool{
		"":                                                          true, // the artifact type is optional
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

// What can be left out is neither the root nor all that there is.
func TestDispensable(t *testing.T) {
	const unknown = "application/vnd.example.unknown"
	img := testkit.Image(t, "app")
	artifact := testkit.Artifact(t, unknown, "artifact", img)
	listed := func(children ...image.Manifest) image.Tree {
		var descriptors []ocispec.Descriptor
		for _, child := range children {
			descriptors = append(descriptors, testkit.Child(child, nil))
		}
		return image.NewTree(testkit.Index(t, descriptors...), testkit.ByDigest(children...))
	}
	for _, test := range []struct {
		name string
		tree image.Tree
		want []string
	}{
		{"an artifact beside an image", listed(img, artifact), []string{unknown}},
		{"artifacts alone", listed(artifact), nil},
		{"the root", image.NewTree(artifact, nil), nil},
		{"nothing unknown", listed(img), nil},
	} {
		if got := dispensable(test.tree, unknownMediaTypes(test.tree)); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
