package plan

import (
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

// blobsOf returns blobs with the given names, each as many bytes in size as its name is long.
func blobsOf(names ...string) []ocispec.Descriptor {
	var blobs []ocispec.Descriptor
	for _, name := range names {
		blobs = append(blobs, ocispec.Descriptor{Digest: digest.FromString(name), Size: int64(len(name))})
	}
	return blobs
}

func TestSharing(t *testing.T) {
	blobs := NewCatalog()
	img := func(repository string, names ...string) *Item {
		task := &Item{Image: image.Image{Repository: testkit.Repository(repository)}, Blobs: blobs.Add(blobsOf(names...))}
		for _, id := range task.Blobs {
			task.Bytes += blobs.Size(id)
		}
		return task
	}
	tasks := []*Item{
		img("api", "base", "library", "a"),
		img("api", "base", "library", "b"),
		img("refused"),
		img("web", "base", "c"),
		img("web", "base", "library", "tiny", "tiny"),
		img("x", "tiny"),
	}
	want := []Content{
		{Repository: "api", Images: 2, Bytes: 13, BytesUnshared: 24},
		{Repository: "web", Images: 2, Bytes: 16, BytesUnshared: 20},
		{Repository: "x", Images: 1, Bytes: 4, BytesUnshared: 4},
	}
	if got := blobs.Contents(tasks); !slices.Equal(got, want) {
		t.Errorf("contents\n got %+v\nwant %+v", got, want)
	}
	shared := []SharedBlob{
		{Digest: digest.FromString("library"), Bytes: 7, Images: 3, Repositories: 2, Repository: "web"},
		{Digest: digest.FromString("base"), Bytes: 4, Images: 4, Repositories: 2, Repository: "web"},
		{Digest: digest.FromString("tiny"), Bytes: 4, Images: 2, Repositories: 2, Repository: "x"},
	}
	for limit := range len(shared) + 2 {
		if got := blobs.MostShared(tasks, limit); !slices.Equal(got, shared[:min(limit, len(shared))]) {
			t.Errorf("the %d most shared are %+v", limit, got)
		}
	}
}

// Each blob is in one class of each kind, including blobs at a lower bound. Rejected images count in none.
func TestClasses(t *testing.T) {
	blobs := NewCatalog()
	sized := func(name string, size int64) ocispec.Descriptor {
		return ocispec.Descriptor{Digest: digest.FromString(name), Size: size}
	}
	img := func(of ...ocispec.Descriptor) *Item { return &Item{Blobs: blobs.Add(of)} }
	blobs.Add([]ocispec.Descriptor{sized("of no image", 5e6)})
	tasks := []*Item{img()}
	for range 11 {
		tasks = append(tasks, img(sized("base", 2e9), sized("config", 999_999)))
	}
	tasks = append(tasks, img(sized("config", 999_999), sized("layer", 1e6)))
	bySize, byUse := blobs.Classes(tasks)
	wantBySize := []BlobClass{{0, 1, 999_999}, {1e6, 1, 1e6}, {10e6, 0, 0}, {100e6, 0, 0}, {1e9, 1, 2e9}}
	wantByUse := []BlobClass{{1, 1, 1e6}, {2, 0, 0}, {10, 2, 2_000_999_999}, {100, 0, 0}, {1000, 0, 0}}
	if !slices.Equal(bySize, wantBySize) || !slices.Equal(byUse, wantByUse) {
		t.Errorf("by size %v, want %v; by use %v, want %v", bySize, wantBySize, byUse, wantByUse)
	}
}
