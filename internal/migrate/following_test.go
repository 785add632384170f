package migrate

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

// Referrers that find the engine's disk full are tried again on their own, as images are.
func TestReferrersOnAFullDisk(t *testing.T) {
	for _, test := range []struct {
		name  string
		times int
		want  string
	}{
		{"once", 1, "exact"},
		{"alone, too", 2, "failed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			source, img, signature := signedImage(t)
			for i := range 5 {
				source.Push("other", testkit.Image(t, fmt.Sprint(i)), fmt.Sprint(i))
			}
			engine := testkit.NewEngine(source)
			full := &fullEngine{Engine: engine, ref: testkit.Repository("app").Reference(signature), times: test.times}
			summary, _, err := runIn(t, engine, func(o *Options) { o.Engine = full })
			if err != nil || len(summary.Results) != 7 {
				t.Fatalf("results %q, error %v", outcomes(summary.Results), err)
			}
			if got, want := outcomes(summary.Results), referrersOf(img, "1")+": "+test.want; !slices.Contains(got, want) {
				t.Errorf("results %q, want %s", got, want)
			}
			engine.ExpectEmpty(t)
		})
	}
}

// Referrers wait for room in the engine, as images do: with room for one image or one signature, no two are in it at once.
func TestReferrersStayWithinTheDisk(t *testing.T) {
	source, _, signature := signedImage(t)
	source.Push("app", testkit.Artifact(t, "application/x", "another one", signature))
	for i := range 3 {
		source.Push("other", testkit.Image(t, fmt.Sprint(i)), fmt.Sprint(i))
	}
	engine := testkit.NewEngine(source)
	var most int
	engine.Before = func(string) {
		engine.Mu.Lock()
		defer engine.Mu.Unlock()
		large := 0
		for _, manifests := range source.Held {
			for _, m := range manifests {
				if engine.Content[m.Layers[0].Digest] {
					large++
				}
			}
		}
		most = max(most, large)
	}
	summary, _, err := runIn(t, engine, func(o *Options) { o.Concurrency, o.Disk = 4, 6*image.MaxBlobPull })
	if err != nil || summary.Incomplete() != 0 || len(summary.Results) != 6 {
		t.Errorf("results %q, error %v", outcomes(summary.Results), err)
	}
	if most != 1 {
		t.Errorf("%d large layers are in the engine at once, want 1", most)
	}
	engine.ExpectEmpty(t)
}

// A call for a referrer that fails for the moment is repeated by the same rules as one for an image.
func TestReferrersAreRetried(t *testing.T) {
	for _, kind := range []string{"pull", "push"} {
		synctestRun(t, kind, func(t *testing.T) {
			source, img, signature := signedImage(t)
			engine := testkit.NewEngine(source)
			call := map[string]string{
				"pull": "pull " + testkit.Repository("app").Reference(signature),
				"push": "push " + testkit.TargetBase + "/app:" + image.ReferrersTag(img.Digest),
			}[kind]
			engine.Fail(call, docker.ErrUnavailable)
			summary, events, err := runIn(t, engine, func(o *Options) {
				observe := o.Observe
				o.retries, o.Observe = retries, func(e Event) {
					if observe(e); isRetry(e) {
						engine.Fail(call, nil)
					}
				}
			})
			if err != nil || !slices.Contains(outcomes(summary.Results), referrersOf(img, "1")+": exact") {
				t.Errorf("results %q, error %v", outcomes(summary.Results), err)
			}
			if !slices.ContainsFunc(events, isRetry) || engine.Count(call) != 2 {
				t.Errorf("%d calls, events %q", engine.Count(call), told(events))
			}
			engine.ExpectEmpty(t)
		})
	}
}

func isRetry(e Event) bool { _, is := e.(Retrying); return is }

// Referrers of a subject that two images have follow the one that arrives, and do not go without.
func TestReferrersOfASharedSubject(t *testing.T) {
	for _, test := range []struct {
		name string
		fail []string // tags
		want string   // of the referrers; empty: no result
	}{
		{"both arrive", nil, "exact"},
		{"the first fails", []string{"1"}, "exact"},
		{"the second fails", []string{"2"}, "exact"},
		{"both fail", []string{"1", "2"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			pair, children := testkit.Pair(t, "app")
			alone := testkit.Index(t, testkit.Child(children[0], testkit.Linux("amd64")))
			source := testkit.NewRegistry()
			source.Push("app", pair, "1")
			source.Push("app", alone, "2")
			source.Hold("app", children...)
			source.Push("app", testkit.Artifact(t, "application/x", "signature", children[0]))
			engine := testkit.NewEngine(source)
			for _, tag := range test.fail {
				engine.Fails["push "+testkit.TargetBase+"/app:"+tag] = docker.ErrDenied
			}
			summary, _, err := runIn(t, engine, nil)
			if err != nil {
				t.Fatal(err)
			}
			list := ""
			for _, r := range summary.Results {
				if r.Subject == children[0].Digest {
					list = string(r.Outcome)
				}
			}
			if list != test.want {
				t.Errorf("the referrers are %q, want %q; results %q", list, test.want, outcomes(summary.Results))
			}
			engine.ExpectEmpty(t)
		})
	}
}

