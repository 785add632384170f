package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/check"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/faults"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/proxy"
)

// If the password is rejected during a run, the run ends soon instead of failing tag by tag: it reports the cause, the
// tags that it calls copied are there, and a second run with a valid password copies the rest.
func TestPasswordRefusedHalfway(t *testing.T) {
	t.Parallel()
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			var h hazards
			h.account = corpus.TinyOptions{Repositories: 6, Tags: 8, Layers: 1, Size: 60 << 10}
			revoked := faults.At(faults.ManifestWrite, 10, func() { h.scene.GitLab.Revoke() })
			h.atGitLab(revoked)
			s, account := h.start(t, kind)
			env := []string{"MIGRATE_CONCURRENCY=4", "MIGRATE_REPORT_DIR=" + t.TempDir()}

			var pushes atomic.Int32
			outcome := s.runWithin(t, rowLimit, append(env, s.through(t, func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
				if proxy.CallOf(r).Verb == proxy.Push && revoked.Struck() > 0 {
					pushes.Add(1)
				}
				engine.ServeHTTP(w, r)
			}))...)
			expectExit(t, outcome, 1)
			h.expectStruck(t)
			expectOutput(t, outcome.Stdout, "not started")
			expectOutput(t, outcome.Stdout+outcome.Stderr, "HTTP Basic: Access denied")
			if n := pushes.Load(); n > 40 {
				t.Errorf("%d pushes were tried after the password was refused", n)
			}
			t.Logf("%d pushes were tried after the password was refused", pushes.Load())
			s.GitLab.Reinstate()
			s.expectAsTold(t, account, outcome.Stdout, 3)
			expectNothingLeft(t, s.Engine)
			s.expectRest(t, account, s.missing(t, account, outcome.Stdout), env...)
		})
	}
}

// A run that reaches its deadline ends in time, and reports what is left and that another run will continue, which it
// does.
func TestDeadline(t *testing.T) {
	t.Parallel()
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel() // it mostly waits
			var h hazards
			h.slowLinks(crawl)
			s, account := h.start(t, kind)
			const deadline = 20 * time.Second
			env := []string{"MIGRATE_CONCURRENCY=1", "MIGRATE_REPORT_DIR=" + t.TempDir()}
			outcome := s.runWithin(t, rowLimit, append(env, deadlineFor(kind, deadline)...)...)
			expectExit(t, outcome, 4)
			if outcome.Took > deadline+5*time.Second {
				t.Errorf("it took %s", outcome.Took)
			}
			expectOutput(t, outcome.Stdout, "not started")
			expectOutput(t, outcome.Stdout+outcome.Stderr, "run again")
			h.restore(t)
			s.expectAsTold(t, account, outcome.Stdout, 1)
			expectNothingLeft(t, s.Engine)
			s.expectRest(t, account, s.missing(t, account, outcome.Stdout), env...)
		})
	}
}

// deadlineFor sets the deadline with the program's own variable, or with GitLab's.
func deadlineFor(kind engine.Kind, deadline time.Duration) []string {
	if kind == engine.Containerd {
		return []string{"MIGRATE_DEADLINE=" + deadline.String()}
	}
	return []string{"CI_JOB_STARTED_AT=" + time.Now().Format(time.RFC3339), fmt.Sprintf("CI_JOB_TIMEOUT=%d", int(deadline.Seconds()))}
}

// crawl slows the link so that a layer of the usual account takes two or three seconds.
func crawl(link *faults.Link) error { return link.Limit(60) }

// stopTimeout is how long docker stop, and therefore a runner, waits for a container before killing it.
const stopTimeout = 10 * time.Second

// A canceled job ends before its runner kills it, reports what it has done, and leaves nothing in the engine.
func TestTerminated(t *testing.T) {
	t.Parallel()
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel() // it mostly waits
			var h hazards
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			var at atomic.Pointer[time.Time]
			h.alone = true // the classic engine may take much longer to end a push
			h.slowLinks(crawl)
			h.atGitLab(faults.At(faults.ManifestWrite, 3, func() {
				now := time.Now()
				at.Store(&now)
				interrupt()
			}))
			s, account := h.start(t, kind)
			env := []string{"MIGRATE_CONCURRENCY=2", "MIGRATE_REPORT_DIR=" + t.TempDir()}
			outcome, err := program.Run(ctx, append(s.Env(), env...))
			if err != nil {
				t.Fatal(err)
			}
			s.expectNoSecrets(t, outcome)
			expectExit(t, outcome, 128+int(syscall.SIGTERM))
			h.expectStruck(t)
			took := time.Since(*at.Load())
			if t.Logf("it took %s to end", took.Round(time.Millisecond)); took > stopTimeout {
				t.Errorf("it took %s to end", took)
			}
			expectOutput(t, outcome.Stdout, "tags are at "+s.GitLab.Image, "not started")
			h.restore(t)
			s.expectAsTold(t, account, outcome.Stdout, 1)
			expectNothingLeft(t, s.Engine)
			s.expectRest(t, account, s.missing(t, account, outcome.Stdout), env...)
		})
	}
}

