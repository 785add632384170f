package migrate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// A call that a registry throttles holds back others to the same registry, and nothing else.
func TestThrottledRegistry(t *testing.T) {
	for _, test := range []struct {
		step transfer.Step
		ref  string
		held bool
	}{
		{transfer.StepPush, "registry.example.com/b:1", false}, // its question is
		{transfer.StepVerify, "registry.example.com/a:1", true},
		{transfer.StepPull, "123456789012.dkr.ecr.eu-west-1.amazonaws.com/a@sha256:1", false},
		{transfer.StepTag, "registry.example.com/b:1", false},
		{transfer.StepCheck, "registry.example.com/b:1", false},
		{transfer.StepRemove, "registry.example.com/b:1", false},
	} {
		synctestRun(t, fmt.Sprintf("%s %s", test.step, test.ref), func(t *testing.T) {
			e := retryingEngine{rules: []retryRule{{tries: 1}}, outage: &outage{}, busy: newThrottles()}
			_ = e.try(t.Context(), transfer.StepPush, "registry.example.com/a:1", func() error { return docker.ErrThrottled })
			began := time.Now()
			if err := e.try(t.Context(), test.step, test.ref, func() error { return nil }); err != nil {
				t.Error(err)
			}
			if waited := time.Since(began); (waited >= firstPause/2 && waited <= 2*firstPause) != test.held || !test.held && waited != 0 {
				t.Errorf("it waited %s", waited)
			}
		})
	}
}

// Who waits for a registry stops when the run does.
func TestThrottledRegistryAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := retryingEngine{rules: retries, outage: &outage{}, busy: newThrottles(), observe: func(Retrying) {}}
		e.busy.note("registry.example.com", time.Now(), docker.ErrThrottled)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := e.try(ctx, transfer.StepVerify, "registry.example.com/a:1", func() error { t.Error("it was called"); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// Pauses grow while every call after them is throttled, and begin anew when one is not. Calls that began before a pause
// change nothing.
func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := newThrottles()
		pause := func(err error) time.Duration {
			began := time.Now()
			if e := busy.pass(t.Context(), "host"); e != nil {
				t.Fatal(e)
			}
			waited := time.Since(began)
			busy.note("host", time.Now(), err)
			busy.note("host", began.Add(-time.Second), docker.ErrThrottled)
			return waited
		}
		for step, want := range []struct {
			least, most time.Duration // before the call
			then        error
		}{
			{0, 0, docker.ErrThrottled},
			{time.Second, 3 * time.Second, docker.ErrThrottled},
			{2 * time.Second, 6 * time.Second, docker.ErrThrottled},
			{4 * time.Second, 12 * time.Second, docker.ErrThrottled},
			{5 * time.Second, 15 * time.Second, nil},
			{0, 0, docker.ErrThrottled},
			{time.Second, 3 * time.Second, nil},
		} {
			if waited := pause(want.then); waited < want.least || waited > want.most {
				t.Errorf("step %d: waited %s, want %s to %s", step, waited, want.least, want.most)
			}
		}
	})
}

// With a limit for each minute, as GitLab.com has, calls are throttled by the dozen, not by the hundred, and none runs out of
// tries.
func TestLimitPerMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, callers, calls = 2000, 16, 500
		e := retryingEngine{rules: retries, outage: &outage{}, busy: newThrottles(), observe: func(Retrying) {}}
		began := time.Now()
		var mu sync.Mutex
		accepted, throttled := 0, 0
		call := func() error {
			time.Sleep(100 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			if accepted < limit*(1+int(time.Since(began)/time.Minute)) {
				accepted++
				return nil
			}
			throttled++
			return docker.ErrThrottled
		}
		var group sync.WaitGroup
		for range callers {
			group.Go(func() {
				for range calls {
					if err := e.try(t.Context(), transfer.StepVerify, "host/a:1", call); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		took := time.Since(began)
		if least := time.Minute * (callers*calls/limit - 1); took < least || took > least+time.Minute {
			t.Errorf("it took %s, want %s and a part of a minute", took, least)
		}
		t.Logf("%s, %d throttled", took, throttled)
		if throttled > 150 {
			t.Errorf("%d calls were throttled", throttled)
		}
	})
}

// A push that goes ahead after a pause is not held back by its own question.
func TestPushGoesAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ref = "registry.example.com/a:1"
		e := retryingEngine{rules: retries, outage: &outage{}, busy: newThrottles(), observe: func(Retrying) {}}
		e.busy.note("registry.example.com", time.Now(), docker.ErrThrottled)
		pause := time.Until(e.busy.of["registry.example.com"].until)
		began := time.Now()
		err := e.try(t.Context(), transfer.StepPush, ref, func() error {
			return e.try(t.Context(), transfer.StepVerify, ref, func() error { return nil })
		})
		if waited := time.Since(began); err != nil || waited != pause {
			t.Errorf("it waited %s, want %s; error %v", waited, pause, err)
		}
	})
}
