package migrate

import (
	"errors"
	"strings"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// errSOCI is what GitLab says of SOCI's media type.
var errSOCI = docker.ClassifyPush(errors.New("error from registry: manifest invalid - unknown media type: " + sociType))

// withSOCI pushes an image with a SOCI index beside it, and returns its manifests.
func withSOCI(t *testing.T, r *testkit.Registry, repository string) (root, img, unknown image.Manifest) {
	t.Helper()
	img, unknown = testkit.Image(t, repository), soci(t, "soci of "+repository)
	root = testkit.Index(t, testkit.Child(img, testkit.Linux("amd64")), testkit.Child(unknown, nil))
	r.Push(repository, root, "1")
	r.Hold(repository, img, unknown)
	return root, img, unknown
}

// What GitLab has refused once is not tried again with another image's bytes.
func TestMediaTypeIsRefusedOnce(t *testing.T) {
	source := testkit.NewRegistry()
	_, _, first := withSOCI(t, source, "a")
	withSOCI(t, source, "b")
	source.Push("c", testkit.Image(t, "c"), "1")
	engine := testkit.NewEngine(source)
	engine.Fails["push "+testkit.TargetBase+"/a@"+first.Digest.String()] = errSOCI
	summary, _, err := runIn(t, engine, func(o *Options) { o.Concurrency = 1 })
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
		if !errors.As(r.Err, &step) || !strings.Contains(r.Err.Error(), sociType) || !strings.Contains(step.Remedy, "MIGRATE_LEAVE_OUT="+sociType) {
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

// Nothing can be left out where the type is that of the tag itself.
func TestRefusedRootHasNoSetting(t *testing.T) {
	source := testkit.NewRegistry()
	source.Push("app", soci(t, "soci"), "1", "2")
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
		patterns, err := plan.ParsePatterns(sociType)
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
	sbom, signature := testkit.Artifact(t, "application/spdx+json", "sbom", img), testkit.Artifact(t, sociType, "signature", img)
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
		testkit.ExpectError(t, list.Err, "1 of the 2 referrers are at GitLab", sociType)
		if !strings.Contains(step.Remedy, "MIGRATE_LEAVE_OUT="+sociType) {
			t.Errorf("the remedy is %q", step.Remedy)
		}
		if got := engine.Tags[list.Target]; got != taken.Root.Digest {
			t.Errorf("the target has %s, want the list of the SBOM alone, %s", got, taken.Root.Digest)
		}
		engine.ExpectEmpty(t)
	}
}
