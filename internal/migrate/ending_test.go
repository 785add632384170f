package migrate

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

func TestDeadlineAt(t *testing.T) {
	now := time.Date(2026, 11, 26, 20, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name                string
		left                time.Duration
		lastStart, lastCopy time.Duration // before the end
	}{
		{"three hours", 3 * time.Hour, 10 * time.Minute, time.Minute},
		{"half an hour", 30 * time.Minute, 3 * time.Minute, 45 * time.Second},
		{"seconds", 20 * time.Second, 2 * time.Second, time.Second / 2},
		{"none", 0, 0, 0},
		{"less than none", -time.Hour, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			end := now.Add(test.left)
			want := Deadline{LastStart: end.Add(-test.lastStart), LastCopy: end.Add(-test.lastCopy)}
			if got := DeadlineAt(end, now); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
	if got := DeadlineAt(time.Time{}, now); got != (Deadline{}) {
		t.Errorf("no end becomes %v", got)
	}
}

// accountOf has so many images of one tag, in repositories of five.
func accountOf(t *testing.T, images int) *testkit.Registry {
	t.Helper()
	source := testkit.NewRegistry()
	for i := range images {
		source.Push(fmt.Sprint("app", i/5), testkit.Image(t, fmt.Sprint(i)), fmt.Sprint(i))
	}
	return source
}

// countOf counts the results by outcome.
func countOf(results []transfer.Result, outcome transfer.Outcome) int {
	n := 0
	for _, r := range results {
		if r.Outcome == outcome {
			n++
		}
	}
	return n
}

// With a second for each pull and each push, a run stops beginning, lets end what is under way, and says what is left.
func TestRunOutOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := testkit.NewEngine(accountOf(t, 20))
		began := time.Now()
		summary, events, err := runIn(t, engine, func(o *Options) {
			o.Engine = &slowEngine{Engine: engine}
			o.Deadline = Deadline{LastStart: began.Add(2500 * time.Millisecond), LastCopy: began.Add(time.Minute)}
		})
		exact, left := countOf(summary.Results, transfer.Exact), countOf(summary.Results, transfer.NotStarted)
		if !errors.Is(err, ErrDeadline) || exact+left != 20 || exact < 4 || left < 8 {
			t.Errorf("results %q, error %v", outcomes(summary.Results), err)
		}
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("it took %s", took)
		}
		if lines := told(events); !slices.Contains(lines, "stopping: "+ErrDeadline.Error()) {
			t.Errorf("events %q", lines)
		}
		engine.ExpectEmpty(t)
	})
}

// What is still under way at the last moment is cut off, and for the next run to copy.
func TestRunCutOffByTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := testkit.NewEngine(accountOf(t, 3))
		began := time.Now()
		hanging := hangingEngine{engine}
		summary, _, err := runIn(t, engine, func(o *Options) {
			o.Engine = hanging
			o.Deadline = Deadline{LastStart: began.Add(time.Second), LastCopy: began.Add(2 * time.Second)}
		})
		if !errors.Is(err, ErrDeadline) || countOf(summary.Results, transfer.NotStarted) != 3 || time.Since(began) != 2*time.Second {
			t.Errorf("after %s: results %q, error %v", time.Since(began), outcomes(summary.Results), err)
		}
		engine.ExpectEmpty(t)
	})
}

// hangingEngine never ends a push.
type hangingEngine struct{ *testkit.Engine }

func (e hangingEngine) Push(ctx context.Context, _ string, _ docker.Listener) (digest.Digest, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

// A push that the classic engine goes on with after it was cut off leaves an image under a digest that nobody knows.
func TestRunCutOffPush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := testkit.NewRegistry()
		img := testkit.Image(t, "app")
		source.Push("app", img, "1")
		engine := testkit.NewEngine(source)
		engine.Kind = image.ClassicStore
		_, _, err := runIn(t, engine, func(o *Options) {
			o.Engine = hangingEngine{engine}
			o.Deadline = DeadlineAt(time.Now().Add(time.Minute), time.Now())
		})
		if !errors.Is(err, ErrDeadline) {
			t.Errorf("error %v", err)
		}
		calls := engine.Of("remove")
		if last := calls[len(calls)-1]; last != "remove "+img.Config.Digest.String() {
			t.Errorf("removed in the end: %q", last)
		}
	})
}