// A killed program leaves its results for the next run. It writes its report at intervals of half a second: here, a
// push waits until the report has all earlier tags, and then the program is killed.
func TestKilled(t *testing.T) {
	t.Parallel()
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel() // it mostly waits
			var h hazards
			h.alone = true
			ctx, kill := context.WithTimeout(t.Context(), rowLimit)
			defer kill()
			reports := t.TempDir()
			h.atGitLab(faults.At(faults.ManifestWrite, 8, func() {
				waitForTags(ctx, t, reports, 7)
				kill()
			}))
			s, account := h.start(t, kind)
			env := []string{"MIGRATE_CONCURRENCY=1", "MIGRATE_REPORT_DIR=" + reports}

			var output strings.Builder
			command := program.Command(ctx, append(s.Env(), env...))
			command.Stdout = &output
			command.Cancel = func() error { return command.Process.Kill() }
			err := command.Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != -1 {
				t.Fatalf("not killed: %v\n%s", err, output.String())
			}
			h.expectStruck(t)
			s.expectAsTold(t, account, output.String(), 3)
			s.expectRest(t, account, s.missing(t, account, output.String()), env...)
		})
	}
}

// A canceled job ends soon, reports what it has done, and leaves nothing in the engine: neither the image that waits to
// be pushed, nor those from before the interrupted pull. Each row has at most one call in progress.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		verb         proxy.Verb
		nth          int32
		repositories []string
		says         string
	}{
		{proxy.Pull, 5, tinyAccount, "not started"},
		{proxy.Push, 3, []string{"odd-tags"}, "2 of 8 tags are at "},
	} {
		for _, kind := range engine.Kinds() {
			t.Run(fmt.Sprintf("%s/%s", test.verb, kind), func(t *testing.T) {
				t.Parallel()
				s := startScene(t, kind, world.Options{})
				s.fillWith(t, test.repositories...)
				ctx, interrupt := context.WithTimeout(t.Context(), time.Minute)
				defer interrupt()
				outcome, err := program.Run(ctx, append(s.Env(), "MIGRATE_CONCURRENCY=1", s.through(t, hold(test.verb, test.nth, interrupt))))
				if err != nil {
					t.Fatal(err)
				}
				if outcome.Took > time.Minute {
					t.Errorf("it took %s", outcome.Took)
				}
				expectExit(t, outcome, 143)
				expectOutput(t, outcome.Stdout, "tags are at "+s.GitLab.Image, test.says)
				expectOutput(t, outcome.Stderr, "interrupted by ")
				s.expectNoSecrets(t, outcome)
				expectNothingLeft(t, s.Engine)
			})
		}
	}
}

// hold delays the nth call of a kind until the program gives up, and then calls then.
func hold(verb proxy.Verb, nth int32, then func()) proxy.Around {
	var calls atomic.Int32
	return func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
		if proxy.CallOf(r).Verb == verb && calls.Add(1) == nth {
			then()
			<-r.Context().Done()
			return
		}
		engine.ServeHTTP(w, r)
	}
}

