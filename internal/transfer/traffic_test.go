package transfer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
)

// hang is a call that does not end by itself.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// A sweep meets nothing that is under way, and nothing begins while it waits and works.
func TestSweepWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		traffic := NewTraffic()
		var order []string
		ended := make(chan struct{})
		go func() {
			_ = traffic.call(t.Context(), nil, func(context.Context, docker.Listener) error { <-ended; order = append(order, "first"); return nil })
		}()
		synctest.Wait()
		go traffic.sweep(t.Context(), func() { order = append(order, "sweep") })
		synctest.Wait()
		go func() {
			_ = traffic.call(t.Context(), nil, func(context.Context, docker.Listener) error { order = append(order, "second"); return nil })
		}()
		synctest.Wait()
		if traffic.sweep(t.Context(), func() { t.Error("two sweeps at once") }) {
			t.Error("a sweep beside another")
		}
		close(ended)
		synctest.Wait()
		if len(order) != 3 || order[0] != "first" || order[1] != "sweep" {
			t.Errorf("order %q", order)
		}
	})
}

// What does not move is cut off, and the sweep made.
func TestSweepCutsOffWhatIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		traffic := NewTraffic()
		stuck := make(chan error, 1)
		go func() {
			stuck <- traffic.call(t.Context(), nil, func(ctx context.Context, _ docker.Listener) error { return hang(ctx) })
		}()
		synctest.Wait()
		began := time.Now()
		if !traffic.sweep(t.Context(), func() {}) || time.Since(began) != sweepPatience {
			t.Errorf("not swept, or after %s", time.Since(began))
		}
		if err := <-stuck; !errors.Is(err, docker.ErrStalled) {
			t.Errorf("the stuck call ends with %v", err)
		}
	})
}

// What moves is left alone: the sweep is given up, and held up nobody for longer than its patience.
func TestSweepGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		traffic := NewTraffic()
		ctx, cancel := context.WithCancel(t.Context())
		moving := make(chan error, 1)
		go func() {
			moving <- traffic.call(ctx, nil, func(ctx context.Context, progress docker.Listener) error {
				for ctx.Err() == nil {
					progress(docker.Progress{})
					time.Sleep(time.Second)
				}
				return ctx.Err()
			})
		}()
		synctest.Wait()
		began := time.Now()
		if traffic.sweep(t.Context(), func() { t.Error("swept") }) || time.Since(began) != sweepPatience {
			t.Errorf("swept, or after %s", time.Since(began))
		}
		if err := traffic.call(t.Context(), nil, func(context.Context, docker.Listener) error { return nil }); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-moving; !errors.Is(err, context.Canceled) {
			t.Errorf("the call ends with %v", err)
		}
	})
}

// Who waits for a sweep hears of the end of the run.
func TestSweepIsInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		traffic := NewTraffic()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		go func() {
			ended <- traffic.call(ctx, nil, func(context.Context, docker.Listener) error { <-t.Context().Done(); return nil })
		}()
		synctest.Wait()
		go traffic.sweep(ctx, func() { t.Error("swept") })
		synctest.Wait()
		go func() {
			ended <- traffic.call(ctx, nil, func(context.Context, docker.Listener) error { t.Error("called"); return nil })
		}()
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}

// What has brought what it was for is cut off at once, and does not fail for it.
func TestSweepCutsOffWhatIsDone(t *testing.T) {
	for _, test := range []struct {
		name string
		done time.Duration // when the call has brought what it was for; the sweep begins after a minute
		want time.Duration // when the sweep is made
	}{
		{"before the sweep", time.Second, time.Minute},
		{"while the sweep waits", time.Minute + time.Second, time.Minute + time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				traffic, began, ended := NewTraffic(), time.Now(), make(chan error, 1)
				go func() {
					ended <- traffic.callUntil(t.Context(), nil, func(ctx context.Context, _ docker.Listener, done func()) error {
						time.Sleep(test.done)
						done()
						<-ctx.Done()
						return nil
					})
				}()
				time.Sleep(time.Minute)
				if !traffic.sweep(t.Context(), func() {}) || time.Since(began) != test.want {
					t.Errorf("not swept, or after %s", time.Since(began))
				}
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
