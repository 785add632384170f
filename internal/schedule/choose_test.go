package schedule

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

// What most bytes of others wait for is pulled first, but nothing far behind, and nothing out of order once half of the disk
// is used.
func TestScheduleChooses(t *testing.T) {
	const others = "c"
	for _, test := range []struct {
		name   string
		limit  int
		budget int64 // in blobs; 0: none
		used   int   // blobs, from the start
		want   string
	}{
		{"no limit for the disk", 2, 0, 0, "wanted"},
		{"beyond the window", 1, 0, 0, "a little wanted"},
		{"much of the disk is free", 2, 9, 2, "wanted"},
		{"half of the disk is used", 2, 9, 5, "first"},
	} {
		t.Run(test.name, func(t *testing.T) {
			bench := newBench()
			bench.image("first", "a")
			bench.image("a little wanted", "base", "b")
			bench.image("another", "base").checked = false
			bench.image("wanted", others, "d")
			for range 2 {
				bench.image("later", others).checked = false
			}
			s := bench.schedule(test.limit, test.budget)
			s.disk.used = int64(test.used) * bench.size
			for _, g := range bench.tasks {
				if g.Image.Tags[0] == test.want {
					expectPull(t, s, g)
				}
			}
		})
	}
}

// Images with several tags take longest to push, so they do not come last.
func TestScheduleChoosesManyTags(t *testing.T) {
	bench := newBench()
	one, many, others := bench.image("one", "a"), bench.image("many", "b"), bench.image("others", "c")
	many.Image.Tags = append(many.Image.Tags, "more", "still more")
	s := bench.schedule(9, 0)
	for _, want := range []*Grant{many, one, others} {
		expectPull(t, s, want)
	}
	for _, g := range []*Grant{one, many, others} {
		pull(s, bench, g)
	}
	for _, want := range []*Grant{many, one, others} {
		if got := s.NextPush(t.Context()); got != want {
			t.Errorf("%q is pushed, want %q", names([]*Grant{got}), names([]*Grant{want}))
		}
	}
}

// A large layer is unpacked if the engine would unpack it again for others among the next: those with large layers of their own.
func TestScheduleWorthUnpacking(t *testing.T) {
	for _, test := range []struct {
		name string
		size int64    // of each blob
		next []string // blobs of an image to come
		used int64    // of the disk, in percent
		want []string // of the first image's blobs "base" and "own"
	}{
		{"a large layer on it", 2 * image.MaxBlobPull, []string{"base", "another"}, 0, []string{"base"}},
		{"a large layer on both", 2 * image.MaxBlobPull, []string{"base", "own", "another"}, 0, []string{"base", "own"}},
		{"no other layer", 2 * image.MaxBlobPull, []string{"base"}, 0, nil},
		{"a large layer without it", 2 * image.MaxBlobPull, []string{"another"}, 0, nil},
		{"small layers", image.MaxBlobPull, []string{"base", "another"}, 0, nil},
		{"half of the disk is used", 2 * image.MaxBlobPull, []string{"base", "another"}, 60, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench()
			b.size = test.size
			first := b.image("first", "base", "own")
			b.image("next", test.next...).checked = false
			s := b.schedule(9, 100)
			s.disk.used = s.disk.budget / 100 * test.used
			if g, _, _ := s.NextPull(t.Context()); g != first {
				t.Fatalf("%v is pulled", g)
			}
			var want []plan.BlobID
			for i, name := range []string{"base", "own"} {
				if slices.Contains(test.want, name) {
					want = append(want, first.Blobs[i])
				}
			}
			if !slices.Equal(first.Unpack, want) {
				t.Errorf("%v is unpacked, want %v", first.Unpack, want)
			}
		})
	}
}

// While many images wait for one layer, others behind them are pulled, but the search for one does not go through all images.
func TestScheduleReach(t *testing.T) {
	for _, test := range []struct {
		name    string
		waiting int
		want    bool
	}{
		{"within reach", reach - 1, true},
		{"beyond reach", reach, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				first := b.image("first", "base")
				for range test.waiting {
					b.image("waiting", "base")
				}
				other := b.image("other", "a")
				s := b.schedule(9, 0)
				expectPull(t, s, first)
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				if g, _, _ := s.NextPull(ctx); (g == other) != test.want {
					t.Errorf("%v is pulled", g)
				}
			})
		})
	}
}
