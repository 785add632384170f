package migrate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// verifyIn compares what the engine's source lists with its target.
func verifyIn(t *testing.T, engine *testkit.Engine, pulls int, change func(*Options)) (Summary, []Event, error) {
	t.Helper()
	var events []Event
	options := Options{
		Source: engine.From, Engine: engine, Store: engine.Kind, Namer: plan.Namer{Base: testkit.TargetBase}, Concurrency: 2,
		Observe: func(e Event) { events = append(events, e) }, retries: []retryRule{{tries: 1}},
	}
	if change != nil {
		change(&options)
	}
	summary, err := Verify(t.Context(), options, pulls)
	return summary, events, err
}

// migrated is an engine after the migration of an image, an index with a signature, and a repository of a bad name.
func migrated(t *testing.T, store image.Store, change func(*Options)) (engine *testkit.Engine, pair image.Manifest, first Summary) {
	t.Helper()
	pair, children := testkit.Pair(t, "pair")
	source := testkit.NewRegistry()
	source.Push("app", testkit.Image(t, "image"), "1")
	source.Push("app", pair, "2", "latest")
	source.Hold("app", children...)
	source.Push("app", testkit.Artifact(t, "application/x", "signature", pair))
	source.Push("deep/er/app", testkit.Image(t, "deep"), "1")
	engine = testkit.NewEngine(source)
	engine.Kind = store
	for i, platform := range []string{"amd64", "arm64"} {
		engine.Platforms[children[i].Digest] = *testkit.Linux(platform)
	}
	first, _, err := runIn(t, engine, change)
	if err != nil {
		t.Fatal(err)
	}
	engine.Calls = nil
	return engine, pair, first
}

