package scenarios

import (
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/proxy"
)

// An entire account is migrated by both engines, and an independent client compares every tag at the target.
func TestMigratesAnAccount(t *testing.T) {
	t.Parallel()
	account, err := corpus.Account(t.Context(), corpus.AccountOptions{Empty: true, Untagged: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := startWorld(t, borrowEngine(t, kind), world.Options{})
			fill(t, w, account)

			env := append(w.Env(), "MIGRATE_REPORT_DIR="+t.TempDir())
			outcome := run(t, env)
			expectExit(t, outcome, 0)
			compareAccount(t, w, account, kind)
			expectNothingLeft(t, w.Engine)
			if kind == engine.Containerd { // configs are read twice for the classic store, to get their platforms
				expectOnce(t, "left ECR", w.AWS.BlobPulls())
			}
			expectOnce(t, "reached GitLab", w.GitLab.Uploads())

			uploaded, sent := w.GitLab.Uploads(), w.GitLab.BytesIn()
			again := run(t, env)
			expectExit(t, again, 0)
			expectPresent(t, again.Stdout, countTags(account))
			if !maps.Equal(uploaded, w.GitLab.Uploads()) || w.GitLab.BytesIn() != sent {
				t.Errorf("the second run has sent %d bytes:\n%s", w.GitLab.BytesIn()-sent, again.Stdout)
			}
			compareAccount(t, w, account, kind)
		})
	}
}

// expectOnce checks that no blob was transferred twice.
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

// A run after a complete one makes requests, but copies nothing.
func TestSecondRun(t *testing.T) {
	t.Parallel()
	s := startScene(t, engine.Containerd, world.Options{})
	shapes := s.fillWith(t, append(slices.Clone(tinyAccount), "oci-index", "nested-index", "referred-image")...)
	expectExit(t, s.run(t), 0)
	pulled, uploaded := s.AWS.BlobPulls(), s.GitLab.Uploads()

	var mu sync.Mutex
	verbs := map[proxy.Verb]int{}
	again := s.run(t, s.through(t, func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
		mu.Lock()
		verbs[proxy.CallOf(r).Verb]++
		mu.Unlock()
		engine.ServeHTTP(w, r)
	}))
	expectExit(t, again, 0)
	for _, shape := range shapes {
		for _, tag := range shape.Tags {
			expectLine(t, again.Stdout, "present", shape.Repository+":"+tag)
		}
	}
	if verbs[proxy.Pull]+verbs[proxy.Load]+verbs[proxy.Push] > 0 || verbs[proxy.Distribution] == 0 {
		t.Errorf("the engine's calls: %v", verbs)
	}
	if !maps.Equal(pulled, s.AWS.BlobPulls()) || !maps.Equal(uploaded, s.GitLab.Uploads()) {
		t.Error("blobs have moved")
	}
}
