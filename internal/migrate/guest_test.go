package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// lodging is an engine that holds images of the user's, each of which a run can get in the way of.
type lodging struct {
	engine  *testkit.Engine
	journal *testkit.Journal
	before  []string
}

func newLodging(t *testing.T, store image.Store) lodging {
	t.Helper()
	source := testkit.NewRegistry()
	engine := testkit.NewEngine(source)
	engine.Kind = store
	atSource := func(name string, m image.Manifest) string { return testkit.Repository(name).Reference(m) }
	atTarget := func(name string) string { return testkit.TargetBase + "/" + name }
	images := map[string]image.Manifest{}
	for _, name := range []string{"taken", "unnamed", "same", "digest", "tagged", "free"} {
		images[name] = testkit.Image(t, name)
		source.Push(name, images[name], "1", "latest")
	}
	engine.Keep(testkit.Image(t, "a build"), atTarget("taken")+":latest", "registry.example.com/else:1")
	engine.Keep(testkit.Image(t, "a build, with no other name"), atTarget("taken")+":1")
	engine.Keep(images["taken"], atSource("taken", images["taken"]))
	engine.Keep(images["unnamed"])
	engine.Keep(images["same"], atTarget("same")+":1")
	engine.Keep(images["digest"], atTarget("digest")+"@"+images["digest"].Digest.String())
	engine.Keep(images["tagged"], testkit.SourceHost+"/tagged:latest", "mine:1")
	engine.Keep(testkit.Image(t, "nobody's"))
	return lodging{engine, &testkit.Journal{}, engine.Holdings()}
}

func (l lodging) run(t *testing.T, change func(*Options)) (Summary, []Event, error) {
	t.Helper()
	return runIn(t, l.engine, func(o *Options) {
		o.Journal = l.journal
		if change != nil {
			change(o)
		}
	})
}

// expectAsBefore fails the test unless the engine holds what it held before, and no notes.
func (l lodging) expectAsBefore(t *testing.T) {
	t.Helper()
	if now := l.engine.Holdings(); !slices.Equal(now, l.before) {
		t.Errorf("the engine holds\n%s\nand held before\n%s", strings.Join(now, "\n"), strings.Join(l.before, "\n"))
	}
	if notes, err := l.journal.Notes(t.Context()); err != nil || len(notes) > 0 {
		t.Errorf("notes %q, error %v", notes, err)
	}
}

func stores() []image.Store { return []image.Store{image.ClassicStore, image.ContainerdStore} }

// What the engine held before a run, it holds afterwards, however the run ends.
func TestGuest(t *testing.T) {
	for _, store := range stores() {
		for name, spoil := range map[string]func(t *testing.T, e *testkit.Engine, interrupt func()){
			"success": func(*testing.T, *testkit.Engine, func()) {},
			"no push succeeds": func(_ *testing.T, e *testkit.Engine, _ func()) {
				for _, name := range []string{"taken", "unnamed", "same", "digest", "tagged", "free"} {
					for _, tag := range []string{"1", "latest"} {
						e.Fails["push "+testkit.TargetBase+"/"+name+":"+tag] = docker.ErrDenied
					}
				}
			},
			"the disk is full": func(t *testing.T, e *testkit.Engine, _ func()) {
				full := testkit.Image(t, "free")
				e.Fails["pull "+testkit.Repository("free").Reference(full)] = docker.ErrNoSpace
				for _, blob := range full.Blobs() {
					e.Fails["pull "+testkit.SourceHost+"/free@"+blob.Digest.String()] = docker.ErrNoSpace
				}
			},
			"interrupted by a push": func(_ *testing.T, e *testkit.Engine, interrupt func()) {
				e.Before = func(call string) {
					if strings.HasPrefix(call, "push ") {
						interrupt()
					}
				}
			},
			"interrupted while an image is parked": func(_ *testing.T, e *testkit.Engine, interrupt func()) {
				e.Before = func(call string) {
					if strings.HasPrefix(call, "tag ecr2gitlab.invalid/parked/") {
						interrupt()
					}
				}
			},
		} {
			t.Run(fmt.Sprint(store)+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLodging(t, store)
					ctx, interrupt := context.WithCancel(t.Context())
					defer interrupt()
					spoil(t, l.engine, interrupt)
					summary, err := Run(ctx, l.options(t))
					if l.engine.Count("sweep") > 0 {
						t.Error("the engine was swept, which ends the pulls of others")
					}
					if name == "the disk is full" && summary.Incomplete() != 2 {
						t.Errorf("results %q", outcomes(summary.Results))
					}
					if name == "success" && (err != nil || summary.Incomplete() > 0) {
						t.Errorf("results %q, error %v", outcomes(summary.Results), err)
					}
					l.expectAsBefore(t)
				})
			})
		}
	}
}

