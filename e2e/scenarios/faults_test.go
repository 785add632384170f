package scenarios

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/faults"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/proxy"
)

// hazards are the faults in one row of a table.
type hazards struct {
	world.Options
	account corpus.TinyOptions
	alone   bool            // the row has its own engine
	only    engine.Kind     // the only kind of engine for the row; empty: all
	around  proxy.Around    // changes the engine's calls; nil: none
	changes []string        // of the environment
	faults  []*faults.Fault // each must strike
	links   []*faults.Link
	slow    func(*faults.Link) error // slows the links once ECR is filled

	scene    *scene         // set when it runs
	restarts sync.WaitGroup // of restarting the engine
}

// usualAccount has layers of about 150 KB. cutAfter is less than half of that.
var usualAccount = corpus.TinyOptions{Repositories: 4, Tags: 5, Layers: 1, Size: 600 << 10}

const cutAfter = 64 << 10

func (h *hazards) atECR(f *faults.Fault) {
	h.AWS.Wrap = both(f.Wrap, h.AWS.Wrap)
	h.faults = append(h.faults, f)
}

func (h *hazards) atGitLab(f *faults.Fault) {
	h.GitLab.Wrap = both(f.Wrap, h.GitLab.Wrap)
	h.faults = append(h.faults, f)
}

// slowLinks puts links in front of both registries.
func (h *hazards) slowLinks(slow func(*faults.Link) error) {
	h.links = []*faults.Link{{}, {}}
	h.AWS.Announce, h.GitLab.Announce = h.links[0].Announce, h.links[1].Announce
	h.slow = slow
}

// start starts the row's world, with its account in ECR.
func (h *hazards) start(t *testing.T, kind engine.Kind) (*scene, []corpus.Repository) {
	t.Helper()
	if h.account == (corpus.TinyOptions{}) {
		h.account = usualAccount
	}
	account, err := corpus.Tiny(t.Context(), h.account)
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range h.links {
		t.Cleanup(link.Close)
	}
	if h.alone {
		h.scene = startSceneOn(t, ownEngine(t, kind, engine.Options{}), h.Options)
	} else {
		h.scene = startScene(t, kind, h.Options)
	}
	fill(t, h.scene.World, account)
	for _, link := range h.links {
		if err := h.slow(link); err != nil {
			t.Fatal(err)
		}
	}
	return h.scene, account
}

// restore lifts the faults and makes the links fast again.
func (h *hazards) restore(t *testing.T) {
	t.Helper()
	for _, f := range h.faults {
		f.Lift()
	}
	for _, link := range h.links {
		link.Restore(t.Context())
	}
}

// downtime is how long a killed engine is unavailable.
const downtime = 3 * time.Second