// waitForTags waits until report.json has the given number of tags with an outcome.
func waitForTags(ctx context.Context, t *testing.T, dir string, want int) {
	t.Helper()
	for {
		var report struct{ Tags []struct{ Outcome string } }
		text, err := os.ReadFile(filepath.Join(dir, "report.json"))
		if err == nil {
			err = json.Unmarshal(text, &report)
		}
		if err == nil && len(report.Tags) >= want {
			return
		}
		select {
		case <-ctx.Done():
			t.Errorf("report.json has %d tags, want %d (%v)", len(report.Tags), want, err)
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

var outcomeLine = regexp.MustCompile(`(?m)^ *\d+/\d+ +(exact|present|changed|one platform|refused|failed|not started) +(\S+)`)

// outcomes reads the outcome of each tag from a log.
func outcomes(log string) map[string]string {
	found := map[string]string{}
	for _, match := range outcomeLine.FindAllStringSubmatch(log, -1) {
		found[match[2]] = match[1]
	}
	return found
}

// expectAsTold compares the tags that the log calls copied with the target, and expects at least the given number of
// them, but not all.
func (s *scene) expectAsTold(t *testing.T, account []corpus.Repository, log string, least int) {
	t.Helper()
	told := outcomes(log)
	arrived := onlyTags(account, func(named string) bool { return told[named] == "exact" || told[named] == "changed" })
	copied, _ := compareTags(t, s.World, arrived, s.Engine.Kind)
	if all := countTags(account); copied < least || copied >= all {
		t.Errorf("%d of %d tags were copied:\n%s", copied, all, log)
	}
}

// onlyTags returns the part of the account with the given tags ("team/app:1.0").
func onlyTags(account []corpus.Repository, wanted func(named string) bool) (part []corpus.Repository) {
	for _, repository := range account {
		kept := corpus.Repository{Name: repository.Name}
		for _, image := range repository.Images {
			var tags []string
			for _, tag := range image.Tags {
				if wanted(repository.Name + ":" + tag) {
					tags = append(tags, tag)
				}
			}
			if len(tags) > 0 {
				kept.Images = append(kept.Images, corpus.Image{Tags: tags, Object: image.Object})
			}
		}
		part = append(part, kept)
	}
	return part
}

func countTags(account []corpus.Repository) (n int) {
	for _, repository := range account {
		for _, image := range repository.Images {
			n += len(image.Tags)
		}
	}
	return n
}

// slack is what a run may transfer in addition to the missing blobs, in percent: configs that are read twice, and
// recompressed layers.
const slack = 20

// expectRest runs the program once more: afterwards, the target has the entire account, and only blobs of missing
// images have been transferred.
func (s *scene) expectRest(t *testing.T, account, missing []corpus.Repository, changes ...string) {
	t.Helper()
	out, in := s.AWS.BlobBytesOut(), s.GitLab.BytesIn()
	again := s.runWithin(t, rowLimit, changes...)
	out, in = s.AWS.BlobBytesOut()-out, s.GitLab.BytesIn()-in
	expectExit(t, again, 0)
	bound := blobBytes(t, missing)
	t.Logf("%d tags with %d bytes were missing; %d were read at ECR, %d sent to GitLab", countTags(missing), bound, out, in)
	bound += bound * slack / 100
	if out > bound || in > bound {
		t.Errorf("%d bytes were read at ECR and %d sent to GitLab, of %d that the missing tags have", out, in, bound)
	}
	compareTags(t, s.World, account, s.Engine.Kind)
	expectPresent(t, again.Stdout, countTags(account)-countTags(missing))
}

// expectPresent checks that the given number of tags were found at the target.
func expectPresent(t *testing.T, log string, want int) {
	t.Helper()
	present := 0
	for _, outcome := range outcomes(log) {
		if outcome == "present" {
			present++
		}
	}
	if present != want {
		t.Errorf("%d tags are told as present, want %d:\n%s", present, want, log)
	}
}

// missing is the part of the account that a second run has to copy: what is not at the target, or on the classic store
// what the first run did not report as copied, because the target's digest is only known for those.
func (s *scene) missing(t *testing.T, account []corpus.Repository, log string) []corpus.Repository {
	t.Helper()
	told := outcomes(log)
	return onlyTags(account, func(named string) bool {
		if s.Engine.Kind == engine.Classic {
			return told[named] != "changed" && told[named] != "exact"
		}
		repository, tag, _ := strings.Cut(named, ":")
		digest, err := check.Digest(t.Context(), s.Target(repository, ":"+tag))
		if err != nil {
			t.Fatal(err)
		}
		return digest == ""
	})
}

// blobBytes returns the size of all blobs of the images, each counted once.
func blobBytes(t *testing.T, account []corpus.Repository) (sum int64) {
	t.Helper()
	seen := map[v1.Hash]bool{}
	for _, repository := range account {
		for _, image := range repository.Images {
			for _, blob := range blobsOf(t, image.Object) {
				if !seen[blob.Digest] {
					seen[blob.Digest] = true
					sum += blob.Size
				}
			}
		}
	}
	return sum
}

// blobsOf returns the layers of an image, followed by its config.
func blobsOf(t *testing.T, object corpus.Object) []v1.Descriptor {
	t.Helper()
	image, ok := object.(v1.Image)
	if !ok {
		t.Fatalf("%T is no image", object)
	}
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	return append(manifest.Layers, manifest.Config)
}