// Nothing left to do is no reason to run again, whatever the time.
func TestRunDoneBeforeTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		summary, _, err := runIn(t, testkit.NewEngine(accountOf(t, 3)), func(o *Options) {
			o.Deadline = Deadline{LastStart: began.Add(time.Hour), LastCopy: began.Add(2 * time.Hour)}
		})
		if err != nil || summary.Incomplete() != 0 {
			t.Errorf("results %q, error %v", outcomes(summary.Results), err)
		}
	})
}

// A run with a deadline that is over begins nothing.
func TestRunAfterItsDeadline(t *testing.T) {
	engine := testkit.NewEngine(accountOf(t, 3))
	_, _, err := runIn(t, engine, func(o *Options) { o.Deadline = DeadlineAt(time.Now().Add(-time.Hour), time.Now()) })
	if !errors.Is(err, ErrDeadline) {
		t.Errorf("error %v", err)
	}
	if n := engine.Count("pull"); n > 0 {
		t.Errorf("%d pulls", n)
	}
}

// One cause that fails image after image ends the run early.
func TestRunStops(t *testing.T) {
	const images = 100
	unknown := errors.New("a cause of its own")
	for _, test := range []struct {
		name   string
		images int
		cause  error
		from   int // the push that is the first to fail
		stops  bool
		most   int // pushes in all
	}{
		{"job token expired", images, docker.ErrDenied, 20, true, 20 + breakAfter + 8},
		{"registry down", images, docker.ErrUnavailable, 1, true, breakAfter + 8},
		{"engine gone", images, docker.ErrEngineGone, 20, true, 20 + 8},
		{"a few that are denied", 9, docker.ErrDenied, 1, false, 9},
		{"read-only", images, docker.ErrClosed, 1, true, breakClosed + 8},
		{"read-only from now on", images, docker.ErrClosed, 20, true, 20 + breakClosed + 8},
		{"an unknown cause from the first push on", images, unknown, 1, true, 2*breakAfter + 16},
		{"an unknown cause later", 30, unknown, 20, false, 60},
		{"refused by rules", images, docker.ErrRefused, 1, false, images},
		{"gone since", 30, docker.ErrNotFound, 1, false, 60},
	} {
		t.Run(test.name, func(t *testing.T) {
			engine := testkit.NewEngine(accountOf(t, test.images))
			pushes := 0
			failing := failingEngine{engine, func() error {
				if pushes++; pushes >= test.from {
					return test.cause
				}
				return nil
			}}
			summary, _, err := runIn(t, engine, func(o *Options) { o.Engine = &failing; o.Concurrency = 1 })
			var stopped *StoppedError
			if errors.As(err, &stopped) != test.stops || test.stops != errors.Is(err, test.cause) {
				t.Errorf("error %v", err)
			}
			if pushes > test.most || len(summary.Results) != test.images {
				t.Errorf("%d pushes, %d results", pushes, len(summary.Results))
			}
			for _, r := range summary.Results {
				if r.Outcome == transfer.NotStarted && !errors.As(r.Err, &stopped) {
					t.Errorf("%s is not started: %v", r.Name(), r.Err)
				}
			}
			engine.ExpectEmpty(t)
		})
	}
}

// failingEngine fails pushes by what fail returns.
type failingEngine struct {
	*testkit.Engine
	fail func() error
}

func (e *failingEngine) Push(ctx context.Context, ref string, progress docker.Listener) (digest.Digest, error) {
	if err := e.fail(); err != nil {
		return "", err
	}
	return e.Engine.Push(ctx, ref, progress)
}

// sourceEnded is what a source says whose credentials have expired.
type sourceEnded struct{}

func (sourceEnded) Error() string { return "the credentials have expired" }

func (sourceEnded) EndsRun() bool { return true }