// restartEngine kills the row's engine, and restarts it after the downtime. It returns immediately.
func (h *hazards) restartEngine(t *testing.T) {
	t.Helper()
	h.restarts.Go(func() {
		h.scene.Engine.Kill()
		time.Sleep(downtime)
		if err := h.scene.Engine.Restart(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

// expectStruck checks that the row's faults have occurred.
func (h *hazards) expectStruck(t *testing.T) {
	t.Helper()
	for _, f := range h.faults {
		if f.Struck() == 0 {
			t.Error("a fault has never struck")
		}
		t.Logf("struck %d times", f.Struck())
	}
}

// rowLimit limits the run of a row.
const rowLimit = 3 * time.Minute

// Temporary faults delay tags, but lose none: all arrive, and the engine is left as empty as before.
func TestSurvives(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		with func(*testing.T, *hazards)
	}{
		{"ECR cuts layers off", func(_ *testing.T, h *hazards) { h.atECR(faults.CutReads(4, cutAfter)) }},
		{"GitLab cuts layers off", func(_ *testing.T, h *hazards) { h.atGitLab(faults.CutWrites(4, cutAfter)) }},
		{"ECR is unavailable for a third", func(_ *testing.T, h *hazards) { h.atECR(faults.Unavailable(0.3, 40, 1)) }},
		{"GitLab is unavailable for a third", func(_ *testing.T, h *hazards) { h.atGitLab(faults.Unavailable(0.3, 40, 1)) }},
		{"GitLab's proxy does not reach it for a third", func(_ *testing.T, h *hazards) { h.atGitLab(faults.Gateway(0.3, 40, 1)) }},
		{"connections end after each response", func(_ *testing.T, h *hazards) {
			h.atECR(faults.GoAway(faults.ECRCall, forEver))
			h.atECR(faults.GoAway(faults.BlobRead, forEver))
			h.atGitLab(faults.GoAway(faults.Registry, forEver))
		}},
		// The runs make at least 150 requests to ECR and 400 to GitLab. The limits are so low that a slow machine exceeds
		// them, too.
		{"ECR has a limit", func(_ *testing.T, h *hazards) { h.atECR(faults.TooMany(40, 5*time.Second)) }},
		{"GitLab has a limit", func(_ *testing.T, h *hazards) { h.atGitLab(faults.TooMany(150, 6*time.Second)) }},
		{"ECR throttles its API", func(_ *testing.T, h *hazards) { h.atECR(faults.Throttled(0.4, 20, 1)) }},
		{"the network jitters", func(_ *testing.T, h *hazards) {
			h.slowLinks(func(link *faults.Link) error {
				if err := link.Delay(200*time.Millisecond, 200*time.Millisecond); err != nil {
					return err
				}
				return link.Limit(1000)
			})
		}},
		{"ECR's token expires early", func(_ *testing.T, h *hazards) {
			h.atECR(faults.At(faults.BlobRead, 8, func() { h.scene.AWS.ExpireTokens() }))
		}},
		{"ECR's tokens expire all the time", func(_ *testing.T, h *hazards) {
			h.AWS.TokenLifetime = 2 * time.Second
			// The second pull begins when the token of the first has expired.
			h.changes = []string{"MIGRATE_CONCURRENCY=1"}
			h.atECR(faults.At(faults.BlobRead, 1, func() { time.Sleep(2 * h.AWS.TokenLifetime) }))
			h.atECR(faults.At(faults.TokenCall, 2, func() {}))
		}},
		{"ECR stalls", func(_ *testing.T, h *hazards) {
			h.atECR(faults.StallReads(2, cutAfter))
			h.changes = []string{"MIGRATE_STALL=5s"}
		}},
		{"GitLab stalls", func(_ *testing.T, h *hazards) {
			// The classic engine does not end an upload that waits for a response: other images with the layer wait as
			// well.
			h.atGitLab(faults.HangFor(faults.BlobWrite, 2, 10*time.Second))
			h.changes = []string{"MIGRATE_STALL=5s"}
		}},
		{"ECR does not answer", func(_ *testing.T, h *hazards) {
			h.atECR(faults.Hang(faults.ManifestRead, 2))
			h.changes = []string{"MIGRATE_STALL=5s"}
		}},
		{"GitLab does not answer", func(_ *testing.T, h *hazards) {
			h.atGitLab(faults.Hang(faults.ManifestRead, 2))
			h.atGitLab(faults.Hang(faults.ManifestWrite, 2))
			h.changes = []string{"MIGRATE_STALL=5s"}
		}},
		{"the engine does not end loads", stuckLoads},
		{"the engine is killed during pulls", func(t *testing.T, h *hazards) {
			h.alone = true
			h.atECR(faults.At(faults.BlobRead, 10, func() { h.restartEngine(t) }))
		}},
		{"the engine is killed during pushes", func(t *testing.T, h *hazards) {
			h.alone = true
			h.atGitLab(faults.At(faults.BlobWrite, 10, func() { h.restartEngine(t) }))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // it mostly waits
			for _, kind := range engine.Kinds() {
				t.Run(string(kind), func(t *testing.T) {
					t.Parallel()
					survive(t, kind, test.with)
				})
			}
		})
	}
}

func survive(t *testing.T, kind engine.Kind, with func(*testing.T, *hazards)) {
	t.Helper()
	var h hazards
	with(t, &h)
	if h.only != "" && h.only != kind {
		t.Skipf("is about %s engines", h.only)
	}
	s, account := h.start(t, kind)
	if h.around != nil {
		h.changes = append(h.changes, s.through(t, h.around))
	}
	outcome := s.runWithin(t, rowLimit, h.changes...)
	h.restarts.Wait()
	expectExit(t, outcome, 0)
	h.expectStruck(t)
	h.restore(t)
	compareTags(t, s.World, account, kind)
	expectNothingLeft(t, s.Engine)
}

// stuckLoads makes all loads hang, as in a containerd whose disk was full at the wrong moment, until it is restarted.
func stuckLoads(t *testing.T, h *hazards) {
	h.only = engine.Containerd
	var loads atomic.Int32
	h.around = func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
		if proxy.CallOf(r).Verb != proxy.Load {
			engine.ServeHTTP(w, r)
			return
		}
		loads.Add(1)
		<-r.Context().Done()
	}
	t.Cleanup(func() {
		if !t.Skipped() && loads.Load() == 0 {
			t.Error("nothing was loaded")
		}
	})
}

// A layer's upload may take longer than its token is valid. This test runs on its own, because it depends on timing.
func TestSurvivesTheEndOfATokenDuringAPush(t *testing.T) {
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) { survive(t, kind, tokenExpires) })
	}
}

// tokenExpires makes the layers of one image so numerous and slow that the token expires while some of them are being
// uploaded. An engine uploads five at a time, here for four to seven seconds each, and uses a token for a minute.
func tokenExpires(_ *testing.T, h *hazards) {
	h.account = corpus.TinyOptions{Repositories: 1, Tags: 1, Layers: 8, Size: 1200 << 10}
	h.GitLab.TokenLifetime = 9 * time.Second
	h.slowLinks(func(link *faults.Link) error {
		if link == h.links[0] {
			return nil // the link to ECR stays fast
		}
		return link.Limit(80)
	})
	h.atGitLab(faults.Answered(faults.WithToken, http.StatusUnauthorized))
}
