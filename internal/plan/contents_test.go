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

func TestContents(t *testing.T) {
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
		{Repository: "api", Images: 2, Bytes: 13},
		{Repository: "web", Images: 2, Bytes: 16},
		{Repository: "x", Images: 1, Bytes: 4},
	}
	if got := blobs.Contents(tasks); !slices.Equal(got, want) {
		t.Errorf("contents\n got %+v\nwant %+v", got, want)
	}
}
