package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// The table as a whole: for each cause and step how often a call is made that always fails so, and for how long. A
// synctest bubble's clock waits.
func TestRetries(t *testing.T) {
	said := errors.New("the words of the engine")
	for _, test := range []struct {
		cause       error
		step        transfer.Step
		tries       int
		least, most time.Duration
	}{
		{docker.ErrNotFound, transfer.StepPull, 1, 0, 0},
		{docker.ErrNotFound, transfer.StepVerify, 1, 0, 0},
		{docker.ErrNoSpace, transfer.StepPull, 1, 0, 0},
		{docker.ErrInvalid, transfer.StepPush, 1, 0, 0},
		{docker.ErrRefused, transfer.StepPush, 1, 0, 0},
		{docker.ErrClosed, transfer.StepPush, 1, 0, 0},
		{docker.ErrClosed, transfer.StepVerify, 1, 0, 0},
		{docker.ErrBlocked, transfer.StepPull, 2, time.Second / 2, 3 * time.Second / 2},
		{docker.ErrNotUnpacked, transfer.StepPull, 1, 0, 0},
		{transfer.ErrIncomplete, transfer.StepCheck, 1, 0, 0},
		{docker.ErrDenied, transfer.StepPull, 1, 0, 0},
		{docker.ErrDenied, transfer.StepVerify, 1, 0, 0},
		{docker.ErrUnauthenticated, transfer.StepPush, 4, 3 * time.Second, 11 * time.Second},
		{docker.ErrUnauthenticated, transfer.StepVerify, 4, 3 * time.Second, 11 * time.Second},
		{docker.ErrDenied, transfer.StepPush, 2, time.Second / 2, 3 * time.Second / 2},
		{docker.ErrThrottled, transfer.StepPush, 30, 2 * time.Minute, 8 * time.Minute},
		{docker.ErrUnavailable, transfer.StepPull, 8, 30 * time.Second, 95 * time.Second},
		{docker.ErrBrokenOff, transfer.StepPush, 3, time.Second, 5 * time.Second},
		{docker.ErrStalled, transfer.StepPull, 3, time.Second, 5 * time.Second},
		{docker.ErrEngineGone, transfer.StepTag, 0, 5 * time.Minute, 6 * time.Minute},
		{docker.ErrEngineGone, transfer.StepRemove, 0, 5 * time.Minute, 6 * time.Minute},
		{said, transfer.StepRemove, 1, 0, 0},
		{said, transfer.StepPush, 2, time.Second / 2, 3 * time.Second / 2},
		{said, transfer.StepPull, 2, time.Second / 2, 3 * time.Second / 2},
	} {
		synctestRun(t, fmt.Sprintf("%s at %s", test.cause, test.step), func(t *testing.T) {
			told := 0
			engine := retryingEngine{rules: retries, outage: &outage{}, observe: func(e Retrying) {
				if told++; e.Step != test.step || e.Ref != "ref" || !errors.Is(e.Err, test.cause) {
					t.Errorf("told %+v", e)
				}
			}}
			began, tries := time.Now(), 0
			err := engine.try(t.Context(), test.step, "ref", func() error { tries++; return errors.Join(said, test.cause) })
			took := time.Since(began)
			if !errors.Is(err, test.cause) || test.tries > 0 && tries != test.tries || tries != told+1 {
				t.Errorf("%d tries, told %d times, error %v", tries, told, err)
			}
			if took < test.least || took > test.most {
				t.Errorf("it took %s, want %s to %s", took, test.least, test.most)
			}
		})
	}
}

// Every cause of the engine's has its row before the last, which is for what nobody knows.
func TestEveryCauseHasARule(t *testing.T) {
	causes := []error{
		docker.ErrNotFound, docker.ErrDenied, docker.ErrUnauthenticated, docker.ErrNoSpace, docker.ErrInvalid, docker.ErrNotUnpacked, docker.ErrThrottled, docker.ErrUnavailable, docker.ErrStalled,
		docker.ErrBrokenOff, docker.ErrEngineGone,
	}
	for _, cause := range causes {
		if i := ruleFor(retries, transfer.StepCheck, cause); i == len(retries)-1 {
			t.Errorf("%v is as good as unknown", cause)
		}
	}
	if i := ruleFor(retries, transfer.StepCheck, errors.New("?")); i != len(retries)-1 {
		t.Errorf("what nobody knows has rule %d", i)
	}
}

func TestRetriesEndWithSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		causes := []error{docker.ErrUnavailable, docker.ErrThrottled, docker.ErrUnavailable, docker.ErrStalled, docker.ErrEngineGone}
		tries := 0
		engine := retryingEngine{rules: retries, outage: &outage{}, observe: func(Retrying) {}}
		err := engine.try(t.Context(), transfer.StepPull, "ref", func() error {
			if tries++; tries <= len(causes) {
				return causes[tries-1]
			}
			return nil
		})
		if err != nil || tries != len(causes)+1 {
			t.Errorf("%d tries, error %v", tries, err)
		}
	})
}

// The end of the context ends the waiting, too, and is told by its cause.
func TestRetriesEndWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second, ErrDeadline)
		defer cancel()
		began := time.Now()
		engine := retryingEngine{rules: retries, outage: &outage{}, observe: func(Retrying) {}}
		err := engine.try(ctx, transfer.StepPull, "ref", func() error { return docker.ErrEngineGone })
		if !errors.Is(err, ErrDeadline) || time.Since(began) != 2*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

// TestPatienceIsForAnOutage: an engine that restarts twice during one long pull is gone for a minute each time, and
// answers in between.
func TestPatienceIsForAnOutage(t *testing.T) {
	for _, test := range []struct {
		name    string
		between func(progress docker.Listener, other func() error)
		want    error
	}{
		{"progress in between", func(progress docker.Listener, _ func() error) { progress(docker.Progress{}) }, nil},
		{"another call's answer in between", func(_ docker.Listener, other func() error) { _ = other() }, nil},
		{"nothing in between", func(docker.Listener, func() error) {}, docker.ErrEngineGone},
	} {
		synctestRun(t, test.name, func(t *testing.T) {
			var engine retryingEngine
			other := func() error {
				return engine.try(t.Context(), transfer.StepVerify, "other", func() error { return nil })
			}
			tries := 0
			pulls := pullingEngine{pull: func(progress docker.Listener) error {
				tries++
				time.Sleep(4 * time.Minute)
				if tries == 3 {
					return nil
				}
				test.between(progress, other)
				time.Sleep(time.Minute)
				return docker.ErrEngineGone
			}}
			engine = retryingEngine{Engine: pulls, rules: retries, outage: &outage{}, observe: func(Retrying) {}}
			if err := engine.Pull(t.Context(), "ref", nil); !errors.Is(err, test.want) {
				t.Errorf("after %d tries: %v", tries, err)
			}
		})
	}
}

// pullingEngine is an engine that only pulls.
type pullingEngine struct {
	transfer.Engine
	pull func(progress docker.Listener) error
}

func (e pullingEngine) Pull(_ context.Context, _ string, progress docker.Listener) error {
	return e.pull(progress)
}

// A push whose tag has turned out to need none is not retried, whatever the reason.
func TestSettledPushIsNotRetried(t *testing.T) {
	source := testkit.NewRegistry()
	source.Push("app", testkit.Image(t, "app"), "1")
	engine := testkit.NewEngine(source)
	engine.Before = func(call string) {
		if strings.HasPrefix(call, "pull ") {
			engine.Fail("resolve "+testkit.TargetBase+"/app:1", docker.ErrDenied)
		}
	}
	var retried []Retrying
	summary, _, err := runIn(t, engine, func(o *Options) {
		o.retries = retries
		o.Observe = func(e Event) {
			if e, is := e.(Retrying); is {
				retried = append(retried, e)
			}
		}
	})
	if err != nil || len(summary.Results) != 1 || summary.Results[0].Outcome != transfer.Failed {
		t.Fatalf("%v: %q", err, outcomes(summary.Results))
	}
	testkit.ExpectError(t, summary.Results[0].Err, "verify ", "denied")
	if len(retried) > 0 || engine.Count("push "+testkit.TargetBase+"/app:1") > 0 {
		t.Errorf("retried %v after %q", retried, engine.Of("push"))
	}
}
