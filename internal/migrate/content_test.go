package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// What one image has brought the next ones find, in whatever repository.
func TestRunBringsEachBlobOnce(t *testing.T) {
	for _, test := range []struct {
		name      string
		image     func(t testing.TB, content string, shared ...string) image.Manifest
		dedicated bool
		calls     string
	}{
		{"by blob", testkit.LightImage, false, "pull"},
		{"by blob in an engine of our own", testkit.LightImage, true, "pull"},
		{"cut off", testkit.HeavyImage, true, "cut"},
	} {
		t.Run(test.name, func(t *testing.T) {
			source := testkit.NewRegistry()
			const images = 24
			for i := range images {
				content := fmt.Sprint("app", i)
				source.Push(fmt.Sprint("repository", i%5), test.image(t, content, "base", fmt.Sprint("part", i%3)), content)
			}
			engine := testkit.NewEngine(source)
			summary, _, err := runIn(t, engine, func(o *Options) { o.Concurrency, o.Dedicated = 4, test.dedicated })
			if err != nil || len(summary.Results) != images || summary.Incomplete() != 0 {
				t.Errorf("results %q, error %v", outcomes(summary.Results), err)
			}
			brought := map[string]int{}
			for _, call := range engine.Of(test.calls) {
				_, d, _ := strings.Cut(call, "@")
				brought[d]++
			}
			want := images // one pull that is cut off an image
			if test.calls == "pull" {
				want = 2*images + 1 + 3 // layers and configs, the base and the parts
			}
			if len(brought) != want {
				t.Errorf("%d are brought, want %d", len(brought), want)
			}
			for d, n := range brought {
				if n != 1 {
					t.Errorf("%s is brought %d times", d, n)
				}
			}
			engine.ExpectEmpty(t)
		})
	}
}

