package image_test

import (
	"reflect"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

func TestPack(t *testing.T) {
	one, two := testkit.Image(t, "one"), testkit.Image(t, "two")
	sbom := testkit.Artifact(t, "application/spdx+json", "sbom", one)
	untyped := testkit.Document{Manifests: []ocispec.Descriptor{descriptor(two)}}.Manifest(t)
	for name, tree := range map[string]image.Tree{
		"an image":           image.NewTree(one, nil),
		"an index":           treeOf(t, []ocispec.Descriptor{descriptor(one), descriptor(sbom), descriptor(one)}, one, sbom),
		"of another index":   treeOf(t, []ocispec.Descriptor{descriptor(untyped), descriptor(one)}, untyped, one, two),
		"not all of it":      treeOf(t, []ocispec.Descriptor{descriptor(one), descriptor(two)}, two),
		"another media type": image.NewTree(retyped(t, one, image.MediaTypeDockerManifest), nil),
	} {
		size := int64(0)
		for _, m := range tree.Manifests() {
			size += m.Size
		}
		packed := tree.Pack()
		if got, err := packed.Unpack(); err != nil || !reflect.DeepEqual(got, tree) || packed.Size() != size {
			t.Errorf("%s: %v in %d bytes, %v, want %v in %d", name, got, packed.Size(), err, tree, size)
		}
	}
}

// retyped returns the manifest as a registry serves it with another media type than its own.
func retyped(t *testing.T, m image.Manifest, mediaType string) image.Manifest {
	t.Helper()
	m, err := image.ParseManifest(m.Raw, mediaType)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
