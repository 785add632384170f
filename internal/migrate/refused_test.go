package migrate

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// errSOCI is what GitLab says of SOCI's media type.
var errSOCI = docker.ClassifyPush(errors.New("error from registry: manifest invalid - unknown media type: " + testkit.SOCIType))

// withSOCI pushes an image with a SOCI index beside it, and returns its manifests.
func withSOCI(t *testing.T, r *testkit.Registry, repository string) (root, img, unknown image.Manifest) {
	t.Helper()
	return withSOCIOf(t, r, repository, "soci of "+repository)
}

// withSOCIOf is withSOCI with the content of the SOCI index's layer.
func withSOCIOf(t *testing.T, r *testkit.Registry, repository, content string) (root, img, unknown image.Manifest) {
	t.Helper()
	img, unknown = testkit.Image(t, repository), testkit.SOCI(t, content)
	root = testkit.Index(t, testkit.Child(img, testkit.Linux("amd64")), testkit.Child(unknown, nil))
	r.Push(repository, root, "1")
	r.Hold(repository, img, unknown)
	return root, img, unknown
}

// What GitLab has refused once is not tried again with another image's bytes, even while it has not answered yet.
func TestMediaTypeIsRefusedOnce(t *testing.T) {
	for _, concurrency := range []int{1, 8} {
		synctest.Test(t, func(t *testing.T) { testRefusedOnce(t, concurrency) })
	}
}

func testRefusedOnce(t *testing.T, concurrency int) {
	source := testkit.NewRegistry()
	_, _, first := withSOCI(t, source, "a")
	withSOCI(t, source, "b")
	source.Push("c", testkit.Image(t, "c"), "1")
	engine := testkit.NewEngine(source)
	trial := "push " + testkit.TargetBase + "/a@" + first.Digest.String()
	engine.Fails[trial] = errSOCI
	engine.Before = func(call string) {
		if call == trial {
			synctest.Wait() // until everything else that can be done has been
		}
	}
	summary, _, err := runIn(t, engine, func(o *Options) { o.Concurrency = concurrency })
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]transfer.Outcome{"a:1": transfer.Refused, "b:1": transfer.Refused, "c:1": transfer.Exact}
	for _, r := range summary.Results {
		if r.Outcome != want[r.Name()] {
			t.Errorf("%s is %s: %v", r.Name(), r.Outcome, r.Err)
		}
		if r.Outcome != transfer.Refused {
			continue
		}
		step := new(transfer.StepError)
		if !errors.As(r.Err, &step) || !strings.Contains(r.Err.Error(), testkit.SOCIType) || !strings.Contains(step.Remedy, "MIGRATE_LEAVE_OUT="+testkit.SOCIType) {
			t.Errorf("%s: %v, and the remedy %+v", r.Name(), r.Err, step)
		}
	}
	for _, call := range engine.Of("pull", "load", "push") {
		if strings.Contains(call, " b@") || strings.Contains(call, " b:") {
			t.Errorf("the second image was tried: %s", call)
		}
	}
	engine.ExpectEmpty(t)
}

// The smallest manifest of a media type is tried first. When that cannot be pulled, the next one is.
func TestSmallestManifestIsTriedFirst(t *testing.T) {
	for _, test := range []struct {
		name string
		gone bool // ECR has lost the smallest
		want []string
	}{
		{"taken", false, []string{"small", "large", "middle"}},
		{"gone", true, []string{"middle", "large"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			source := testkit.NewRegistry()
			engine := testkit.NewEngine(source)
			trials := map[string]string{}
			for name, bytes := range map[string]int{"large": 300, "middle": 200, "small": 100} {
				_, _, unknown := withSOCIOf(t, source, name, strings.Repeat("x", bytes))
				trials["push "+name+"@"+unknown.Digest.String()] = name
				if test.gone && name == "small" {
					for _, blob := range unknown.Blobs() {
						engine.Fails["pull "+testkit.SourceHost+"/"+name+"@"+blob.Digest.String()] = docker.ErrNotFound
					}
					engine.Fails["pull "+testkit.SourceHost+"/"+name+"@"+unknown.Digest.String()] = docker.ErrNotFound
				}
			}
			if _, _, err := runIn(t, engine, func(o *Options) { o.Concurrency = 8 }); err != nil {
				t.Fatal(err)
			}
			var tried []string
			for _, call := range engine.Of("push") {
				if name, isTrial := trials[call]; isTrial {
					tried = append(tried, name)
				}
			}
			slices.Sort(tried[1:]) // at once
			if !slices.Equal(tried, test.want) {
				t.Errorf("tried %q, want %q", tried, test.want)
			}
		})
	}
}

