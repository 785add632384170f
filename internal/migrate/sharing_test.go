package migrate

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// blobsOf are blobs by name, each of so many bytes as its name is long.
func blobsOf(names ...string) []ocispec.Descriptor {
	var blobs []ocispec.Descriptor
	for _, name := range names {
		blobs = append(blobs, ocispec.Descriptor{Digest: digest.FromString(name), Size: int64(len(name))})
	}
	return blobs
}

func TestSharing(t *testing.T) {
	blobs := newCatalog()
	image := func(repository string, names ...string) *item {
		task := &item{image: Image{Repository: repositoryNamed(repository)}, blobs: blobs.add(blobsOf(names...))}
		for _, id := range task.blobs {
			task.bytes += blobs.size(id)
		}
		return task
	}
	tasks := []*item{
		image("api", "base", "library", "a"),
		image("api", "base", "library", "b"),
		image("refused"),
		image("web", "base", "c"),
		image("web", "base", "library", "tiny", "tiny"),
		image("x", "tiny"),
	}
	want := []Content{
		{Repository: "api", Images: 2, Bytes: 13, BytesUnshared: 24},
		{Repository: "web", Images: 2, Bytes: 16, BytesUnshared: 20},
		{Repository: "x", Images: 1, Bytes: 4, BytesUnshared: 4},
	}
	if got := blobs.contents(tasks); !slices.Equal(got, want) {
		t.Errorf("contents\n got %+v\nwant %+v", got, want)
	}
	shared := []SharedBlob{
		{Digest: digest.FromString("library"), Bytes: 7, Images: 3, Repositories: 2, Repository: "web"},
		{Digest: digest.FromString("base"), Bytes: 4, Images: 4, Repositories: 2, Repository: "web"},
		{Digest: digest.FromString("tiny"), Bytes: 4, Images: 2, Repositories: 2, Repository: "x"},
	}
	for limit := range len(shared) + 2 {
		if got := blobs.mostShared(tasks, limit); !slices.Equal(got, shared[:min(limit, len(shared))]) {
			t.Errorf("the %d most shared are %+v", limit, got)
		}
	}
}

// Each blob is in one class of each kind, the edge of a class included, and what is refused is in none.
func TestClasses(t *testing.T) {
	blobs := newCatalog()
	sized := func(name string, size int64) ocispec.Descriptor {
		return ocispec.Descriptor{Digest: digest.FromString(name), Size: size}
	}
	image := func(of ...ocispec.Descriptor) *item { return &item{blobs: blobs.add(of)} }
	blobs.add([]ocispec.Descriptor{sized("of no image", 5e6)})
	tasks := []*item{image()}
	for range 11 {
		tasks = append(tasks, image(sized("base", 2e9), sized("config", 999_999)))
	}
	tasks = append(tasks, image(sized("config", 999_999), sized("layer", 1e6)))
	bySize, byUse := blobs.classes(tasks)
	wantBySize := []BlobClass{{0, 1, 999_999}, {1e6, 1, 1e6}, {10e6, 0, 0}, {100e6, 0, 0}, {1e9, 1, 2e9}}
	wantByUse := []BlobClass{{1, 1, 1e6}, {2, 0, 0}, {10, 2, 2_000_999_999}, {100, 0, 0}, {1000, 0, 0}}
	if !slices.Equal(bySize, wantBySize) || !slices.Equal(byUse, wantByUse) {
		t.Errorf("by size %v, want %v; by use %v, want %v", bySize, wantBySize, byUse, wantByUse)
	}
}

// What each worker did is told with its time, and with the bytes that were not there before.
func TestWorked(t *testing.T) {
	first, second := lightOf(t, "first", "base"), lightOf(t, "second", "base")
	own := sizeOf(second) - int64(len("base"))
	synctest.Test(t, func(t *testing.T) {
		source := newSource()
		source.push("app", first, "1")
		source.push("app", second, "2", "denied")
		engine := newEngine(source)
		engine.fails["push "+targetBase+"/app:denied"] = errors.New("no")
		began := time.Now()
		_, events, err := runIn(t, engine, func(o *Options) { o.Concurrency = 1 })
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, event := range events {
			if e, ok := event.(Worked); ok {
				got = append(got, fmt.Sprintf("%s %d %s %t %d", e.Step, e.Worker, e.Image.Tags, e.Well, e.Bytes))
				if !e.Began.Equal(began) {
					t.Errorf("%s began at %s", e.Step, e.Began)
				}
			}
		}
		slices.Sort(got)
		want := []string{
			fmt.Sprintf("pull 0 [1] true %d", sizeOf(first)),
			fmt.Sprintf("pull 0 [2 denied] true %d", own),
			fmt.Sprintf("push 0 [1] true %d", sizeOf(first)),
			"push 0 [2 denied] false 0",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	})
}
