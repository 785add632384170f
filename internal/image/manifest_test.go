package image_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

func TestParseManifest(t *testing.T) {
	for _, test := range []struct {
		name, raw, mediaType string
		want                 image.Manifest // without Raw, Digest and Size
		index, container     bool
		bad                  bool
	}{
		{
			name: "docker image", mediaType: image.MediaTypeDockerManifest, container: true,
			raw: `{"config":{"mediaType":"` + image.MediaTypeDockerConfig + `","digest":"` + testkit.EmptyDigest + `","size":2},` +
				`"layers":[{"mediaType":"` + image.MediaTypeDockerLayer + `","digest":"` + testkit.EmptyDigest + `","size":3}]}`,
			want: image.Manifest{
				Descriptor: ocispec.Descriptor{MediaType: image.MediaTypeDockerManifest},
				Config:     ocispec.Descriptor{MediaType: image.MediaTypeDockerConfig, Digest: testkit.EmptyDigest, Size: 2},
				Layers:     []ocispec.Descriptor{{MediaType: image.MediaTypeDockerLayer, Digest: testkit.EmptyDigest, Size: 3}},
			},
		},
		{
			name: "OCI image that says so itself", container: true,
			raw: `{"mediaType":"` + ocispec.MediaTypeImageManifest + `","config":{"mediaType":"` + ocispec.MediaTypeImageConfig + `"}}`,
			want: image.Manifest{
				Descriptor: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest},
				Config:     ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig},
			},
		},
		{
			name: "docker list", mediaType: image.MediaTypeDockerIndex, index: true,
			raw: `{"manifests":[{"digest":"` + testkit.EmptyDigest + `","platform":{"os":"linux","architecture":"arm","variant":"v6"}}]}`,
			want: image.Manifest{
				Descriptor: ocispec.Descriptor{MediaType: image.MediaTypeDockerIndex},
				Children:   []ocispec.Descriptor{{Digest: testkit.EmptyDigest, Platform: testkit.Linux("arm", "v6")}},
			},
		},
		{
			name: "OCI index without a media type anywhere", raw: `{"manifests":[]}`, index: true,
			want: image.Manifest{Descriptor: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex}},
		},
		{
			name: "artifact with a subject", mediaType: ocispec.MediaTypeImageManifest,
			raw: `{"artifactType":"application/x","subject":{"digest":"` + testkit.EmptyDigest + `"},"annotations":{"a":"b"}}`,
			want: image.Manifest{
				Descriptor: ocispec.Descriptor{
					MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/x", Annotations: map[string]string{"a": "b"},
				},
				Subject: testkit.EmptyDigest,
			},
		},
		{
			name: "the registry's word counts", raw: `{"mediaType":"application/x"}`, mediaType: image.MediaTypeDockerManifest,
			want: image.Manifest{Descriptor: ocispec.Descriptor{MediaType: image.MediaTypeDockerManifest}},
		},
		{name: "no JSON", raw: `<html>`, bad: true},
		{name: "cut short", raw: `{"layers":[`, bad: true},
		{name: "another shape", raw: `{"layers":{}}`, bad: true},
		{name: "nothing", raw: ``, bad: true},
		{name: "a layer without a digest", raw: `{"layers":[{"size":3}]}`, bad: true},
		{name: "a child that is none", raw: `{"manifests":[null]}`, bad: true},
		{name: "a path for a digest", raw: `{"manifests":[{"digest":"../../etc"}]}`, bad: true},
		{name: "a config's digest cut short", raw: `{"config":{"digest":"sha256:e3b0"}}`, bad: true},
		{name: "a tag for a subject", raw: `{"subject":{"digest":"latest"}}`, bad: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := image.ParseManifest([]byte(test.raw), test.mediaType)
			if (err != nil) != test.bad {
				t.Fatalf("error %v", err)
			}
			if test.bad {
				return
			}
			want := test.want
			want.Raw, want.Digest, want.Size = []byte(test.raw), digest.FromString(test.raw), int64(len(test.raw))
			if diff := difference(got, want); diff != "" {
				t.Error(diff)
			}
			if got.IsIndex() != test.index || got.IsContainerImage() != test.container {
				t.Errorf("index %t, container image %t", got.IsIndex(), got.IsContainerImage())
			}
		})
	}
}

func TestTree(t *testing.T) {
	pair, leaves := testkit.Pair(t, "pair")
	other := testkit.Image(t, "other")
	stray := testkit.Image(t, "stray")
	nested := testkit.Index(t, testkit.Child(other, testkit.Linux("s390x")), testkit.Child(pair, nil), testkit.Child(other, nil))
	unknown := testkit.Index(t, testkit.Child(stray, nil), testkit.Child(other, nil))
	all := testkit.ByDigest(pair, leaves[0], leaves[1], other, nested)
	for _, test := range []struct {
		name              string
		root              image.Manifest
		manifests, leaves []image.Manifest
	}{
		{"image", other, []image.Manifest{other}, []image.Manifest{other}},
		{"index", pair, []image.Manifest{pair, leaves[0], leaves[1]}, leaves},
		{"nested, a child twice", nested, []image.Manifest{nested, other, pair, leaves[0], leaves[1]}, []image.Manifest{other, leaves[0], leaves[1]}},
		{"a child that nobody has", unknown, []image.Manifest{unknown, other}, []image.Manifest{other}},
		{"empty index", testkit.Index(t), []image.Manifest{testkit.Index(t)}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree := image.NewTree(test.root, all)
			if got, want := testkit.Digests(tree.Manifests()), testkit.Digests(test.manifests); !slices.Equal(got, want) {
				t.Errorf("manifests %q, want %q", got, want)
			}
			if got, want := testkit.Digests(tree.Leaves()), testkit.Digests(test.leaves); !slices.Equal(got, want) {
				t.Errorf("leaves %q, want %q", got, want)
			}
		})
	}
}

// difference is empty for equal values, where a nil and an empty list are equal.
func difference(got, want image.Manifest) string {
	for _, m := range []*image.Manifest{&got, &want} {
		if len(m.Children) == 0 {
			m.Children = nil
		}
	}
	if reflect.DeepEqual(got, want) {
		return ""
	}
	return fmt.Sprintf("got  %+v\nwant %+v", got, want)
}
