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

// The first pull has the network to itself until it ends, or for a few seconds. Later pulls do not.
func TestScheduleGivesTheFirstPullAHeadStart(t *testing.T) {
	for _, ends := range []struct {
		name  string
		first func(s *Schedule, b *bench, g *Grant) // after a second; nil: the first pull does not end
		want  time.Duration
	}{
		{"pulled", func(s *Schedule, b *bench, g *Grant) { pull(s, b, g) }, time.Second},
		{"failed", func(s *Schedule, _ *bench, g *Grant) { s.Dropped(g, nil) }, time.Second},
		{"slow", nil, headStart},
	} {
		t.Run(ends.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				for n := range 5 {
					b.image(fmt.Sprint(n), fmt.Sprint("blob ", n))
				}
				s := b.schedule(8, 0)
				s.Untried()
				first, _, _ := s.NextPull(t.Context())
				began := time.Now()
				if ends.first != nil {
					time.AfterFunc(time.Second, func() { ends.first(s, b, first) })
				}
				if second, _, _ := s.NextPull(t.Context()); second == nil {
					t.Fatal("the second image is not pulled")
				}
				if waited := time.Since(began); waited != ends.want {
					t.Errorf("the second pull began after %s, want %s", waited, ends.want)
				}
				if s.NextPull(t.Context()); time.Since(began) != ends.want {
					t.Error("the third pull had to wait, too")
				}
			})
		})
	}
}
