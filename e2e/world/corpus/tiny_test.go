package corpus

import (
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// TestTiny counts the layers that images share, and checks that all images differ.
func TestTiny(t *testing.T) {
	account, err := Tiny(t.Context(), TinyOptions{CacheDir: t.TempDir(), Repositories: 3, Tags: 4, Layers: 2, Size: 20 << 10})
	if err != nil {
		t.Fatal(err)
	}
	images, uses := map[v1.Hash]bool{}, map[v1.Hash]int{}
	for _, r := range account {
		tags, err := r.Tags()
		if err != nil {
			t.Fatal(err)
		}
		if len(tags) != 4 {
			t.Errorf("%s has %d tags, want 4", r.Name, len(tags))
		}
		for _, digest := range tags {
			images[digest] = true
		}
		for _, image := range r.Images {
			for _, digest := range layersOf(t, image) {
				uses[digest]++
			}
		}
	}
	if len(images) != 12 {
		t.Errorf("%d images, want 12", len(images))
	}
	var counts []int
	for _, n := range uses {
		counts = append(counts, n)
	}
	slices.Sort(counts)
	want := append(slices.Repeat([]int{1}, 24), 4, 4, 4, 12)
	if !slices.Equal(counts, want) {
		t.Errorf("the layers are used %v times, want %v", counts, want)
	}
}
