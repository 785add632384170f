package schedule

import "testing"

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
