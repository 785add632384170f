package migrate

import (
	"slices"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// otherType is another media type that GitLab does not know.
const otherType = "application/vnd.example.other"

// A list of referrers at the target is replaced, without any report.json, if it lists what ECR had at some time, with or
// without what GitLab refuses. One with anything else is left alone.
func TestListsOfReferrersThatAreOurs(t *testing.T) {
	img := testkit.Image(t, "app")
	all := []image.Manifest{
		testkit.Artifact(t, "application/spdx+json", "first", img), testkit.Artifact(t, testkit.SOCIType, "second", img),
		testkit.Artifact(t, otherType, "third", img), testkit.Artifact(t, "application/spdx+json", "fourth", img),
	}
	theirs := testkit.Artifact(t, "application/spdx+json", "theirs", img)
	for _, test := range []struct {
		name  string
		there []image.Manifest // the list at the target
		ours  bool
	}{
		{"before the last was pushed to ECR", all[:3], true},
		{"the first alone", all[:1], true},
		{"without one type that GitLab refused", []image.Manifest{all[0], all[2], all[3]}, true},
		{"without both types", []image.Manifest{all[0], all[3]}, true},
		{"without a type, and before the last was pushed", []image.Manifest{all[0], all[1]}, true},
		{"with another one", []image.Manifest{all[0], theirs}, false},
		{"without the first, which has no such type", all[1:], false},
	} {
		t.Run(test.name, func(t *testing.T) {
			engine := testkit.NewEngine(testkit.NewRegistry())
			engine.From.Push("app", img, "1")
			for _, m := range all {
				engine.From.Push("app", m)
			}
			target := testkit.TargetBase + "/app:" + image.ReferrersTag(img.Digest)
			engine.Tags[target] = listOf(t, test.there...).Root.Digest

			engine.Tags[testkit.TargetBase+"/app:1"] = img.Digest
			verified, _, err := verifyIn(t, engine, 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			outlook, _, err := previewIn(t, engine, nil)
			if err != nil {
				t.Fatal(err)
			}
			migrated, _, err := runIn(t, engine, nil)
			if err != nil {
				t.Fatal(err)
			}
			compared, copied := transfer.Different, transfer.Failed
			if test.ours {
				compared, copied = transfer.Missing, transfer.Exact
			}
			if got, want := referrersOutcome(verified.Results), compared; got != want {
				t.Errorf("verify says %s, want %s", got, want)
			}
			if test.ours != (outlook.Referrers == len(all)) || test.ours != (outlook.Troubles() == 0) {
				t.Errorf("plan has %d referrers to come, and the troubles %q", outlook.Referrers, outcomes(outlook.Results))
			}
			if got := referrersOutcome(migrated.Results); got != copied {
				t.Errorf("the migration says %s, want %s", got, copied)
			}
			if got := engine.Tags[target] == listOf(t, all...).Root.Digest; got != test.ours {
				t.Errorf("replaced: %t", got)
			}
		})
	}
}

// listOf is the list of these referrers.
func listOf(t *testing.T, referrers ...image.Manifest) image.Tree {
	t.Helper()
	var trees []image.Tree
	for _, m := range referrers {
		trees = append(trees, image.NewTree(m, nil))
	}
	list, err := image.ReferrersIndex(trees)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// referrersOutcome is the outcome of the only list of referrers.
func referrersOutcome(results []transfer.Result) transfer.Outcome {
	i := slices.IndexFunc(results, func(r transfer.Result) bool { return r.Referrers > 0 })
	if i < 0 {
		return ""
	}
	return results[i].Outcome
}

// A list that GitLab's refusals have shortened is completed once GitLab takes the type, and shortened further where it takes
// less than before.
func TestShortenedListIsReplaced(t *testing.T) {
	img := testkit.Image(t, "app")
	sbom, signature := testkit.Artifact(t, "application/spdx+json", "sbom", img), testkit.Artifact(t, testkit.SOCIType, "signature", img)
	engine := testkit.NewEngine(testkit.NewRegistry())
	engine.From.Push("app", img, "1")
	engine.From.Push("app", sbom)
	engine.From.Push("app", signature)
	target := testkit.TargetBase + "/app:" + image.ReferrersTag(img.Digest)
	push := "push " + testkit.TargetBase + "/app@" + signature.Digest.String()
	for _, step := range []struct {
		name     string
		refuses  error
		leaveOut bool
		outcome  transfer.Outcome
		want     image.Tree
	}{
		{"refused", errSOCI, false, transfer.Refused, listOf(t, sbom)},
		{"refused again", errSOCI, false, transfer.Refused, listOf(t, sbom)},
		{"left out", errSOCI, true, transfer.Present, listOf(t, sbom)},
		{"taken by a newer GitLab", nil, false, transfer.Exact, listOf(t, sbom, signature)},
		{"again", nil, false, transfer.Present, listOf(t, sbom, signature)},
	} {
		engine.Fail(push, step.refuses)
		summary, _, err := runIn(t, engine, func(o *Options) {
			if step.leaveOut {
				o.LeaveOut = plan.Patterns{testkit.SOCIType}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := referrersOutcome(summary.Results); got != step.outcome || engine.Tags[target] != step.want.Root.Digest {
			t.Errorf("%s: %s, and the target has %s, want %s and %s", step.name, got, engine.Tags[target], step.outcome, step.want.Root.Digest)
		}
		engine.ExpectEmpty(t)
	}
}
