package migrate

import (
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const hash = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestParseManifest(t *testing.T) {
	for _, test := range []struct {
		name, raw, mediaType string
		want                 Manifest // without Raw, Digest and Size
		index, container     bool
		bad                  bool
	}{
		{
			name: "docker image", mediaType: mediaTypeDockerManifest, container: true,
			raw: `{"config":{"mediaType":"` + mediaTypeDockerConfig + `","digest":"` + hash + `","size":2},` +
				`"layers":[{"mediaType":"` + mediaTypeDockerLayer + `","digest":"` + hash + `","size":3}]}`,
			want: Manifest{
				Descriptor: ocispec.Descriptor{MediaType: mediaTypeDockerManifest},
				Config:     ocispec.Descriptor{MediaType: mediaTypeDockerConfig, Digest: hash, Size: 2},
				Layers:     []ocispec.Descriptor{{MediaType: mediaTypeDockerLayer, Digest: hash, Size: 3}},
			},
		},
		{
			name: "OCI image that says so itself", container: true,
			raw: `{"mediaType":"` + ocispec.MediaTypeImageManifest + `","config":{"mediaType":"` + ocispec.MediaTypeImageConfig + `"}}`,
			want: Manifest{
				Descriptor: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest},
				Config:     ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig},
			},
		},
		{
			name: "docker list", mediaType: mediaTypeDockerList, index: true,
			raw: `{"manifests":[{"digest":"` + hash + `","platform":{"os":"linux","architecture":"arm","variant":"v6"}}]}`,
			want: Manifest{
				Descriptor: ocispec.Descriptor{MediaType: mediaTypeDockerList},
				Children:   []ocispec.Descriptor{{Digest: hash, Platform: linux("arm", "v6")}},
			},
		},
		{
			name: "OCI index without a media type anywhere", raw: `{"manifests":[]}`, index: true,
			want: Manifest{Descriptor: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex}},
		},
		{
			name: "artifact with a subject", mediaType: ocispec.MediaTypeImageManifest,
			raw: `{"artifactType":"application/x","subject":{"digest":"` + hash + `"},"annotations":{"a":"b"}}`,
			want: Manifest{
				Descriptor: ocispec.Descriptor{
					MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/x", Annotations: map[string]string{"a": "b"},
				},
				Subject: hash,
			},
		},
		{
			name: "the registry's word counts", raw: `{"mediaType":"application/x"}`, mediaType: mediaTypeDockerManifest,
			want: Manifest{Descriptor: ocispec.Descriptor{MediaType: mediaTypeDockerManifest}},
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
			got, err := ParseManifest([]byte(test.raw), test.mediaType)
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
			if got.IsIndex() != test.index || got.isContainerImage() != test.container {
				t.Errorf("index %t, container image %t", got.IsIndex(), got.isContainerImage())
			}
		})
	}
}

func TestTree(t *testing.T) {
	pair, leaves := pairOf(t, "pair")
	other := imageOf(t, "other")
	stray := imageOf(t, "stray")
	nested := indexOf(t, child(other, linux("s390x")), child(pair, nil), child(other, nil))
	unknown := indexOf(t, child(stray, nil), child(other, nil))
	all := byDigest(pair, leaves[0], leaves[1], other, nested)
	for _, test := range []struct {
		name              string
		root              Manifest
		manifests, leaves []Manifest
	}{
		{"image", other, []Manifest{other}, []Manifest{other}},
		{"index", pair, []Manifest{pair, leaves[0], leaves[1]}, leaves},
		{"nested, a child twice", nested, []Manifest{nested, other, pair, leaves[0], leaves[1]}, []Manifest{other, leaves[0], leaves[1]}},
		{"a child that nobody has", unknown, []Manifest{unknown, other}, []Manifest{other}},
		{"empty index", indexOf(t), []Manifest{indexOf(t)}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree := NewTree(test.root, all)
			if got, want := digestsOf(tree.Manifests()), digestsOf(test.manifests); !slices.Equal(got, want) {
				t.Errorf("manifests %q, want %q", got, want)
			}
			if got, want := digestsOf(tree.Leaves()), digestsOf(test.leaves); !slices.Equal(got, want) {
				t.Errorf("leaves %q, want %q", got, want)
			}
		})
	}
}
