package transfer_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

// One tag of an image is pushed with its blobs. Once it has arrived, the others are pushed at once, as many as may be.
func TestDeliverOtherTagsAtOnce(t *testing.T) {
	for _, test := range []struct {
		name    string
		pushes  int // at once
		lost    int // of the first tags, whose push fails
		seconds int
	}{
		{"one at a time", 1, 0, 6},
		{"two at a time", 2, 0, 4},
		{"any number", 9, 0, 2},
		{"the first does not arrive", 9, 1, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tags := []string{"1", "2", "3", "4", "5", "6"}
				s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", testkit.Image(t, "app"), tags...) })
				s.with.Pushes = test.pushes
				var want []string
				for i, tag := range tags {
					outcome := "exact"
					if i < test.lost {
						s.engine.Fails["push "+s.target(tag)], outcome = docker.ErrDenied, "failed"
					}
					want = append(want, "app:"+tag+": "+outcome)
				}
				s.engine.Before = func(call string) {
					if strings.HasPrefix(call, "push ") {
						time.Sleep(time.Second)
					}
				}
				began := time.Now()
				s.copy(t, want...)
				if took := time.Since(began); took != time.Duration(test.seconds)*time.Second {
					t.Errorf("it took %s, want %d s", took, test.seconds)
				}
			})
		})
	}
}

// What the engine lacks is brought once all other tags have been pushed, and each tag that failed for it is pushed again.
func TestDeliverOtherTagsAgain(t *testing.T) {
	img := testkit.Image(t, "app")
	s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", img, "1", "2", "3") })
	var mu sync.Mutex
	failed := map[string]bool{}
	s.engine.Before = func(call string) {
		mu.Lock()
		defer mu.Unlock()
		if strings.HasPrefix(call, "push ") && !strings.HasSuffix(call, ":1") && !failed[call] {
			failed[call] = true
			s.engine.Fail(call, fmt.Errorf("content digest %s: %w", img.Layers[0].Digest, docker.ErrNotFound))
			return
		}
		s.engine.Fail(call, nil)
	}
	s.copy(t, "app:1: exact", "app:2: exact", "app:3: exact")
	for _, tag := range []string{"2", "3"} {
		if n := s.engine.Count("push " + s.target(tag)); n != 2 {
			t.Errorf("tag %s was pushed %d times, want 2", tag, n)
		}
	}
}

// While a tag is verified, other tags are pushed.
func TestDeliverVerifiesMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", testkit.Image(t, "app"), "1", "2", "3") })
		s.with.Pushes = 1
		s.engine.Before = func(call string) {
			if strings.HasPrefix(call, "push ") || strings.HasPrefix(call, "resolve ") {
				time.Sleep(time.Second)
			}
		}
		began := time.Now()
		s.copy(t, "app:1: exact", "app:2: exact", "app:3: exact")
		// All tags are asked for, then each is asked for and pushed, and the last is verified.
		if took := time.Since(began); took != (1+3*2+1)*time.Second {
			t.Errorf("it took %s, want 8 s", took)
		}
	})
}

// A tag that the target has taken counts even if the run ends while it is verified.
func TestDeliverVerifiesAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", testkit.Image(t, "app"), "1", "2") })
		s.with.Pushes = 1
		ctx, cancel := context.WithCancel(t.Context())
		asked := 0
		s.engine.Before = func(call string) {
			switch call {
			case "push " + s.target("2"):
				cancel()
			case "resolve " + s.target("1"):
				if asked++; asked == 3 { // before all, right before the push, and after it
					time.Sleep(time.Second)
				}
			}
		}
		results, _ := s.attempt(ctx)
		if got, want := outcomes(results), []string{"app:1: exact", "app:2: failed"}; !slices.Equal(got, want) {
			t.Errorf("results %q, want %q", got, want)
		}
		if asked != 4 {
			t.Errorf("GitLab is asked %d times, want 4", asked)
		}
	})
}
