package migrate

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// runIn makes a run with the engine, and returns its events with its summary.
func runIn(t *testing.T, engine *testkit.Engine, change func(*Options)) (Summary, []Event, error) {
	t.Helper()
	var events []Event
	options := Options{
		Source: engine.From, Engine: engine, Store: engine.Kind, Namer: plan.Namer{Base: testkit.TargetBase}, Concurrency: 2,
		Observe: func(e Event) { events = append(events, e) }, retries: []retryRule{{tries: 1}},
	}
	if change != nil {
		change(&options)
	}
	summary, err := Run(t.Context(), options)
	return summary, events, err
}

// told writes events in one line each.
func told(events []Event) []string {
	var lines []string
	for _, event := range events {
		switch e := event.(type) {
		case Comparing:
			lines = append(lines, fmt.Sprintf("comparing %d tags", e.Tags))
		case PulledBack:
			lines = append(lines, "pulled "+e.Result.Name())
		case Listed:
			lines = append(lines, fmt.Sprintf("listed %d tags", e.Tags))
		case Shared:
			lines = append(lines, fmt.Sprintf("job %d of %d: %d of %d tags", e.Share.Index, e.Share.Total, e.Tags, e.Listed))
		case Planned:
			lines = append(lines, fmt.Sprintf("planned %d tags, %d refused", e.Tags, len(e.Refused)))
		case Started:
			lines = append(lines, fmt.Sprintf("started %s", e.Image.Tags))
		case Stopping:
			lines = append(lines, fmt.Sprintf("stopping: %s", e.Cause))
		case Recovering:
			lines = append(lines, fmt.Sprintf("recovering %d", e.Images))
		case Finished:
			lines = append(lines, "finished "+outcomes([]transfer.Result{e.Result})[0])
		}
	}
	return lines
}

