package migrate

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// readBack returns what an engine would find in the archive.
func readBack(t *testing.T, l *loading) layout {
	t.Helper()
	archive, err := l.archive()
	if err != nil {
		t.Fatal(err)
	}
	found, err := readLayout(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// blobFile is where a layout holds the blob.
func blobFile(d digest.Digest) string { return "blobs/sha256/" + d.Encoded() }

func TestLayoutArchive(t *testing.T) {
	index, children := pairOf(t, "app")
	names := []string{targetBase + "/app:1", targetBase + "/app:latest"}
	l := newLoading()
	l.add(names, index, children...)
	l.add([]string{"again"}, children[0])
	got := readBack(t, l)
	want := []string{
		blobFile(index.Digest), blobFile(children[0].Digest), blobFile(children[1].Digest),
		ocispec.ImageIndexFile, ocispec.ImageLayoutFile,
	}
	slices.Sort(want)
	if files := slices.Sorted(maps.Keys(got.files)); !slices.Equal(files, want) {
		t.Errorf("files %q, want %q", files, want)
	}
	roots := map[string]digest.Digest{names[0]: index.Digest, names[1]: index.Digest, "again": children[0].Digest}
	if !maps.Equal(got.roots, roots) {
		t.Errorf("names %q", got.roots)
	}
	var marker ocispec.ImageLayout
	if err := json.Unmarshal(got.files[ocispec.ImageLayoutFile], &marker); err != nil || marker.Version != ocispec.ImageLayoutVersion {
		t.Errorf("marker %+v: %v", marker, err)
	}
	var listed ocispec.Index
	if err := json.Unmarshal(got.files[ocispec.ImageIndexFile], &listed); err != nil {
		t.Fatal(err)
	}
	for _, d := range listed.Manifests[:2] {
		if d.MediaType != index.MediaType || d.Size != index.Size || d.Platform != nil {
			t.Errorf("the layout lists %+v", d)
		}
	}
	if string(got.files[blobFile(index.Digest)]) != string(index.Raw) {
		t.Error("the root is not the bytes that the source holds")
	}
}