// A new image of a repository that is there brings what is new of it, unless the target has lost the rest since.
func TestCopySparesWhatTheTargetHas(t *testing.T) {
	for _, test := range []struct {
		name  string
		image func(t testing.TB, content string, shared ...string) image.Manifest
		lost  bool
		want  []string
	}{
		{"by blob", testkit.LightImage, false, []string{"pull app@" + testkit.DigestOf("config of 2"), "pull app@" + testkit.DigestOf("2")}},
		{"lost since", testkit.LightImage, true, []string{"pull app@" + testkit.DigestOf("base"), "pull app@" + testkit.DigestOf("config of 2"), "pull app@" + testkit.DigestOf("2")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			source := testkit.NewRegistry()
			source.Push("app", test.image(t, "1", "base"), "1")
			engine := testkit.NewEngine(source)
			if _, _, err := runIn(t, engine, nil); err != nil {
				t.Fatal(err)
			}
			source.Push("app", test.image(t, "2", "base"), "2", "latest")
			if test.lost {
				delete(engine.Arrived, testkit.TargetBase+"/app@"+testkit.DigestOf("base"))
			}
			engine.Calls = nil
			summary, _, err := runIn(t, engine, nil)
			if got := outcomes(summary.Results); err != nil || !slices.Equal(got, []string{"app:1: present", "app:2: exact", "app:latest: exact"}) {
				t.Errorf("results %q, error %v", got, err)
			}
			got := engine.Of("pull")
			slices.Sort(got)
			got = slices.Compact(got) // what was lost is found out by the push: by then the rest may have left the engine
			slices.Sort(test.want)
			if !slices.Equal(got, test.want) {
				t.Errorf("pulls\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
			engine.ExpectEmpty(t)
		})
	}
}

// Where blobs cannot be had by themselves, the image is pulled as any other, and after a few it is not tried any more.
func TestCopyWithoutBlobPulls(t *testing.T) {
	source := testkit.NewRegistry()
	const images = 12
	for i := range images {
		source.Push("app", testkit.LightImage(t, fmt.Sprint(i)), fmt.Sprint(i))
	}
	engine := testkit.NewEngine(source)
	engine.NoBlobs = true
	summary, _, err := runIn(t, engine, func(o *Options) { o.Concurrency = 1 })
	if err != nil || len(summary.Results) != images || summary.Incomplete() != 0 {
		t.Errorf("results %q, error %v", outcomes(summary.Results), err)
	}
	if pulls := len(engine.Of("pull")); pulls != images+2*2 {
		t.Errorf("%d pulls for %d images and the blobs of two", pulls, images)
	}
	engine.ExpectEmpty(t)
}

// A host of foreign layers that does not answer is asked once for each image, and fails nothing else.
func TestHostOfForeignLayersIsDown(t *testing.T) {
	small, large := testkit.Blob(image.MediaTypeDockerForeignLayer, "app"), testkit.Heavy(image.MediaTypeDockerForeignLayer, "app")
	for name, layer := range map[string]ocispec.Descriptor{"small": small, "large": large} {
		t.Run(name, func(t *testing.T) {
			source := testkit.NewRegistry()
			img := testkit.ForeignImage(t, layer)
			source.Push("app", img, "1")
			source.Push("other", testkit.Image(t, "other"), "1")
			engine := testkit.NewEngine(source)
			uri := testkit.SourceHost + "/app@"
			engine.Fails["pull "+uri+layer.Digest.String()] = docker.ErrNotFound
			engine.Fails["pull "+uri+img.Digest.String()] = docker.Classify(errors.New(
				`failed to do request: Get "` + img.Layers[0].URLs[0] + `": dial tcp 192.0.2.1:80: connect: connection refused`))
			summary, _, err := runIn(t, engine, func(o *Options) { o.retries = retries })
			if err != nil {
				t.Fatal(err)
			}
			got := outcomes(summary.Results)
			slices.Sort(got)
			if !slices.Equal(got, []string{"app:1: failed", "other:1: exact"}) {
				t.Fatalf("results %q", got)
			}
			failed, step := summary.Results[0], new(transfer.StepError)
			if failed.Outcome != transfer.Failed {
				failed = summary.Results[1]
			}
			if !errors.As(failed.Err, &step) || !strings.Contains(step.Remedy, "make layers.example.com available to the engine") {
				t.Errorf("%v, and the remedy %+v", failed.Err, step)
			}
			if n := engine.Count("pull " + uri + img.Digest.String()); n != 1 {
				t.Errorf("%d pulls of the image", n)
			}
			engine.ExpectEmpty(t)
		})
	}
}

// In an engine that others use pulls are not cut off: what that leaves could not be swept up without harm to them.
func TestCutOffInAnEngineOfOurOwnAlone(t *testing.T) {
	for dedicated, want := range map[bool]string{true: "cut", false: "pull"} {
		source := testkit.NewRegistry()
		source.Push("app", testkit.Image(t, "app"), "1")
		engine := testkit.NewEngine(source)
		if _, _, err := runIn(t, engine, func(o *Options) { o.Dedicated = dedicated }); err != nil {
			t.Fatal(err)
		}
		if got := engine.Of("cut", "pull"); len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("dedicated %v: %q", dedicated, got)
		}
		if swept := engine.Count("sweep") > 0; swept != dedicated {
			t.Errorf("dedicated %v: swept %v", dedicated, swept)
		}
	}
}

// A full disk costs nobody an image, unless the image does not fit into the engine alone.
func TestRunOnAFullDisk(t *testing.T) {
	for _, test := range []struct {
		name  string
		times int
		want  string
	}{
		{"once", 1, "app:1: exact"},
		{"always", 9, "app:1: failed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			img := testkit.Image(t, "large")
			source := testkit.NewRegistry()
			source.Push("app", img, "1")
			for i := range 5 {
				source.Push("other", testkit.Image(t, fmt.Sprint(i)), fmt.Sprint(i))
			}
			engine := testkit.NewEngine(source)
			full := &fullEngine{Engine: engine, ref: testkit.Repository("app").Reference(img), times: test.times}
			summary, _, err := runIn(t, engine, func(o *Options) { o.Engine = full })
			if err != nil || len(summary.Results) != 6 {
				t.Fatalf("results %q, error %v", outcomes(summary.Results), err)
			}
			if got := outcomes(summary.Results); !slices.Contains(got, test.want) {
				t.Errorf("results %q, want %s", got, test.want)
			}
			for _, r := range summary.Results {
				if r.Outcome == transfer.Failed {
					testkit.ExpectError(t, r.Err, "no space left")
				}
			}
			engine.ExpectEmpty(t)
		})
	}
}

// fullEngine has no room for one image, the first times.
type fullEngine struct {
	*testkit.Engine
	ref   string
	times int
}

func (e *fullEngine) Pull(ctx context.Context, ref string, progress docker.Listener) error {
	if ref == e.ref && e.times > 0 {
		e.times--
		return fmt.Errorf("write layer: %w", docker.ErrNoSpace)
	}
	return e.Engine.Pull(ctx, ref, progress)
}

// The manifests of large accounts are not kept: they are read once more when their image's turn comes.
func TestRunReadsManifestsAgain(t *testing.T) {
	pair, children := testkit.Pair(t, "app")
	source := testkit.NewRegistry()
	source.Push("app", pair, "1")
	source.Hold("app", children...)
	source.Push("app", testkit.Image(t, "gone"), "2")
	engine := testkit.NewEngine(source)
	found, p := surveyed(t, source, nil)
	for _, i := range found.Items {
		i.Tree = nil
	}
	delete(source.Held["app"], found.Items[1].Image.Digest)
	options := Options{Source: source, Engine: engine, Store: image.ContainerdStore, Concurrency: 1, Observe: func(Event) {}}
	r := newRun(t.Context(), options, transfer.Cleanup{})
	r.catalog = p.Catalog
	r.copier = transfer.New(transfer.Setup{Source: source, Engine: engine, Store: image.ContainerdStore, Catalog: p.Catalog, Traffic: transfer.NewTraffic()})
	r.copyAll(t.Context(), found.Items)
	got := slices.Sorted(slices.Values(outcomes(r.results)))
	if want := []string{"app:1: exact", "app:2: failed"}; !slices.Equal(got, want) {
		t.Errorf("results %q, want %q", got, want)
	}
	engine.ExpectEmpty(t)
}
