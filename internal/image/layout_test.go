package image_test

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

// blobFile is where a layout holds the blob.
func blobFile(d digest.Digest) string { return "blobs/sha256/" + d.Encoded() }

func TestLayoutArchive(t *testing.T) {
	index, children := testkit.Pair(t, "app")
	names := []string{testkit.TargetBase + "/app:1", testkit.TargetBase + "/app:latest"}
	l := image.NewLayout()
	l.Add(names, index, children...)
	l.Add([]string{"again"}, children[0])
	got := testkit.ReadBack(t, l)
	want := []string{
		blobFile(index.Digest), blobFile(children[0].Digest), blobFile(children[1].Digest),
		ocispec.ImageIndexFile, ocispec.ImageLayoutFile,
	}
	slices.Sort(want)
	if files := slices.Sorted(maps.Keys(got.Files)); !slices.Equal(files, want) {
		t.Errorf("files %q, want %q", files, want)
	}
	roots := map[string]digest.Digest{names[0]: index.Digest, names[1]: index.Digest, "again": children[0].Digest}
	if !maps.Equal(got.Roots, roots) {
		t.Errorf("names %q", got.Roots)
	}
	var marker ocispec.ImageLayout
	if err := json.Unmarshal(got.Files[ocispec.ImageLayoutFile], &marker); err != nil || marker.Version != ocispec.ImageLayoutVersion {
		t.Errorf("marker %+v: %v", marker, err)
	}
	var listed ocispec.Index
	if err := json.Unmarshal(got.Files[ocispec.ImageIndexFile], &listed); err != nil {
		t.Fatal(err)
	}
	for _, d := range listed.Manifests[:2] {
		if d.MediaType != index.MediaType || d.Size != index.Size || d.Platform != nil {
			t.Errorf("the layout lists %+v", d)
		}
	}
	if string(got.Files[blobFile(index.Digest)]) != string(index.Raw) {
		t.Error("the root is not the bytes that the source holds")
	}
}
