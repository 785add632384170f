package image_test

import (
	"reflect"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

// treeOf returns the tree of an index that lists the manifests with these descriptors.
func treeOf(t *testing.T, listed []ocispec.Descriptor, below ...image.Manifest) image.Tree {
	t.Helper()
	root := testkit.Document{MediaType: ocispec.MediaTypeImageIndex, Manifests: listed}.Manifest(t)
	return image.NewTree(root, digests(below...))
}

func digests(manifests ...image.Manifest) map[digest.Digest]image.Manifest {
	byDigest := map[digest.Digest]image.Manifest{}
	for _, m := range manifests {
		byDigest[m.Digest] = m
	}
	return byDigest
}

// descriptor returns how a well-made index lists the manifest.
func descriptor(m image.Manifest) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: m.Size}
}

func TestPushFirst(t *testing.T) {
	one, two := testkit.Image(t, "one"), testkit.Image(t, "two")
	sbom := testkit.Artifact(t, "application/spdx+json", "sbom", one)
	signature := testkit.Artifact(t, "application/vnd.example.signature", "signature", sbom)
	short, mistyped := descriptor(one), descriptor(two)
	short.Size -= 94
	mistyped.MediaType = image.MediaTypeDockerManifest
	nested := testkit.Document{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{short}}.Manifest(t)
	wrongIndex := descriptor(nested)
	wrongIndex.Size++

	for _, test := range []struct {
		name    string
		tree    image.Tree
		refused string
		want    []image.Manifest
	}{
		{name: "a single image", tree: image.NewTree(one, nil), refused: one.Kind()},
		{name: "a plain index", tree: treeOf(t, []ocispec.Descriptor{descriptor(one), descriptor(two)}, one, two)},
		{name: "a wrong size", tree: treeOf(t, []ocispec.Descriptor{short, descriptor(two)}, one, two), want: []image.Manifest{one}},
		{name: "a wrong type", tree: treeOf(t, []ocispec.Descriptor{descriptor(one), mistyped}, one, two), want: []image.Manifest{two}},
		{
			name: "subjects before what refers to them", want: []image.Manifest{one, sbom, signature},
			tree: treeOf(t, []ocispec.Descriptor{descriptor(signature), descriptor(sbom), descriptor(two), descriptor(one)}, one, two, sbom, signature),
		},
		{
			name: "a subject elsewhere", want: []image.Manifest{sbom},
			tree: treeOf(t, []ocispec.Descriptor{descriptor(sbom)}, sbom),
		},
		{
			name: "a nested index after what it lists", want: []image.Manifest{one, nested},
			tree: treeOf(t, []ocispec.Descriptor{wrongIndex}, nested, one),
		},
		{
			name: "a kind that may be refused", refused: "application/spdx+json", want: []image.Manifest{one, sbom},
			tree: treeOf(t, []ocispec.Descriptor{descriptor(one), descriptor(sbom)}, one, sbom),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := test.tree.PushFirst(func(kind string) bool { return kind == test.refused })
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %v, want %v", names(got), names(test.want))
			}
		})
	}
}

func names(manifests []image.Manifest) []string {
	var short []string
	for _, m := range manifests {
		short = append(short, image.Short(m.Digest))
	}
	return short
}