func (l lodging) options(t *testing.T) (options Options) {
	t.Helper()
	_, _, _ = l.run(t, func(o *Options) {
		options = *o
		o.Source = testkit.NewRegistry() // nothing to do
	})
	l.engine.Calls = nil
	return options
}

var errKilled = errors.New("killed")

// TestKilledAnywhere kills a run before each of its calls in turn, and the next one after as many. The third leaves everything
// as it was before.
func TestKilledAnywhere(t *testing.T) {
	for _, store := range stores() {
		t.Run(fmt.Sprint(store), func(t *testing.T) {
			for last, ended := 0, false; !ended; last++ {
				synctest.Test(t, func(t *testing.T) {
					l := newLodging(t, store)
					ended = !l.killAfter(t, last)
					l.engine.Calls = append(l.engine.Calls, "(again)")
					l.killAfter(t, last)
					l.engine.Calls = append(l.engine.Calls, "(again)")
					clear(l.engine.Tags) // all is to be copied again
					clear(l.engine.Arrived)
					summary, _, err := l.run(t, nil)
					if err != nil || summary.Incomplete() > 0 {
						t.Errorf("results %q, error %v", outcomes(summary.Results), err)
					}
					if l.expectAsBefore(t); t.Failed() {
						t.Logf("killed after %d of these calls:\n%s", last, strings.Join(l.engine.Calls, "\n"))
					}
				})
			}
		})
	}
}

// killAfter reports whether the run makes more calls than that.
func (l lodging) killAfter(t *testing.T, last int) (killed bool) {
	t.Helper()
	var mu sync.Mutex
	calls := 0
	stop := func() error {
		mu.Lock()
		defer mu.Unlock()
		if calls++; calls > last {
			killed = true
			return errKilled
		}
		return nil
	}
	l.engine.Stops, l.journal.Before = stop, stop
	_, _, _ = l.run(t, func(o *Options) { o.Concurrency = 1 })
	l.engine.Stops, l.journal.Before = nil, nil
	return killed
}

// A tag that the user has given to another image since the run was killed stays there.
func TestBuiltSinceKilled(t *testing.T) {
	for _, store := range stores() {
		t.Run(fmt.Sprint(store), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLodging(t, store)
				var killed atomic.Bool
				l.engine.Before = func(call string) {
					if strings.HasPrefix(call, "push "+testkit.TargetBase+"/taken:latest") {
						killed.Store(true)
					}
				}
				l.engine.Stops = func() error {
					if killed.Load() {
						return errKilled
					}
					return nil
				}
				l.journal.Before = l.engine.Stops
				_, _, _ = l.run(t, nil)
				l.engine.Stops, l.journal.Before = nil, nil
				rebuilt := testkit.Image(t, "another build")
				l.engine.Keep(rebuilt, "rebuilt:1")
				if err := l.engine.Tag(t.Context(), "rebuilt:1", testkit.TargetBase+"/taken:latest"); err != nil {
					t.Fatal(err)
				}
				_, events, err := l.run(t, nil)
				if err != nil {
					t.Fatal(err)
				}
				found, err := l.engine.Find(t.Context(), testkit.TargetBase+"/taken:latest")
				if want, _ := l.engine.Find(t.Context(), "rebuilt:1"); err != nil || found.ID != want.ID {
					t.Errorf("the tag stands for %s, want %s (%v)", found.ID, want.ID, err)
				}
				if i := slices.IndexFunc(events, func(e Event) bool { _, ok := e.(Entered); return ok }); i < 0 || events[i].(Entered).Removed == 0 {
					t.Errorf("events %q do not say that anything was removed", told(events))
				}
			})
		})
	}
}

// What a run that is alive has in the engine stays there.
func TestAnotherRunIsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLodging(t, image.ContainerdStore)
		waiting := make(chan struct{})
		var once sync.Once
		l.engine.Before = func(call string) {
			if strings.HasPrefix(call, "push "+testkit.TargetBase+"/taken:latest") {
				once.Do(func() { <-waiting })
			}
		}
		ended := make(chan Summary)
		go func() {
			summary, _, _ := l.run(t, nil)
			ended <- summary
		}()
		synctest.Wait()
		held := l.engine.Holdings()
		_, events, err := l.run(t, func(o *Options) { o.Source = testkit.NewRegistry() })
		if err != nil || !slices.ContainsFunc(events, func(e Event) bool { entered, ok := e.(Entered); return ok && entered.Others }) {
			t.Errorf("events %q, error %v", told(events), err)
		}
		if now := l.engine.Holdings(); !slices.Equal(now, held) {
			t.Errorf("the engine holds\n%s\nand held before the second run\n%s", strings.Join(now, "\n"), strings.Join(held, "\n"))
		}
		close(waiting)
		if summary := <-ended; summary.Incomplete() > 0 {
			t.Errorf("results %q", outcomes(summary.Results))
		}
		l.expectAsBefore(t)
	})
}

