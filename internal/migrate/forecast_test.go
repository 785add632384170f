package migrate

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

// previewIn looks at what the engine's source and its target have.
func previewIn(t *testing.T, engine *testkit.Engine, change func(*Options)) (Forecast, []Event, error) {
	t.Helper()
	var events []Event
	options := Options{
		Source: engine.From, Engine: engine, Store: engine.Kind, Namer: plan.Namer{Base: testkit.TargetBase}, Concurrency: 2,
		Observe: func(e Event) { events = append(events, e) }, retries: []retryRule{{tries: 1}},
	}
	if change != nil {
		change(&options)
	}
	outlook, err := Plan(t.Context(), options, plan.Pace{Bytes: 1 << 20, Within: time.Hour})
	return outlook, events, err
}

// sizeOf are the bytes of the blobs of all manifests together.
func sizeOf(manifests ...image.Manifest) (bytes int64) {
	for _, m := range manifests {
		for _, blob := range m.Blobs() {
			bytes += blob.Size
		}
	}
	return bytes
}

func TestPreview(t *testing.T) {
	there, next, archived := testkit.Image(t, "there"), testkit.Image(t, "the next one"), testkit.Image(t, "archived")
	fill := func() *testkit.Engine {
		source := testkit.NewRegistry()
		source.Push("app", there, "1")
		source.Push("app", next, "2", "3")
		source.Push("app", testkit.Artifact(t, "application/x", "signature", next))
		source.Push("lib", there, "1") // at GitLab in another repository: to be fetched, and no more to be stored
		return testkit.NewEngine(source)
	}
	signature := []plan.UnknownType{{MediaType: "application/x", Referrers: 1}}
	for _, test := range []struct {
		name  string
		store image.Store
		spoil func(e *testkit.Engine)
		want  Forecast
		says  []string // outcomes of the results

		conflicts []string // likewise
	}{
		{
			name: "some are there",
			want: Forecast{
				Manifests: 4,
				Present:   1, Pending: 3, Images: 2, Referrers: 1, Blobs: 4, Fetched: sizeOf(there, next), Unshared: sizeOf(there, next), Added: sizeOf(next),
				Largest: "app:2", LargestBytes: next.Config.Size + 4*next.Layers[0].Size, Unknown: signature,
			},
		},
		{
			name:      "one is another one",
			spoil:     func(e *testkit.Engine) { e.Tags[testkit.TargetBase+"/app:3"] = digest.FromString("another") },
			conflicts: []string{"app:3: conflict"},
			want: Forecast{
				Manifests: 4,
				Present:   1, Pending: 3, Images: 2, Referrers: 1, Blobs: 4, Fetched: sizeOf(there, next), Unshared: sizeOf(there, next),
				Added: sizeOf(next), Largest: "app:2", LargestBytes: next.Config.Size + 4*next.Layers[0].Size, Unknown: signature,
			},
		},
		{
			name:  "one is another one, which ECR still has",
			spoil: func(e *testkit.Engine) { e.Tags[testkit.TargetBase+"/app:3"] = there.Digest },
			want: Forecast{
				Manifests: 4,
				Present:   1, Pending: 3, Replaced: 1, Images: 2, Referrers: 1, Blobs: 4, Fetched: sizeOf(there, next), Unshared: sizeOf(there, next),
				Added: sizeOf(next), Largest: "app:2", LargestBytes: next.Config.Size + 4*next.Layers[0].Size, Unknown: signature,
			},
		},
		{
			name: "a repository that has another tag of the image",
			spoil: func(e *testkit.Engine) {
				e.From.Tagged["lib"][0].Tags = []string{"1", "4"}
				e.Tags[testkit.TargetBase+"/lib:4"] = there.Digest
			},
			want: Forecast{
				Manifests: 4,
				Present:   2, Pending: 3, Images: 2, Referrers: 1, Blobs: 2, Fetched: sizeOf(next), Unshared: sizeOf(there, next), Added: sizeOf(next),
				Largest: "app:2", LargestBytes: next.Config.Size + 4*next.Layers[0].Size, Unknown: signature,
			},
		},
		{
			name: "some would not arrive",
			spoil: func(e *testkit.Engine) {
				e.From.Push("app", archived, "old")
				e.From.Tagged["app"][3].Archived = true
				e.From.Push("deep/er/app", there, "1")
				e.From.Push("broken", there, "1")
				e.From.Failing["broken"] = errors.New("AccessDeniedException")
				delete(e.From.Held["lib"], there.Digest)
				e.Fails["resolve "+testkit.TargetBase+"/app:3"] = docker.ErrDenied
				e.Tags[testkit.TargetBase+"/app:"+image.ReferrersTag(next.Digest)] = digest.FromString("others")
			},
			want: Forecast{
				Manifests: 3,
				Present:   1, Pending: 2, Images: 1, Blobs: 2, Fetched: sizeOf(next), Unshared: sizeOf(next), Added: sizeOf(next),
				Largest: "app:2", LargestBytes: next.Config.Size + 4*next.Layers[0].Size, Unknown: signature,
			},
			says: []string{
				referrersOf(next, "1") + ": different", "app:3: failed", "app:old: refused", "broken: failed", "deep/er/app:1: refused", "lib:1: failed",
			},
		},
		{
			name: "the classic store", store: image.ClassicStore,
			want: Forecast{
				Manifests: 4,
				Present:   1, Pending: 3, Images: 2, Blobs: 4, Fetched: sizeOf(there, next), Unshared: sizeOf(there, next), Added: sizeOf(next),
				Largest: "app:2", LargestBytes: 4 * sizeOf(next),
			},
			says: []string{referrersOf(next, "1") + ": refused"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			engine := fill()
			if test.store != "" {
				engine.Kind = test.store
			}
			first, _, err := runIn(t, engine, func(o *Options) { o.Choice = plan.Choice{Repositories: plan.Patterns{"app"}, Tags: plan.Patterns{"1"}} })
			if err != nil || first.Incomplete() > 0 {
				t.Fatalf("%q, error %v", outcomes(first.Results), err)
			}
			if test.spoil != nil {
				test.spoil(engine)
			}
			engine.Calls = nil
			got, _, err := previewIn(t, engine, func(o *Options) { o.Known, o.Share = pairsOf(first.Results), plan.Share{Index: 2, Total: 2} })
			if err != nil {
				t.Fatal(err)
			}
			says := slices.Sorted(slices.Values(outcomes(got.Results)))
			if slices.Sort(test.says); !slices.Equal(says, test.says) || got.Troubles() != len(test.says) {
				t.Errorf("results %q, want %q", says, test.says)
			}
			if conflicts := outcomes(got.Conflicts); !slices.Equal(conflicts, test.conflicts) {
				t.Errorf("conflicts %q, want %q", conflicts, test.conflicts)
			}
			if got.Store != engine.Kind || got.Listed.Tags == 0 {
				t.Errorf("store %s, listed %+v", got.Store, got.Listed)
			}
			if len(got.Times) == 0 || got.Enough != 1 {
				t.Errorf("times %v, %d jobs are enough", got.Times, got.Enough)
			}
			got.Store, got.Listed, got.Results, got.Pace, got.Times, got.Enough, got.Conflicts = "", Listed{}, nil, plan.Pace{}, nil, 0, nil
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
			if moved := engine.Of("pull", "load", "tag", "push", "cut", "remove"); len(moved) > 0 {
				t.Errorf("it has moved something: %q", moved)
			}
		})
	}
}