func TestBreaker(t *testing.T) {
	denied, down := transfer.FailedAt(transfer.StepPush, "ref", docker.ErrDenied), transfer.FailedAt(transfer.StepPull, "ref", docker.ErrUnavailable)
	unknown := func(repository string) error {
		return transfer.FailedAt(transfer.StepPush, "ref", errors.New("error from registry: out of luck with registry.example.com/"+repository))
	}
	failed := func(repository string, err error) []transfer.Result {
		return []transfer.Result{{Repository: repository, Tag: "1", Outcome: transfer.Failed, Err: err}}
	}
	arrived := func(outcome transfer.Outcome) []transfer.Result {
		return []transfer.Result{{Repository: "app", Tag: "1", Outcome: outcome}}
	}
	found := func(outcome transfer.Outcome) []transfer.Result {
		return []transfer.Result{{Repository: "app", Tag: "1", Outcome: outcome, Found: true}}
	}
	times := func(n int, results []transfer.Result) (all [][]transfer.Result) {
		for range n {
			all = append(all, results)
		}
		return all
	}
	for _, test := range []struct {
		name    string
		results [][]transfer.Result
		after   int // results, 0: never
	}{
		{"in two repositories", slices.Concat(times(9, failed("a", denied)), times(9, failed("b", denied))), 10},
		{"in one repository", times(60, failed("a", denied)), 50},
		{"an arrival between", slices.Concat(times(9, failed("a", denied)), times(1, arrived(transfer.Exact)), times(9, failed("b", denied))), 0},
		{"a changed one is an arrival", slices.Concat(times(9, failed("a", denied)), times(1, arrived(transfer.Changed)), times(9, failed("b", denied))), 0},
		{"one that was there is none", slices.Concat(times(9, failed("a", denied)), times(1, found(transfer.Present)), times(2, failed("b", denied))), 11},
		{"one platform that was there is none", slices.Concat(times(9, failed("a", denied)), times(1, found(transfer.OnePlatform)), times(2, failed("b", denied))), 11},
		{"two causes", slices.Concat(times(6, failed("a", denied)), times(6, failed("b", down)), times(3, failed("c", denied))), 0},
		{"the engine", times(2, failed("a", transfer.FailedAt(transfer.StepPull, "ref", docker.ErrEngineGone))), 1},
		{"closed", times(3, failed("a", transfer.FailedAt(transfer.StepPush, "ref", docker.ErrClosed))), 3},
		{"the bucket", slices.Concat(times(9, failed("a", transfer.FailedAt(transfer.StepPull, "ref", docker.ErrBlocked))), times(1, failed("b", transfer.FailedAt(transfer.StepPull, "ref", docker.ErrBlocked)))), 10},
		{"rules", slices.Concat(times(60, failed("a", transfer.FailedAt(transfer.StepPush, "ref", docker.ErrRefused))), times(60, failed("b", transfer.FailedAt(transfer.StepPush, "ref", docker.ErrRefused)))), 0},
		{"an unknown cause", slices.Concat(times(9, failed("a", unknown("a"))), times(1, failed("b", unknown("b")))), 10},
		{"an unknown cause after an arrival", slices.Concat(times(1, arrived(transfer.Exact)), times(9, failed("a", unknown("a"))), times(9, failed("b", unknown("b")))), 0},
		{"unknown causes", slices.Concat(times(9, failed("a", unknown("a"))), times(1, failed("b", transfer.FailedAt(transfer.StepPush, "ref", errors.New("another"))))), 0},
		{"the source", times(2, slices.Concat(arrived(transfer.Exact), failed("a", transfer.FailedAt(transfer.StepPull, "ref", errors.Join(docker.ErrDenied, sourceEnded{}))))), 1},
		{"of no concern", times(60, failed("a", transfer.FailedAt(transfer.StepPull, "ref", docker.ErrNotFound))), 0},
		{"refused", times(60, []transfer.Result{{Repository: "a", Outcome: transfer.Refused, Err: docker.ErrDenied}}), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			var b breaker
			after := 0
			for i, results := range test.results {
				if stopped := b.note(results); stopped != nil {
					after = i + 1
					if !strings.Contains(stopped.Error(), "ref") {
						t.Errorf("says %q", stopped)
					}
					break
				}
			}
			if after != test.after {
				t.Errorf("stopped after %d, want %d", after, test.after)
			}
		})
	}
}

// Who has to raise a proxy's limit needs to know how far.
func TestTooLargeNamesTheLargestLayer(t *testing.T) {
	engine := testkit.NewEngine(accountOf(t, 1))
	failing := failingEngine{engine, func() error {
		return docker.Classify(errors.New("unknown: unexpected status from PUT request to https://r/v2/a/blobs/uploads/1: 413 Request Entity Too Large"))
	}}
	summary, _, _ := runIn(t, engine, func(o *Options) { o.Engine = &failing })
	failed := new(transfer.StepError)
	if len(summary.Results) != 1 || !errors.As(summary.Results[0].Err, &failed) {
		t.Fatalf("results %+v", summary.Results)
	}
	if !regexp.MustCompile(`client_max_body_size.*; the image's largest layer has [1-9][0-9.]* [kM]?B$`).MatchString(failed.Remedy) {
		t.Errorf("got %s", failed.Remedy)
	}
}
