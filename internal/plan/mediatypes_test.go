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

// treeOf returns an index of the manifests.
func treeOf(t *testing.T, children ...image.Manifest) image.Tree {
	t.Helper()
	var descriptors []ocispec.Descriptor
	for _, child := range children {
		descriptors = append(descriptors, testkit.Child(child, nil))
	}
	return image.NewTree(testkit.Index(t, descriptors...), testkit.ByDigest(children...))
}

// What can be left out is neither the root nor all that there is.
func TestDispensable(t *testing.T) {
	const unknown = "application/vnd.example.unknown"
	img := testkit.Image(t, "app")
	artifact := testkit.Artifact(t, unknown, "artifact", img)
	listed := func(children ...image.Manifest) image.Tree { return treeOf(t, children...) }
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

// A manifest that the target may refuse is tried before anything else is moved, unless it has to come with something.
func TestTrialBytes(t *testing.T) {
	const unknown = "application/vnd.example.unknown"
	img := testkit.Image(t, "app")
	alone, beside := testkit.Artifact(t, unknown, "artifact", testkit.Image(t, "another")), testkit.Artifact(t, unknown, "artifact", img)
	listed := func(children ...image.Manifest) image.Tree { return treeOf(t, children...) }
	for _, test := range []struct {
		name string
		tree image.Tree
		want int64
	}{
		{"nothing unknown", listed(img), 0},
		{"an artifact beside an image", listed(img, alone), bytesOf(alone)},
		{"one that refers to the image", listed(img, beside), bytesOf(listed(img, beside).Root, img, beside)},
		{"the root", image.NewTree(alone, nil), bytesOf(alone)},
	} {
		if got := trialBytes(test.tree); got != test.want {
			t.Errorf("%s: got %d bytes, want %d", test.name, got, test.want)
		}
	}
	if got, want := bytesOf(alone), int64(len(alone.Raw))+alone.Config.Size+alone.Layers[0].Size; got != want {
		t.Errorf("the artifact has %d bytes, want %d", got, want)
	}
}