func TestRun(t *testing.T) {
	pair, children := testkit.Pair(t, "app")
	img, blocked := testkit.Image(t, "image"), testkit.Image(t, "blocked")
	source := testkit.NewRegistry()
	source.Push("app", pair, "1", "latest")
	source.Hold("app", children...)
	source.Push("app", img, "2")
	source.Push("app", testkit.Artifact(t, "application/x", "signature", img))
	source.Push("broken", img, "1")
	source.Failing["broken"] = errors.New("ThrottlingException")
	source.Push("deep/er/app", img, "1")
	source.Push("other", blocked, "1")
	source.Add("empty")
	engine := testkit.NewEngine(source)
	engine.Rivals[children[1].Digest] = children[0].Digest
	engine.Fails["push "+testkit.TargetBase+"/other:1"] = docker.ErrDenied
	summary, events, err := runIn(t, engine, func(o *Options) { o.Concurrency = 1 })
	if err != nil {
		t.Fatal(err)
	}
	want := []string{ // the pull of one image may begin before or after the end of another's push
		"listed 5 tags",
		"planned 5 tags, 1 refused",
		"finished broken: failed",
		"finished deep/er/app:1: refused",
		"started [1 latest]",
		"started [1]",
		"finished other:1: failed",
		"started [2]",
		"finished app:2: exact",
		"started [" + image.ReferrersTag(img.Digest) + "]",
		"finished " + referrersOf(img, "1") + ": exact",
		"recovering 1",
		"started [1 latest]",
		"finished app:1: exact",
		"finished app:latest: exact",
	}
	got := told(events)
	if len(got) != len(want) {
		t.Fatalf("events\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	sideBySide := want[4:11] // pulls and pushes, in an order of their own
	slices.Sort(sideBySide)
	slices.Sort(got[4:11])
	if !slices.Equal(got, want) {
		t.Errorf("events\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if summary.Incomplete() != 3 {
		t.Errorf("%d incomplete", summary.Incomplete())
	}
	var finished []transfer.Result
	for _, event := range events {
		if e, ok := event.(Finished); ok {
			finished = append(finished, e.Result)
		}
	}
	if !reflect.DeepEqual(finished, summary.Results) {
		t.Error("the summary has other results than the events")
	}
	for i, d := range []string{testkit.TargetBase + "/app:1", testkit.TargetBase + "/app:latest"} {
		if engine.Tags[d] != pair.Digest {
			t.Errorf("%d: %s has %q", i, d, engine.Tags[d])
		}
	}
	engine.ExpectEmpty(t)
}

// What is at the target is what the second run finds there.
func TestRunTwice(t *testing.T) {
	pair, children := testkit.Pair(t, "app")
	source := testkit.NewRegistry()
	source.Push("app", pair, "1", "latest")
	source.Hold("app", children...)
	source.Push("app", testkit.Artifact(t, "application/x", "signature", pair))
	engine := testkit.NewEngine(source)
	for _, outcome := range []transfer.Outcome{transfer.Exact, transfer.Present} {
		summary, _, err := runIn(t, engine, nil)
		if err != nil || len(summary.Results) != 3 {
			t.Fatalf("results %q, error %v", outcomes(summary.Results), err)
		}
		for _, r := range summary.Results {
			if r.Outcome != outcome || r.Source != r.Pushed {
				t.Errorf("%s: %s, %s -> %s", r.Name(), r.Outcome, r.Source, r.Pushed)
			}
		}
	}
}

// pairsOf are the pairs that results leave for a later run.
func pairsOf(results []transfer.Result) func(repository, target string) (transfer.DigestChange, bool) {
	pairs := map[string]transfer.DigestChange{}
	for _, r := range results {
		pairs[r.Repository+" "+r.Target] = transfer.DigestChange{Source: r.Source, Root: r.Root, Pushed: r.Pushed}
	}
	return func(repository, target string) (transfer.DigestChange, bool) {
		pair, ok := pairs[repository+" "+target]
		return pair, ok
	}
}

// On the classic store digests change, and a second run knows them by the pairs of the first: those of what it would
// copy itself.
func TestRunTwiceOnTheClassicStore(t *testing.T) {
	pair, children := testkit.Pair(t, "app")
	single := testkit.Image(t, "single")
	source := testkit.NewRegistry()
	source.Push("app", pair, "1", "latest")
	source.Hold("app", children...)
	source.Push("app", single, "2")
	engine := testkit.NewEngine(source)
	engine.Kind = image.ClassicStore
	for i, platform := range []string{"amd64", "arm64"} {
		engine.Platforms[children[i].Digest] = *testkit.Linux(platform)
	}
	var known func(repository, target string) (transfer.DigestChange, bool)
	for _, run := range []struct {
		architecture string
		want         []string
		pushes       int
	}{
		{"amd64", []string{"app:1: one platform", "app:2: changed", "app:latest: one platform"}, 3},
		{"amd64", []string{"app:1: one platform", "app:2: present", "app:latest: one platform"}, 0},
		{"arm64", []string{"app:1: one platform", "app:2: present", "app:latest: one platform"}, 2},
		{"arm64", []string{"app:1: one platform", "app:2: present", "app:latest: one platform"}, 0},
	} {
		engine.Calls, engine.Platforms[single.Digest] = nil, *testkit.Linux(run.architecture)
		summary, _, err := runIn(t, engine, func(o *Options) { o.Platform, o.Known = testkit.Linux(run.architecture), known })
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Sorted(slices.Values(outcomes(summary.Results))); !slices.Equal(got, run.want) {
			t.Errorf("results %q, want %q", got, run.want)
		}
		if got := engine.Of("push"); len(got) != run.pushes {
			t.Errorf("pushes %q, want %d", got, run.pushes)
		}
		known = pairsOf(summary.Results)
	}
}

// Images that share children, side by side: each child is held until its last user has pushed.
func TestRunSharedChildren(t *testing.T) {
	shared := testkit.Image(t, "shared")
	source := testkit.NewRegistry()
	source.Hold("app", shared)
	const images = 40
	for i := range images {
		own := testkit.Image(t, fmt.Sprint(i))
		source.Hold("app", own)
		source.Push("app", testkit.Index(t, testkit.Child(shared, testkit.Linux("amd64")), testkit.Child(own, testkit.Linux("arm64"))), fmt.Sprint(i))
	}
	engine := testkit.NewEngine(source)
	summary, _, err := runIn(t, engine, func(o *Options) { o.Concurrency = 8 })
	if err != nil || len(summary.Results) != images || summary.Incomplete() != 0 {
		t.Errorf("results %q, error %v", outcomes(summary.Results), err)
	}
	engine.ExpectEmpty(t)
}

func TestRunNothing(t *testing.T) {
	refused := errors.New("AccessDeniedException")
	engine := testkit.NewEngine(testkit.NewRegistry())
	summary, events, err := runIn(t, engine, func(o *Options) {
		o.Source = testkit.Source{ListRepositories: func(context.Context) ([]image.Repository, error) { return nil, refused }}
	})
	if !errors.Is(err, refused) || len(summary.Results) != 0 || len(events) != 0 {
		t.Errorf("results %q, events %q, error %v", outcomes(summary.Results), told(events), err)
	}
	if summary, events, err := runIn(t, engine, nil); err != nil || len(summary.Results) != 0 || len(told(events)) != 2 {
		t.Errorf("empty registry: results %q, events %q, error %v", outcomes(summary.Results), told(events), err)
	}
}

// synctestRun runs a subtest that fails where a goroutine of its own outlives it.
func synctestRun(t *testing.T, name string, test func(*testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

func TestRunInterrupted(t *testing.T) {
	const images = 12
	for _, kind := range []string{"resolve", "pull", "missing", "tag", "push"} {
		synctestRun(t, kind, func(t *testing.T) {
			source := testkit.NewRegistry()
			for i := range images {
				source.Push("app", testkit.Image(t, fmt.Sprint(i)), fmt.Sprint(i))
			}
			engine := testkit.NewEngine(source)
			summary, err := runInterrupted(t, engine, kind, 3)
			if !errors.Is(err, context.Canceled) || len(summary.Results) != images || summary.Incomplete() != images {
				t.Errorf("results %q, error %v", outcomes(summary.Results), err)
			}
			for _, r := range summary.Results {
				if r.Outcome != transfer.NotStarted || !errors.Is(r.Err, context.Canceled) {
					t.Errorf("%s: %s: %v", r.Name(), r.Outcome, r.Err)
				}
			}
			engine.ExpectEmpty(t)
		})
	}
}

// runInterrupted runs until the engine's first call of that kind, which interrupts the run.
func runInterrupted(t *testing.T, engine *testkit.Engine, kind string, concurrency int) (Summary, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	engine.Before = func(call string) {
		if strings.HasPrefix(call, kind) {
			cancel()
		}
	}
	return Run(ctx, Options{
		Source: engine.From, Engine: engine, Store: image.ContainerdStore, Namer: plan.Namer{Base: testkit.TargetBase},
		Concurrency: concurrency, Observe: func(Event) {},
	})
}

// An interrupted index leaves nothing in the engine, however far it has come.
func TestIndexInterrupted(t *testing.T) {
	pair, children := testkit.Pair(t, "app")
	for _, kind := range []string{"resolve", "pull", "load", "missing", "push"} {
		synctestRun(t, kind, func(t *testing.T) {
			source := testkit.NewRegistry()
			source.Push("app", pair, "1", "2")
			source.Hold("app", children...)
			engine := testkit.NewEngine(source)
			summary, err := runInterrupted(t, engine, kind, 1)
			if got, want := outcomes(summary.Results), []string{"app:1: not started", "app:2: not started"}; !slices.Equal(got, want) || !errors.Is(err, context.Canceled) {
				t.Errorf("results %q, want %q; error %v", got, want, err)
			}
			for _, r := range summary.Results {
				if !errors.Is(r.Err, context.Canceled) {
					t.Errorf("%s: %v", r.Name(), r.Err)
				}
			}
			engine.ExpectEmpty(t)
		})
	}
}

// An image that was set aside is not tried again after an interruption.
func TestRunInterruptedBeforeRecovery(t *testing.T) {
	source := testkit.NewRegistry()
	img := testkit.Image(t, "app")
	source.Push("app", img, "1")
	engine := testkit.NewEngine(source)
	engine.Broken[img.Digest] = true
	ctx, cancel := context.WithCancel(t.Context())
	engine.Before = func(call string) {
		if strings.HasPrefix(call, "remove") {
			cancel()
		}
	}
	var events []Event
	summary, err := Run(ctx, Options{
		Source: source, Engine: engine, Store: image.ContainerdStore, Namer: plan.Namer{Base: testkit.TargetBase},
		Observe: func(e Event) { events = append(events, e) },
	})
	if got := outcomes(summary.Results); !slices.Equal(got, []string{"app:1: not started"}) || !errors.Is(err, context.Canceled) {
		t.Errorf("results %q, error %v", got, err)
	}
	if lines := told(events); slices.Contains(lines, "recovering 1") {
		t.Errorf("events %q", lines)
	}
}

// slowEngine takes a second for a pull and for a push, on the clock of a synctest bubble.
type slowEngine struct {
	*testkit.Engine
	pulls, pushes gauge
}

func (e *slowEngine) Pull(ctx context.Context, ref string, progress docker.Listener) error {
	defer e.pulls.enter()()
	time.Sleep(time.Second)
	return e.Engine.Pull(ctx, ref, progress)
}

func (e *slowEngine) Push(ctx context.Context, ref string, progress docker.Listener) (digest.Digest, error) {
	defer e.pushes.enter()()
	time.Sleep(time.Second)
	return e.Engine.Push(ctx, ref, progress)
}

// gauge counts who is inside, and how many were there at once.
type gauge struct {
	mu           sync.Mutex
	inside, most int
}

func (g *gauge) enter() (leave func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside++
	g.most = max(g.most, g.inside)
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.inside--
	}
}

func TestRunHonoursTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound = 3
		source := testkit.NewRegistry()
		for i := range 20 {
			source.Push(fmt.Sprint("app", i%4), testkit.Image(t, fmt.Sprint(i)), fmt.Sprint(i))
		}
		engine := testkit.NewEngine(source)
		slow := &slowEngine{Engine: engine}
		summary, _, err := runIn(t, engine, func(o *Options) { o.Concurrency, o.Engine = bound, slow })
		if err != nil || summary.Incomplete() != 0 || len(summary.Results) != 20 {
			t.Errorf("results %q, error %v", outcomes(summary.Results), err)
		}
		if slow.pulls.most != bound || slow.pushes.most != bound {
			t.Errorf("%d pulls and %d pushes at once, want %d of each", slow.pulls.most, slow.pushes.most, bound)
		}
	})
}

// What could not be read has failed; what is known not to fit is refused; and what MIGRATE_PLATFORM leaves is counted.
func TestRunTellsRefusalsFromFailures(t *testing.T) {
	pair, children := testkit.Pair(t, "app")
	gone := testkit.Image(t, "gone")
	source := testkit.NewRegistry()
	source.Push("app", pair, "1")
	source.Hold("app", children...)
	source.Push("app", testkit.Artifact(t, "application/x", "signature", pair))
	source.Push("app", testkit.Artifact(t, "application/x", "of a child", children[0]))
	source.Push("app", gone, "2")
	delete(source.Held["app"], gone.Digest)
	source.Push("deep/er/app", testkit.Image(t, "deep"), "1")
	summary, events, err := runIn(t, testkit.NewEngine(source), func(o *Options) { o.Platform = testkit.Linux("arm64") })
	if err != nil {
		t.Fatal(err)
	}
	got := slices.Sorted(slices.Values(outcomes(summary.Results)))
	if want := []string{"app:1: one platform", "app:2: failed", "deep/er/app:1: refused"}; !slices.Equal(got, want) {
		t.Errorf("results %q, want %q", got, want)
	}
	for _, event := range events {
		if e, ok := event.(Planned); ok && (len(e.Refused) != 1 || e.LeftReferrers != 2) {
			t.Errorf("planned %d refused, %d referrers left", len(e.Refused), e.LeftReferrers)
		}
	}
}

// What each worker did is told with its time, and with the bytes that were not there before.
func TestWorked(t *testing.T) {
	first, second := testkit.LightImage(t, "first", "base"), testkit.LightImage(t, "second", "base")
	own := sizeOf(second) - int64(len("base"))
	synctest.Test(t, func(t *testing.T) {
		source := testkit.NewRegistry()
		source.Push("app", first, "1", "one") // as many tags as the second, which would be pulled first otherwise
		source.Push("app", second, "2", "denied")
		engine := testkit.NewEngine(source)
		engine.Fails["push "+testkit.TargetBase+"/app:denied"] = errors.New("no")
		began := time.Now()
		_, events, err := runIn(t, engine, func(o *Options) { o.Concurrency = 1 })
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, event := range events {
			if e, ok := event.(Worked); ok {
				worker := e.Worker
				if e.Step == transfer.StepPush {
					worker /= pushersPerPull // either of them may be first
				}
				got = append(got, fmt.Sprintf("%s %d %s %t %d", e.Step, worker, e.Image.Tags, e.Well, e.Bytes))
				if !e.Began.Equal(began) {
					t.Errorf("%s began at %s", e.Step, e.Began)
				}
			}
		}
		slices.Sort(got)
		want := []string{
			fmt.Sprintf("pull 0 [1 one] true %d", sizeOf(first)),
			fmt.Sprintf("pull 0 [2 denied] true %d", own),
			fmt.Sprintf("push 0 [1 one] true %d", sizeOf(first)),
			"push 0 [2 denied] false 0",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	})
}

func TestIncompleteLeavesOutWhatIsKept(t *testing.T) {
	summary := Summary{Results: []transfer.Result{{Outcome: transfer.Kept}, {Outcome: transfer.Conflict}, {Outcome: transfer.Exact}}}
	if got := summary.Incomplete(); got != 1 {
		t.Errorf("%d are incomplete", got)
	}
}