// The source is asked for one layer of each repository from which something is to be copied.
func TestPreviewTriesAccess(t *testing.T) {
	source := testkit.NewRegistry()
	for _, name := range []string{"a", "b", "c", "there"} {
		source.Push(name, testkit.Image(t, name), "1")
		source.Push(name, testkit.Image(t, name+" 2"), "2")
	}
	engine := testkit.NewEngine(source)
	if _, _, err := runIn(t, engine, func(o *Options) { o.Choice.Repositories = plan.Patterns{"there"} }); err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 100)
	got, _, err := previewIn(t, engine, func(o *Options) {
		o.Access = func(_ context.Context, r image.Repository, layer digest.Digest) Access {
			asked <- r.Name
			if layer != testkit.Image(t, r.Name).Config.Digest {
				t.Errorf("asked for %s of %s", layer, r.Name)
			}
			return map[string]Access{
				"a": {Refused: map[string]error{"ecr:One": errors.New("not for a")}},
				"b": {Refused: map[string]error{"ecr:One": errors.New("not for b"), "ecr:Two": errors.New("never")}, Bucket: "refuses"},
				"c": {Bucket: "bucket"},
			}[r.Name]
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if close(asked); len(asked) != 3 {
		t.Errorf("asked %d times", len(asked))
	}
	if !slices.Equal(got.Buckets, []string{"bucket"}) {
		t.Errorf("can read %v", got.Buckets)
	}
	want := []string{"ecr:One [a b] not for a", "ecr:Two [b] never"}
	var denied []string
	for _, d := range got.Denied {
		denied = append(denied, fmt.Sprintln(d.Action, d.Repositories, d.Err))
	}
	if joined := strings.Join(denied, ""); joined != strings.Join(want, "\n")+"\n" || got.Troubles() != 2 {
		t.Errorf("got %q, want %q", joined, want)
	}
}

// A target that denies everything is not asked for all of it.
func TestPreviewStops(t *testing.T) {
	source := testkit.NewRegistry()
	for i := range 500 {
		source.Push(fmt.Sprintf("app-%d", i%2), testkit.Image(t, fmt.Sprint(i)), fmt.Sprint(i))
	}
	engine := testkit.NewEngine(source)
	for i := range 500 {
		engine.Fails[fmt.Sprintf("resolve %s/app-%d:%d", testkit.TargetBase, i%2, i)] = docker.ErrDenied
	}
	_, _, err := previewIn(t, engine, nil)
	var stopped *StoppedError
	if !errors.As(err, &stopped) || !errors.Is(err, docker.ErrDenied) || len(engine.Calls) == 500 {
		t.Errorf("%d calls, error %v", len(engine.Calls), err)
	}
}

func TestPreviewOfNothing(t *testing.T) {
	got, _, err := previewIn(t, testkit.NewEngine(testkit.NewRegistry()), nil)
	if err != nil || got.Troubles() != 0 || len(got.Times) != 0 || got.Enough != 1 {
		t.Errorf("%+v, error %v", got, err)
	}
}
