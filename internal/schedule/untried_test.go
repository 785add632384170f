package schedule

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// Until the target has taken an image, few are pulled for it, however many of its refusals have come.
func TestScheduleBoundsWhatIsUntried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		for n := range 20 {
			b.image(fmt.Sprint(n), fmt.Sprint("blob ", n))
		}
		s := b.schedule(8, 0)
		s.Untried()
		for _, step := range []struct {
			name    string
			push    bool // one of what has been pulled
			arrived bool
			pulls   int
		}{
			{name: "at first", pulls: 4},
			{name: "after a push that was refused", push: true, pulls: 1},
			{name: "after a push that has arrived", push: true, arrived: true, pulls: 5},
			{name: "after another one that was refused", push: true, pulls: 1},
		} {
			if step.push {
				s.Pushed(s.NextPush(t.Context()), step.arrived)
			}
			if n := pullAll(t, s, b); n != step.pulls {
				t.Errorf("%s %d images are pulled, want %d", step.name, n, step.pulls)
			}
		}
	})
}

// pullAll pulls as many images as the schedule lets it, in a synctest bubble, and returns their number.
func pullAll(t *testing.T, s *Schedule, b *bench) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	for n := 0; ; n++ {
		g, _, more := s.NextPull(ctx)
		if !more {
			return n
		}
		pull(s, b, g)
	}
}