// When a run is out of time, referrers whose subject has arrived are counted as not started, so that the next run is known
// to have work to do. Those whose subject has not arrived are brought with it.
func TestReferrersOutOfTime(t *testing.T) {
	for _, test := range []struct {
		name string
		at   string // the call during which the time runs out
		want []string
	}{
		{"while the subject is pulled", "pull", []string{"app:1: exact", "REFERRERS: not started"}},
		{"before the subject is pulled", "resolve", []string{"app:1: not started"}},
		{"while the referrers are pushed", "push", []string{"app:1: exact", "REFERRERS: exact"}},
	} {
		synctestRun(t, test.name, func(t *testing.T) {
			source, img, signature := signedImage(t)
			engine := testkit.NewEngine(source)
			call := map[string]string{
				"pull":    "pull " + testkit.Repository("app").Reference(img),
				"resolve": "resolve " + testkit.TargetBase + "/app:1",
				"push":    "push " + testkit.TargetBase + "/app:" + image.ReferrersTag(img.Digest),
			}[test.at]
			options := Options{
				Source: source, Engine: engine, Store: engine.Kind, Namer: plan.Namer{Base: testkit.TargetBase}, Concurrency: 2,
				Observe: func(Event) {}, retries: []retryRule{{tries: 1}},
			}
			_, r, end := startRun(t.Context(), options)
			defer end()
			engine.Before = func(c string) {
				if c == call {
					r.giveUp(ErrDeadline)
					time.Sleep(time.Second) // until everybody has noticed
				}
			}
			found, err := r.begin()
			if err != nil {
				t.Fatal(err)
			}
			r.announce(t.Context(), found)
			r.copyAndRecover(t.Context(), plan.Copies(found.Items))
			for i, want := range test.want {
				test.want[i] = strings.Replace(want, "REFERRERS", referrersOf(img, "1"), 1)
			}
			if got := outcomes(r.results); !slices.Equal(got, test.want) {
				t.Errorf("results %q, want %q", got, test.want)
			}
			if _, err := r.summary(); (err == nil) != (test.at == "push") {
				t.Errorf("the run ends with %v", err)
			}
			if n := engine.Count("pull " + testkit.Repository("app").Reference(signature)); n != 0 && test.at != "push" {
				t.Errorf("%d pulls of the signature", n)
			}
			engine.ExpectEmpty(t)
		})
	}
}

// Referrers, and what refers to them, follow an image that is copied on its own at the end; other referrers have gone before.
func TestReferrersOfARecoveredImage(t *testing.T) {
	pair, children := testkit.Pair(t, "app")
	source, img, _ := signedImage(t)
	signature := testkit.Artifact(t, "application/x", "signature of the pair", pair)
	source.Push("app", pair, "2")
	source.Hold("app", children...)
	source.Push("app", signature)
	source.Push("app", testkit.Artifact(t, "application/x", "countersignature", signature))
	engine := testkit.NewEngine(source)
	engine.Rivals[children[1].Digest] = children[0].Digest
	summary, events, err := runIn(t, engine, nil)
	want := []string{
		"app:1: exact", referrersOf(img, "1") + ": exact", "app:2: exact", referrersOf(pair, "1") + ": exact", referrersOf(signature, "1") + ": exact",
	}
	if got := outcomes(summary.Results); err != nil || !slices.Equal(got, want) {
		t.Errorf("results %q, want %q; error %v", got, want, err)
	}
	if !slices.Contains(told(events), "recovering 1") {
		t.Errorf("events %q", told(events))
	}
	engine.ExpectEmpty(t)
}

// MIGRATE_CONCURRENCY bounds the pulls and pushes of referrers and of images together.
func TestReferrersHonourTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound = 3
		source := testkit.NewRegistry()
		for i := range 20 {
			img := testkit.Image(t, fmt.Sprint(i))
			source.Push("app", img, fmt.Sprint(i))
			source.Push("app", testkit.Artifact(t, "application/spdx+json", fmt.Sprint("sbom ", i), img))
		}
		engine := testkit.NewEngine(source)
		slow := &slowEngine{Engine: engine}
		summary, _, err := runIn(t, engine, func(o *Options) { o.Concurrency, o.Engine = bound, slow })
		if err != nil || summary.Incomplete() != 0 || len(summary.Results) != 40 {
			t.Errorf("results %q, error %v", outcomes(summary.Results), err)
		}
		if slow.pulls.most > bound || slow.pushes.most > bound {
			t.Errorf("%d pulls and %d pushes at once, want at most %d of each", slow.pulls.most, slow.pushes.most, bound)
		}
		engine.ExpectEmpty(t)
	})
}

// A list that somebody pushes between the question and the push is not replaced.
func TestReferrersOfSomebodyElseDuringThePull(t *testing.T) {
	source, img, signature := signedImage(t)
	engine := testkit.NewEngine(source)
	tag := testkit.TargetBase + "/app:" + image.ReferrersTag(img.Digest)
	synctestRun(t, "a long pull", func(t *testing.T) {
		engine.Before = func(call string) {
			if call == "pull "+testkit.Repository("app").Reference(signature) {
				time.Sleep(time.Hour)
				engine.Mu.Lock()
				defer engine.Mu.Unlock()
				engine.Tags[tag] = testkit.EmptyDigest
			}
		}
		summary, _, err := runIn(t, engine, nil)
		if got, want := outcomes(summary.Results), []string{"app:1: exact", referrersOf(img, "1") + ": failed"}; err != nil || !slices.Equal(got, want) {
			t.Fatalf("results %q, want %q; error %v", got, want, err)
		}
		testkit.ExpectError(t, summary.Results[1].Err, "they are left alone")
		if engine.Tags[tag] != testkit.EmptyDigest {
			t.Errorf("the target's list became %s", engine.Tags[tag])
		}
		engine.ExpectEmpty(t)
	})
}