func TestVerify(t *testing.T) {
	other := digest.FromString("something else")
	for _, test := range []struct {
		name   string
		store  image.Store // empty: containerd
		spoil  func(e *testkit.Engine, pair image.Manifest)
		change func(o *Options) // of both runs
		known  bool             // the pairs of the first run are
		want   []string         // for app, PAIR is the index
		says   map[string]string
	}{
		{name: "all there", want: []string{"1 referrers of PAIR: exact", "app:1: exact", "app:2: exact", "app:latest: exact"}},
		{
			name:  "one missing",
			spoil: func(e *testkit.Engine, _ image.Manifest) { delete(e.Tags, testkit.TargetBase+"/app:2") },
			want:  []string{"1 referrers of PAIR: exact", "app:1: exact", "app:2: missing", "app:latest: exact"},
			says:  map[string]string{"app:2": "GitLab does not have it"},
		},
		{
			name:  "nothing there",
			spoil: func(e *testkit.Engine, _ image.Manifest) { clear(e.Tags) },
			want:  []string{"app:1: missing", "app:2: missing", "app:latest: missing"},
		},
		{
			name:  "one different",
			spoil: func(e *testkit.Engine, _ image.Manifest) { e.Tags[testkit.TargetBase+"/app:1"] = other },
			want:  []string{"1 referrers of PAIR: exact", "app:1: conflict", "app:2: exact", "app:latest: exact"},
			says:  map[string]string{"app:1": "GitLab has another image under this tag: GitLab has " + other.String() + ", and ECR has sha256:"},
		},
		{
			name: "an older image that ECR still has",
			spoil: func(e *testkit.Engine, _ image.Manifest) {
				older := testkit.Image(t, "older")
				e.From.Hold("app", older)
				e.Tags[testkit.TargetBase+"/app:1"] = older.Digest
			},
			want: []string{"1 referrers of PAIR: exact", "app:1: different", "app:2: exact", "app:latest: exact"},
			says: map[string]string{"app:1": "GitLab has another image under this tag"},
		},
		{
			name:   "one different, which a migration overwrites",
			spoil:  func(e *testkit.Engine, _ image.Manifest) { e.Tags[testkit.TargetBase+"/app:1"] = other },
			change: func(o *Options) { o.Conflict = transfer.ConflictOverwrite },
			want:   []string{"1 referrers of PAIR: exact", "app:1: different", "app:2: exact", "app:latest: exact"},
		},
		{
			name:   "one different, which a migration keeps",
			spoil:  func(e *testkit.Engine, _ image.Manifest) { e.Tags[testkit.TargetBase+"/app:1"] = other },
			change: func(o *Options) { o.Conflict = transfer.ConflictKeep },
			want:   []string{"1 referrers of PAIR: exact", "app:1: kept", "app:2: exact", "app:latest: exact"},
		},
		{
			name: "a question to ECR that fails",
			spoil: func(e *testkit.Engine, _ image.Manifest) {
				e.Tags[testkit.TargetBase+"/app:1"] = other
				e.Fails["resolve "+testkit.SourceHost+"/app@"+other.String()] = docker.ErrDenied
			},
			want: []string{"1 referrers of PAIR: exact", "app:1: failed", "app:2: exact", "app:latest: exact"},
			says: map[string]string{"app:1": "denied"},
		},
		{
			name: "other referrers, and none",
			spoil: func(e *testkit.Engine, pair image.Manifest) {
				e.Tags[testkit.TargetBase+"/app:"+image.ReferrersTag(pair.Digest)] = other
			},
			want: []string{"1 referrers of PAIR: different", "app:1: exact", "app:2: exact", "app:latest: exact"},
		},
		{
			name: "not to be asked for",
			spoil: func(e *testkit.Engine, _ image.Manifest) {
				e.Fails["resolve "+testkit.TargetBase+"/app:1"] = docker.ErrDenied
			},
			want: []string{"1 referrers of PAIR: exact", "app:1: failed", "app:2: exact", "app:latest: exact"},
			says: map[string]string{"app:1": "verify " + testkit.TargetBase + "/app:1: denied"},
		},
		{
			name: "what an engine has changed, and this run knows", store: image.ClassicStore, known: true,
			want: []string{"app:1: changed", "app:2: missing", "app:latest: missing"},
			says: map[string]string{"app:2": "the classic image store would flatten this index"},
		},
		{
			name: "what an engine has changed, and nobody knows", store: image.ClassicStore,
			want: []string{"app:1: conflict", "app:2: missing", "app:latest: missing"},
		},
		{
			name: "what this engine could not have brought", store: image.ClassicStore, known: true,
			spoil: func(e *testkit.Engine, pair image.Manifest) { e.Tags[testkit.TargetBase+"/app:2"] = pair.Digest },
			want:  []string{"app:1: changed", "app:2: exact", "app:latest: missing"},
		},
		{
			name: "one platform", change: func(o *Options) { o.Platform = testkit.Linux("arm64") },
			want: []string{"app:1: missing", "app:2: one platform", "app:latest: one platform"},
		},
		{
			name: "archived since",
			spoil: func(e *testkit.Engine, _ image.Manifest) {
				e.From.Tagged["app"][0].Archived = true
				delete(e.Tags, testkit.TargetBase+"/app:latest")
			},
			want: []string{"1 referrers of PAIR: exact", "app:1: exact", "app:2: exact", "app:latest: missing"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			store := image.ContainerdStore
			if test.store != "" {
				store = test.store
			}
			engine, pair, first := migrated(t, store, test.change)
			if test.spoil != nil {
				test.spoil(engine, pair)
			}
			tags := maps.Clone(engine.Tags)
			summary, _, err := verifyIn(t, engine, 0, func(o *Options) {
				if test.change != nil {
					test.change(o)
				}
				if test.known {
					o.Known = pairsOf(first.Results)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			want := []string{"deep/er/app:1: refused"}
			for _, line := range test.want {
				want = append(want, strings.ReplaceAll(line, "PAIR", pair.Digest.String()))
			}
			got := slices.Sorted(slices.Values(outcomes(summary.Results)))
			if slices.Sort(want); !slices.Equal(got, want) {
				t.Errorf("results %q, want %q", got, want)
			}
			for _, r := range summary.Results {
				if words := test.says[r.Name()]; words != "" {
					testkit.ExpectError(t, r.Err, words)
				}
				if !r.Outcome.Arrived() && r.Err == nil {
					t.Errorf("%s does not say why", r.Name())
				}
			}
			if moved := engine.Of("pull", "load", "tag", "push", "cut"); len(moved) > 0 || !maps.Equal(tags, engine.Tags) {
				t.Errorf("it has moved something: %q", moved)
			}
		})
	}
}

// What earlier runs have brought is extra where the source does not list it any more, if the target has it, and if that
// can be known.
func TestVerifyExtra(t *testing.T) {
	brought := func(repository, tag string) Earlier {
		target := testkit.TargetBase + "/" + repository + ":" + tag
		return Earlier{Repository: repository, Tag: tag, Target: target, Source: digest.FromString(tag)}
	}
	earlier := []Earlier{brought("app", "1"), brought("app", "gone"), brought("app", "gone-there-too"), brought("web", "3")}
	for _, test := range []struct {
		name   string
		change func(*Options)
		want   []string
	}{
		{"all is listed", func(*Options) {}, []string{"app:1: exact", "app:gone: extra", "web:3: extra"}},
		{"a part is listed", func(o *Options) { o.Choice.Tags = plan.Patterns{"1"} }, []string{"app:1: exact"}},
		{"a share is compared", func(o *Options) { o.Share = plan.Share{Index: 1, Total: 2} }, []string{"app:1: exact"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			img := testkit.Image(t, "app")
			source := testkit.NewRegistry()
			source.Push("app", img, "1")
			engine := testkit.NewEngine(source)
			engine.Tags[testkit.TargetBase+"/app:1"] = img.Digest
			engine.Tags[testkit.TargetBase+"/app:gone"], engine.Tags[testkit.TargetBase+"/web:3"] = digest.FromString("gone"), digest.FromString("3")
			summary, _, err := verifyIn(t, engine, 0, func(o *Options) { o.Earlier = earlier; test.change(o) })
			got := slices.Sorted(slices.Values(outcomes(summary.Results)))
			if err != nil || !slices.Equal(got, test.want) || summary.Incomplete() > 0 {
				t.Errorf("%q, want %q, error %v", got, test.want, err)
			}
		})
	}
}

// Each job compares its share, which is that of the migration.
func TestVerifyShares(t *testing.T) {
	source := testkit.NewRegistry()
	for i := range 12 {
		source.Push(fmt.Sprintf("app-%02d", i), testkit.Image(t, fmt.Sprint(i)), "1", "latest")
	}
	engine := testkit.NewEngine(source)
	for job := range 3 {
		share := func(o *Options) { o.Share = plan.Share{Index: job + 1, Total: 3} }
		copied, _, err := runIn(t, engine, share)
		if err != nil {
			t.Fatal(err)
		}
		compared, _, err := verifyIn(t, engine, 0, share)
		got, want := slices.Sorted(slices.Values(outcomes(compared.Results))), slices.Sorted(slices.Values(outcomes(copied.Results)))
		if err != nil || len(got) == 0 || !slices.Equal(got, want) {
			t.Errorf("job %d: %q, want %q, error %v", job+1, got, want, err)
		}
	}
}

func TestPullBack(t *testing.T) {
	for _, test := range []struct {
		name   string
		pulls  int
		spoil  func(e *testkit.Engine, leaves []image.Manifest)
		pulled []string // tags, in their order
		failed []string
		calls  []string
	}{
		{name: "none", pulls: 0},
		{name: "one", pulls: 1, pulled: []string{"a:3"}, calls: []string{"pull a@IMAGE3", "remove a@IMAGE3"}},
		{
			name: "more than there are repositories", pulls: 3, pulled: []string{"a:3", "a:2", "b:1"},
			calls: []string{
				"pull a@IMAGE2", "pull a@IMAGE3", "pull b@LEAF0", "pull b@LEAF1", "remove a@IMAGE2", "remove a@IMAGE3", "remove b@LEAF0", "remove b@LEAF1",
			},
		},
		{name: "more than there are images", pulls: 99, pulled: []string{"a:3", "a:2", "a:1", "b:1"}},
		{
			name: "one cannot be pulled", pulls: 2, pulled: []string{"a:3"}, failed: []string{"b:1"},
			spoil: func(e *testkit.Engine, leaves []image.Manifest) {
				e.Fails["pull "+testkit.TargetBase+"/b@"+leaves[1].Digest.String()] = docker.ErrDenied
			},
			calls: []string{"pull a@IMAGE3", "pull b@LEAF0", "pull b@LEAF1", "remove a@IMAGE3", "remove b@LEAF0", "remove b@LEAF1"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			pair, leaves := testkit.Pair(t, "pair")
			source := testkit.NewRegistry()
			digests := []string{"LEAF0", leaves[0].Digest.String(), "LEAF1", leaves[1].Digest.String()}
			for _, tag := range []string{"1", "2", "3"} {
				img := testkit.Image(t, tag)
				source.Push("a", img, tag)
				digests = append(digests, "IMAGE"+tag, img.Digest.String())
			}
			source.Push("b", pair, "1", "latest")
			source.Hold("b", leaves...)
			engine := testkit.NewEngine(source)
			if _, _, err := runIn(t, engine, nil); err != nil {
				t.Fatal(err)
			}
			engine.Calls = nil
			if test.spoil != nil {
				test.spoil(engine, leaves)
			}
			engine.From.Renewing = func(context.Context) (bool, error) {
				t.Error("ECR's credentials are renewed for GitLab's denial")
				return false, nil
			}
			summary, events, err := verifyIn(t, engine, test.pulls, nil)
			if err != nil || summary.Pulled != len(test.pulled) || summary.Incomplete() != len(test.failed) || len(summary.Results) != 5 {
				t.Errorf("%d pulled, results %q, error %v", summary.Pulled, outcomes(summary.Results), err)
			}
			var pulled []string
			for _, line := range told(events) {
				if name, ok := strings.CutPrefix(line, "pulled "); ok {
					pulled = append(pulled, name)
				}
			}
			if !slices.Equal(pulled, test.pulled) {
				t.Errorf("pulled %q, want %q", pulled, test.pulled)
			}
			calls := slices.Sorted(slices.Values(engine.Of("pull", "remove", "push", "load", "tag")))
			for i, call := range test.calls {
				test.calls[i] = strings.NewReplacer(digests...).Replace(call)
			}
			if slices.Sort(test.calls); test.calls != nil && !slices.Equal(calls, test.calls) {
				t.Errorf("calls %q, want %q", calls, test.calls)
			}
			engine.ExpectEmpty(t)
		})
	}
}

// The tags that are pulled are of as many repositories as there can be.
func TestSample(t *testing.T) {
	var items []*plan.Item
	var there []compared
	for i := range 10 {
		for range i + 1 {
			it := &plan.Item{Image: image.Image{Repository: testkit.Repository(fmt.Sprintf("app-%d", i)), Digest: digest.FromString(fmt.Sprint(len(items)))}}
			items = append(items, it)
			for _, tag := range []string{"x", "y"} {
				there = append(there, compared{it, transfer.Result{Repository: it.Image.Repository.Name, Tag: tag, Source: it.Image.Digest}})
			}
		}
	}
	items[0].Refusal = errors.New("not on this engine")
	for n, want := range map[int][2]int{0: {0, 0}, 3: {3, 3}, 9: {9, 9}, 12: {9, 12}, 54: {9, 54}, 1000: {9, 54}} {
		chosen, rest := sample(slices.Clone(there), n)
		repositories, images := map[string]bool{}, map[*plan.Item]bool{}
		for _, c := range chosen {
			repositories[c.result.Repository], images[c.item] = true, true
		}
		if len(repositories) != want[0] || len(images) != want[1] || len(chosen) != len(images) || len(chosen)+len(rest) != len(there) {
			t.Errorf("%d: %d tags of %d images in %d repositories, and %d others", n, len(chosen), len(images), len(repositories), len(rest))
		}
	}
}

func TestVerifyInterrupted(t *testing.T) {
	source := testkit.NewRegistry()
	for i := range 200 {
		source.Push("app", testkit.Image(t, fmt.Sprint(i)), fmt.Sprint(i))
	}
	engine := testkit.NewEngine(source)
	ctx, cancel := context.WithCancel(t.Context())
	engine.Before = func(call string) {
		if strings.HasPrefix(call, "resolve") {
			cancel()
		}
	}
	summary, err := Verify(ctx, Options{
		Source: source, Engine: engine, Store: image.ContainerdStore, Namer: plan.Namer{Base: testkit.TargetBase}, Observe: func(Event) {},
	}, 5)
	if !errors.Is(err, context.Canceled) || len(summary.Results) != 200 || summary.Incomplete() != 200 || summary.Pulled != 0 {
		t.Errorf("%d results, %d pulled, error %v", len(summary.Results), summary.Pulled, err)
	}
	for _, r := range summary.Results {
		if r.Outcome != transfer.NotStarted {
			t.Fatalf("%s: %s: %v", r.Name(), r.Outcome, r.Err)
		}
	}
}