func TestRealmOf(t *testing.T) {
	source := testkit.NewRegistry()
	for _, name := range []string{"app", "deep/er/path", "too/deep/for/gitlab", "moved"} {
		source.Push(name, testkit.Image(t, name), "1")
	}
	rules, err := plan.ParseRules("moved => ../elsewhere/app")
	if err != nil {
		t.Fatal(err)
	}
	found, _ := surveyed(t, source, func(p *plan.Planner) { p.Namer.Rules = rules })
	realm := realmOf(found, testkit.TargetBase)
	if want := []string{"registry.example.com/group/elsewhere", testkit.TargetBase}; !slices.Equal(realm.Projects, want) {
		t.Errorf("projects %q, want %q", realm.Projects, want)
	}
	if want := []string{testkit.SourceHost}; !slices.Equal(realm.Hosts, want) {
		t.Errorf("hosts %q, want %q", realm.Hosts, want)
	}
}

// A dedicated engine costs one list, and a note that is kept until the end.
func TestDedicatedCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := testkit.NewRegistry()
		source.Push("app", testkit.Image(t, "app"), "1", "2")
		engine, journal := testkit.NewEngine(source), &testkit.Journal{}
		count := func(o *Options) []string {
			engine.Calls = nil
			engine.Tags, engine.Arrived = map[string]digest.Digest{}, map[string]bool{}
			if _, _, err := runIn(t, engine, func(options *Options) { *options = *o }); err != nil {
				t.Fatal(err)
			}
			return slices.Sorted(slices.Values(engine.Calls)) // tags are asked for at once
		}
		options := lodging{engine, journal, nil}.options(t)
		options.Concurrency = 1
		with := count(&options)
		options.Journal, options.Dedicated = nil, true
		without := count(&options)
		if got := slices.DeleteFunc(with, func(call string) bool { return call == "list" }); !slices.Equal(got, without) || len(with) == len(got) {
			t.Errorf("calls\n%s\nwant these and a list\n%s", strings.Join(with, "\n"), strings.Join(without, "\n"))
		}
		engine.ExpectEmpty(t)
	})
}

// A run that cannot note what the engine holds does not touch it.
func TestNoNotes(t *testing.T) {
	for allowed, name := range []string{"reading fails", "writing fails"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLodging(t, image.ContainerdStore)
				calls := 0
				l.journal.Before = func() error {
					if calls++; calls > allowed {
						return errors.New("volumes are off limits")
					}
					return nil
				}
				_, _, err := l.run(t, nil)
				testkit.ExpectError(t, err, "volumes are off limits", "docker:dind")
				if got := l.engine.Of("pull", "load", "push", "remove", "tag"); len(got) > 0 {
					t.Errorf("calls %q", got)
				}
			})
		})
	}
}

// An engine without images of its own needs no notes.
func TestNoNotesNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := testkit.NewRegistry()
		source.Push("app", testkit.Image(t, "app"), "1")
		engine := testkit.NewEngine(source)
		off := &testkit.Journal{Before: func() error { return errors.New("volumes are off limits") }}
		summary, _, err := runIn(t, engine, func(o *Options) { o.Journal = off })
		if err != nil || summary.Incomplete() > 0 {
			t.Errorf("results %q, error %v", outcomes(summary.Results), err)
		}
		engine.ExpectEmpty(t)
	})
}

// A tag whose name is too long to keep the user's image by fails, and the image keeps it.
func TestNameTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name := strings.Repeat("n", 200)
		l := newLodging(t, image.ContainerdStore)
		l.engine.From.Push(name, testkit.Image(t, "long"), "1")
		l.engine.Keep(testkit.Image(t, "theirs"), testkit.TargetBase+"/"+name+":1")
		l.before = l.engine.Holdings()
		summary, _, err := l.run(t, nil)
		if err != nil || summary.Incomplete() != 1 {
			t.Fatalf("results %q, error %v", outcomes(summary.Results), err)
		}
		i := slices.IndexFunc(summary.Results, func(r transfer.Result) bool { return r.Outcome == transfer.Failed })
		testkit.ExpectError(t, summary.Results[i].Err, "too long", "docker:dind")
		l.expectAsBefore(t)
	})
}
