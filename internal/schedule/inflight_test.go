package schedule

import (
	"testing"
	"testing/synctest"
	"time"
)

// On a network that is slow, or has not been measured, large pulls wait until others have ended or take long.
func TestScheduleBoundsWhatIsPulledAtOnce(t *testing.T) {
	const large = 20 << 20
	for _, test := range []struct {
		name   string
		before time.Duration                   // that the pull of a large blob has taken before; 0: there was none
		size   int64                           // of the blobs
		end    func(*Schedule, *bench, *Grant) // of the first pull, after a second; nil: it does not end
		waits  time.Duration                   // of the second pull for the first
	}{
		{"unmeasured", 0, large, nil, flightTime},
		{"the first pull ends", 0, large, func(s *Schedule, b *bench, g *Grant) { pull(s, b, g) }, time.Second},
		{"the first pull fails", 0, large, func(s *Schedule, _ *bench, g *Grant) { s.Dropped(g, nil) }, time.Second},
		{"the disk is full", 0, large, func(s *Schedule, _ *bench, g *Grant) { s.Postpone(g, nil); s.Swept(true) }, time.Second},
		{"small", 0, maxInFlight / 2, nil, 0},
		{"fast", measuringTime, large, nil, 0},
		{"slow", time.Second, large, nil, flightTime},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				b.size = test.size
				if test.before > 0 {
					b.image("earlier", "a")
				}
				b.image("first", "b")
				b.image("second", "c")
				s := b.schedule(9, 0)
				if test.before > 0 {
					earlier, _, _ := s.NextPull(t.Context())
					time.Sleep(test.before)
					pull(s, b, earlier)
				}
				first, _, _ := s.NextPull(t.Context())
				began := time.Now()
				if test.end != nil {
					time.AfterFunc(time.Second, func() { test.end(s, b, first) })
				}
				if second, _, _ := s.NextPull(t.Context()); second == nil || second == first {
					t.Fatal("the second image is not pulled")
				}
				if waited := time.Since(began); waited != test.waits {
					t.Errorf("the second pull began after %s, want %s", waited, test.waits)
				}
			})
		})
	}
}

// The speed is what was brought in the time in which something was being pulled.
func TestInFlightSpeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f inFlight
		pull := func(bytes int64, took time.Duration) {
			_, ended := f.begin(bytes)
			time.Sleep(took)
			ended(bytes)
			time.Sleep(time.Hour) // in which nothing is pulled
		}
		for _, step := range []struct {
			bytes int64
			took  time.Duration
			want  float64
		}{
			{1e6, 100 * time.Millisecond, 0}, // too short to tell
			{1e6, 400 * time.Millisecond, 4e6},
			{4e6, time.Second, 4e6},
			{8e6, time.Second, 6e6},
		} {
			if pull(step.bytes, step.took); f.speed != step.want {
				t.Errorf("%.0f bytes/s after %d bytes in %s, want %.0f", f.speed, step.bytes, step.took, step.want)
			}
		}
		if f.pulls != 0 || f.bytes != 0 {
			t.Errorf("%d pulls of %d bytes are under way", f.pulls, f.bytes)
		}
	})
}
