package image_test

import (
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

const soci = "application/vnd.amazon.soci.index.v2+json"

func isSOCI(kind string) bool { return kind == soci }

func TestLeaveOut(t *testing.T) {
	one, two := testkit.Image(t, "one"), testkit.Image(t, "two")
	lazy := testkit.Artifact(t, soci, "lazy", one)
	attests := descriptor(two)
	attests.Annotations = map[string]string{"vnd.docker.reference.digest": lazy.Digest.String()}
	attests.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	signature := testkit.Artifact(t, "application/vnd.example.signature", "signature", lazy)
	nested := testkit.Document{
		MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{descriptor(one), descriptor(lazy)},
	}.Manifest(t)

	for _, test := range []struct {
		name string
		tree image.Tree
		want []image.Manifest // that the new tree lists at any level, indexes aside
		left []image.Manifest
	}{
		{
			name: "nothing matches", want: []image.Manifest{one, two},
			tree: treeOf(t, []ocispec.Descriptor{descriptor(one), descriptor(two)}, one, two),
		},
		{
			name: "a child", want: []image.Manifest{one}, left: []image.Manifest{lazy},
			tree: treeOf(t, []ocispec.Descriptor{descriptor(one), descriptor(lazy)}, one, lazy),
		},
		{
			name: "and what is about it", want: []image.Manifest{one}, left: []image.Manifest{two, signature, lazy},
			tree: treeOf(t, []ocispec.Descriptor{attests, descriptor(signature), descriptor(one), descriptor(lazy)}, one, two, signature, lazy),
		},
		{
			name: "below a nested index", want: []image.Manifest{one}, left: []image.Manifest{lazy},
			tree: treeOf(t, []ocispec.Descriptor{descriptor(nested)}, nested, one, lazy),
		},
		{name: "never the root", tree: image.NewTree(lazy, nil), want: []image.Manifest{lazy}},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree, left, err := test.tree.LeaveOut(isSOCI)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := names(tree.Leaves()), names(test.want); strings.Join(got, " ") != strings.Join(want, " ") {
				t.Errorf("the new tree has %v, want %v", got, want)
			}
			if got, want := names(left), names(test.left); strings.Join(got, " ") != strings.Join(want, " ") {
				t.Errorf("%v are left out, want %v", got, want)
			}
			if changed := tree.Root.Digest != test.tree.Root.Digest; changed != (len(test.left) > 0) {
				t.Errorf("the digest has changed: %t", changed)
			}
			for _, m := range tree.Manifests() {
				for _, child := range m.Children {
					if below := tree.Manifest(child.Digest); below.Size != child.Size {
						t.Errorf("%s is listed with %d bytes and has %d", child.Digest, child.Size, below.Size)
					}
				}
			}
		})
	}
}

// TestLeaveOutWritesTheSameBytesForever pins the form of what is written: a later release must recognize what an earlier
// one has pushed. Members that this program does not know stay.
func TestLeaveOutWritesTheSameBytesForever(t *testing.T) {
	one := testkit.Image(t, "one")
	lazy := testkit.Artifact(t, soci, "lazy", one)
	raw := `{ "schemaVersion": 2, "mediaType": "` + ocispec.MediaTypeImageIndex + `",` + "\n" +
		` "x-unknown": {"b": "<&>", "a": 1.50}, "manifests": [` +
		`{"size": 1, "digest": "` + lazy.Digest.String() + `", "mediaType": "` + lazy.MediaType + `"}, ` +
		`{"platform": {"os": "linux", "architecture": "amd64"}, "digest": "` + one.Digest.String() + `", "x-unknown": [ ], "size": 1, "mediaType": "` + one.MediaType + `"}]}`
	root, err := image.ParseManifest([]byte(raw), "")
	if err != nil {
		t.Fatal(err)
	}
	tree, _, err := image.NewTree(root, digests(one, lazy)).LeaveOut(isSOCI)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"manifests":[{"digest":"` + one.Digest.String() + `","mediaType":"` + one.MediaType + `",` +
		`"platform":{"os":"linux","architecture":"amd64"},"size":1,"x-unknown":[]}],` +
		`"mediaType":"` + ocispec.MediaTypeImageIndex + `","schemaVersion":2,"x-unknown":{"b":"\u003c\u0026\u003e","a":1.50}}`
	if got := string(tree.Root.Raw); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestLeaveOutNeverEmptiesAnIndex(t *testing.T) {
	lazy := testkit.Artifact(t, soci, "lazy", testkit.Image(t, "one"))
	tree := treeOf(t, []ocispec.Descriptor{descriptor(lazy)}, lazy)
	if _, _, err := tree.LeaveOut(isSOCI); err == nil || !strings.Contains(err.Error(), tree.Root.Digest.String()) {
		t.Errorf("got %v", err)
	}
}
