package scenarios

import (
	"strings"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/check"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

// A whole account goes over, on both engines, and an independent client compares every tag at the target.
func TestMigratesAnAccount(t *testing.T) {
	account, err := corpus.Account(t.Context(), corpus.AccountOptions{Empty: true, Untagged: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			w := startWorld(t, kind, world.Options{})
			fill(t, w, account)

			outcome := run(t, w.Env())
			expectExit(t, outcome, 0)
			compareAccount(t, w, account, kind)
			expectNothingLeft(t, w.Engine)
			if kind == engine.Containerd { // for the classic store configs are read twice, to know their platforms
				expectOnce(t, "left ECR", w.AWS.BlobPulls())
			}
			expectOnce(t, "reached GitLab", w.GitLab.Uploads())

			again := run(t, w.Env())
			expectExit(t, again, 0)
			if kind == engine.Containerd && !strings.Contains(again.Stdout, "108  present") {
				t.Errorf("the second run copied something again:\n%s", again.Stdout)
			}
		})
	}
}

// expectOnce makes sure that no blob crossed the network twice.
func expectOnce(t *testing.T, crossed string, blobs map[string]int) {
	t.Helper()
	if len(blobs) < 200 {
		t.Errorf("%d blobs have %s, which is less than the account has", len(blobs), crossed)
	}
	for digest, times := range blobs {
		if times != 1 {
			t.Errorf("%s has %s %d times", digest, crossed, times)
		}
	}
}

// compareAccount checks that every tag of a large account has arrived.
func compareAccount(t *testing.T, w *world.World, account []corpus.Repository, kind engine.Kind) {
	t.Helper()
	if tags, repositories := compareTags(t, w, account, kind); tags < 100 || repositories < 12 {
		t.Errorf("compared %d tags in %d repositories, which is too small an account", tags, repositories)
	}
}

// compareTags compares every tag with the target, byte for byte, or on the classic store file by file, and counts.
func compareTags(t *testing.T, w *world.World, account []corpus.Repository, kind engine.Kind) (tags, repositories int) {
	t.Helper()
	var checker check.Checker
	for _, repository := range account {
		digests, err := repository.Tags()
		if err != nil {
			t.Fatal(err)
		}
		if len(digests) > 0 {
			repositories++
		}
		for tag := range digests {
			tags++
			compare := checker.Same
			if kind == engine.Classic {
				compare = checker.SameContent
			}
			report, err := compare(t.Context(), w.Source(repository.Name, ":"+tag), w.Target(repository.Name, ":"+tag))
			if err != nil {
				t.Fatal(err)
			}
			for _, difference := range report.Differences {
				t.Errorf("%s:%s: %s", repository.Name, tag, difference)
			}
		}
	}
	t.Logf("compared %d tags in %d repositories", tags, repositories)
	return tags, repositories
}