// Nothing can be left out where the type is that of the tag itself.
func TestRefusedRootHasNoSetting(t *testing.T) {
	source := testkit.NewRegistry()
	source.Push("app", testkit.SOCI(t, "soci"), "1", "2")
	engine := testkit.NewEngine(source)
	engine.Fails["push "+testkit.TargetBase+"/app:1"] = errSOCI
	summary, _, err := runIn(t, engine, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range summary.Results {
		step := new(transfer.StepError)
		if r.Outcome != transfer.Refused || !errors.As(r.Err, &step) || strings.Contains(step.Remedy, "MIGRATE_LEAVE_OUT") {
			t.Errorf("%s is %s: %v, and the remedy %+v", r.Name(), r.Outcome, r.Err, step)
		}
	}
	if n := engine.Count("push " + testkit.TargetBase + "/app:2"); n != 0 {
		t.Error("the second tag was pushed after the first had been refused")
	}
}

// With the setting that the remedy proposes, the image arrives.
func TestRefusedMediaTypeLeftOut(t *testing.T) {
	source := testkit.NewRegistry()
	_, _, unknown := withSOCI(t, source, "a")
	engine := testkit.NewEngine(source)
	engine.Fails["push "+testkit.TargetBase+"/a@"+unknown.Digest.String()] = errSOCI
	summary, _, err := runIn(t, engine, func(o *Options) {
		patterns, err := plan.ParsePatterns(testkit.SOCIType)
		if err != nil {
			t.Fatal(err)
		}
		o.LeaveOut = patterns
	})
	if err != nil || len(summary.Results) != 1 || summary.Results[0].Outcome != transfer.Trimmed {
		t.Errorf("%v: %q", err, outcomes(summary.Results))
	}
}

// A list of referrers arrives without those that GitLab refuses, and the result says so, in a second run, too.
func TestRefusedReferrerIsLeftOutOfTheList(t *testing.T) {
	source := testkit.NewRegistry()
	img := testkit.Image(t, "app")
	sbom, signature := testkit.Artifact(t, "application/spdx+json", "sbom", img), testkit.Artifact(t, testkit.SOCIType, "signature", img)
	for _, m := range []image.Manifest{img, sbom, signature} {
		source.Push("app", m)
	}
	source.Tagged["app"][0].Tags = []string{"1"}
	taken, err := image.ReferrersIndex([]image.Tree{image.NewTree(sbom, nil)})
	if err != nil {
		t.Fatal(err)
	}
	engine := testkit.NewEngine(source)
	engine.Fails["push "+testkit.TargetBase+"/app@"+signature.Digest.String()] = errSOCI
	for range 2 {
		summary, _, err := runIn(t, engine, nil)
		if err != nil || len(summary.Results) != 2 {
			t.Fatalf("%v: %q", err, outcomes(summary.Results))
		}
		list, step := summary.Results[1], new(transfer.StepError)
		if list.Outcome != transfer.Refused || list.Referrers != 2 || !errors.As(list.Err, &step) {
			t.Fatalf("%s is %s: %v", list.Name(), list.Outcome, list.Err)
		}
		testkit.ExpectError(t, list.Err, "1 of the 2 referrers are at GitLab", testkit.SOCIType)
		if !strings.Contains(step.Remedy, "MIGRATE_LEAVE_OUT="+testkit.SOCIType) {
			t.Errorf("the remedy is %q", step.Remedy)
		}
		if got := engine.Tags[list.Target]; got != taken.Root.Digest {
			t.Errorf("the target has %s, want the list of the SBOM alone, %s", got, taken.Root.Digest)
		}
		engine.ExpectEmpty(t)
	}
}
