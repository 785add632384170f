package scenarios

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/check"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/faults"
)

// The jobs of parallel: 4, each with its own engine, share the work: every tag is copied by exactly one of them, and no
// blob is pulled from ECR more than once by each.
func TestShares(t *testing.T) {
	t.Parallel()
	const jobs = 4
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			var h hazards
			h.account = corpus.TinyOptions{Repositories: 8, Tags: 5, Layers: 1, Size: 200 << 10}
			var pushed pushedTags
			h.GitLab.Wrap = pushed.wrap
			s, account := h.start(t, kind)
			logs, used := make([]string, jobs), make([]*engine.Engine, jobs)
			var group errgroup.Group
			for i := range jobs {
				e := s.Engine
				if i > 0 {
					e = s.anotherEngine(t, kind)
				}
				used[i] = e
				group.Go(func() error {
					outcome, err := program.Run(t.Context(), append(s.Env(), "DOCKER_HOST="+e.Host,
						fmt.Sprintf("CI_NODE_INDEX=%d", i+1), fmt.Sprintf("CI_NODE_TOTAL=%d", jobs)))
					s.expectNoSecrets(t, outcome)
					logs[i] = outcome.Stdout
					if err == nil && outcome.ExitCode != 0 {
						err = fmt.Errorf("job %d: exit code %d\n%s\n%s", i+1, outcome.ExitCode, outcome.Stdout, outcome.Stderr)
					}
					return err
				})
			}
			if err := group.Wait(); err != nil {
				t.Fatal(err)
			}
			compareTags(t, s.World, account, kind)
			for _, e := range used {
				expectNothingLeft(t, e)
			}
			expectOneJobEach(t, account, logs)
			pushed.expectOnce(t, countTags(account))
			expectPullsOfShares(t, s, account, jobs)
		})
	}
}

// anotherEngine starts an engine for which the world is what it is for the first: with a bucket of the same name.
func (s *scene) anotherEngine(t *testing.T, kind engine.Kind) *engine.Engine {
	t.Helper()
	e := startEngine(t, kind, engine.Options{Verify: true, Hosts: func([]string) map[string]string { return s.Engine.Hosts }})
	if err := s.TrustedBy(e); err != nil {
		t.Fatal(err)
	}
	return e
}

// expectOneJobEach checks that each tag was copied by one job, and that no job was idle.
func expectOneJobEach(t *testing.T, account []corpus.Repository, logs []string) {
	t.Helper()
	jobs := map[string]int{}
	for i, log := range logs {
		copied := 0
		for named, outcome := range outcomes(log) {
			if outcome == "exact" || outcome == "changed" {
				copied++
				jobs[named]++
			}
		}
		t.Logf("job %d has copied %d tags", i+1, copied)
		if copied == 0 {
			t.Errorf("job %d has copied nothing:\n%s", i+1, log)
		}
	}
	onlyTags(account, func(named string) bool {
		if jobs[named] != 1 {
			t.Errorf("%d jobs have copied %s", jobs[named], named)
		}
		return false
	})
}

// expectPullsOfShares checks that no blob was read more often than there are jobs, and that blobs of a single image
// were read once. For the classic store, each job also reads all configs, because images are refused for their platform
// in advance.
func expectPullsOfShares(t *testing.T, s *scene, account []corpus.Repository, jobs int) {
	t.Helper()
	images, plans := map[string]int{}, map[string]int{} // by blob: images that have it, and jobs that plan with it
	for _, repository := range account {
		for _, image := range repository.Images {
			blobs := blobsOf(t, image.Object)
			for _, blob := range blobs {
				images[blob.Digest.String()]++
			}
			if s.Engine.Kind == engine.Classic {
				plans[blobs[len(blobs)-1].Digest.String()] = jobs
			}
		}
	}
	for digest, times := range s.AWS.BlobPulls() {
		if times > min(jobs, images[digest])+plans[digest] {
			t.Errorf("%s was read %d times, and %d images have it", digest, times, images[digest])
		}
	}
}

// pushedTags counts how often each tag is pushed.
type pushedTags struct {
	mu    sync.Mutex
	times map[string]int
}

func (p *pushedTags) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if faults.ManifestWrite(r) && faults.WithToken(r) && !strings.Contains(r.URL.Path, "sha256:") {
			p.mu.Lock()
			if p.times == nil {
				p.times = map[string]int{}
			}
			p.times[r.URL.Path]++
			p.mu.Unlock()
		}
		next.ServeHTTP(w, r)
	})
}

func (p *pushedTags) expectOnce(t *testing.T, tags int) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.times) != tags {
		t.Errorf("%d tags were pushed, want %d", len(p.times), tags)
	}
	for path, times := range p.times {
		if times != 1 {
			t.Errorf("%s was pushed %d times", path, times)
		}
	}
}

// usage is the resource usage of a process at one moment.
type usage struct {
	at                               time.Duration // since its start
	done                             int           // tags by then
	threads, descriptors, goroutines int
}

var (
	progressLine = regexp.MustCompile(`^ *(\d+)/\d+ `)
	threadsField = regexp.MustCompile(`(?m)^Threads:\s+(\d+)`)
)

func usageOf(pid int) (u usage, err error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return u, err
	}
	match := threadsField.FindSubmatch(status)
	if match == nil {
		return u, fmt.Errorf("no threads in %s", status)
	}
	if u.threads, err = strconv.Atoi(string(match[1])); err != nil {
		return u, err
	}
	open, err := os.ReadDir(filepath.Join(dir, "fd"))
	u.descriptors = len(open)
	return u, err
}

// After two thousand tags in one run, the program uses no more memory, goroutines, threads and descriptors than at the
// start. One store is enough: the program's own usage is the same on both.
func TestTwoThousandTags(t *testing.T) {
	options := corpus.TinyOptions{Repositories: 40, Tags: 10, Aliases: 4, Size: 8 << 10}
	account, err := corpus.Tiny(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	w := startWorld(t, borrowEngine(t, engine.Containerd), world.Options{})
	fill(t, w, account)
	command := program.Command(t.Context(), append(w.Env(), "GODEBUG=schedtrace=1000,scheddetail=1,gctrace=1"))
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	command.Stderr = &stderr
	started := time.Now()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	used := sample(t, command.Process.Pid, started, stdout, countTags(account)/samples)
	if err := command.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	countGoroutines(t, used, stderr.String())
	early, late := used[2], used[len(used)-1] // after a tenth of the tags, and before the end
	t.Logf("early %+v, late %+v", early, late)
	if late.threads > early.threads+4 || late.descriptors > early.descriptors+16 ||
		late.goroutines > early.goroutines*5/4 || early.goroutines == 0 {
		t.Errorf("the program grows: %+v", used)
	}
	heap := liveHeap(t, stderr.String())
	before, after := smallest(heap, used[2].at, used[samples/2].at), smallest(heap, used[samples/2].at, late.at)
	t.Logf("live heap in the first half: %d MB, in the second: %d MB", before, after)
	if before < 0 || after < 0 || after > before+heapGrowth {
		t.Errorf("the heap grows from %d to %d MB", before, after)
	}
	expectDigests(t, w, account)
	compareTags(t, w, account[:3], engine.Containerd)
	expectNothingLeft(t, w.Engine)
}

// heapGrowth is by how many MB the least that is in use may grow from one half of the run to the other. It is 4 MB in
// both; the trace of the garbage collector has whole megabytes, and the results of a thousand tags are less than one.
const heapGrowth = 1

// live is the program's heap in use after a garbage collection.
type live struct {
	at        time.Duration // since its start
	megabytes int
}

var collectionLine = regexp.MustCompile(`(?m)^gc \d+ @([0-9.]+)s .* \d+->\d+->(\d+) MB`)

// liveHeap reads Go's garbage collector trace.
func liveHeap(t *testing.T, trace string) (all []live) {
	t.Helper()
	for _, match := range collectionLine.FindAllStringSubmatch(trace, -1) {
		at, err := time.ParseDuration(match[1] + "s")
		if err != nil {
			t.Fatal(err)
		}
		megabytes, err := strconv.Atoi(match[2])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, live{at, megabytes})
	}
	return all
}

// smallest returns the minimum in use between two moments, or -1 if there was no collection in between.
func smallest(heap []live, from, to time.Duration) int {
	least := -1
	for _, l := range heap {
		if l.at >= from && l.at < to && (least < 0 || l.megabytes < least) {
			least = l.megabytes
		}
	}
	return least
}

// samples are taken during a run, the last one before the final twentieth of its tags.
const samples = 20

// sample reads the program's log to its end, and samples the process each time a certain number of tags are done.
func sample(t *testing.T, pid int, started time.Time, log io.Reader, step int) (used []usage) {
	t.Helper()
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		match := progressLine.FindStringSubmatch(lines.Text())
		if match == nil {
			continue
		}
		done, err := strconv.Atoi(match[1])
		if err != nil {
			t.Fatal(err)
		}
		if done < step*len(used) || len(used) == samples {
			continue
		}
		u, err := usageOf(pid)
		if err != nil {
			t.Fatal(err)
		}
		u.at, u.done = time.Since(started), done
		used = append(used, u)
	}
	if err := lines.Err(); err != nil {
		t.Error(err)
	}
	if len(used) < samples {
		t.Fatalf("%d samples", len(used))
	}
	return used
}

var (
	traceLine     = regexp.MustCompile(`^SCHED (\d+)ms:`)
	goroutineLine = regexp.MustCompile(`^  G\d+: status=(\d)`)
)

// statusDead is the status of a goroutine that has ended (runtime2.go in Go's runtime).
const statusDead = "6"

// countGoroutines sets the number of goroutines at each moment, or up to a second later, from Go's scheduler trace.
func countGoroutines(t *testing.T, used []usage, trace string) {
	t.Helper()
	next, count := 0, new(int)
	for line := range strings.Lines(trace) {
		if match := traceLine.FindStringSubmatch(line); match != nil {
			milliseconds, err := strconv.Atoi(match[1])
			if err != nil {
				t.Fatal(err)
			}
			for count = new(int); next < len(used) && used[next].at <= time.Duration(milliseconds)*time.Millisecond; next++ {
				count = &used[next].goroutines
			}
			continue
		}
		if match := goroutineLine.FindStringSubmatch(line); match != nil && match[1] != statusDead {
			*count++
		}
	}
}

// expectDigests checks that the target returns ECR's digest for every tag.
func expectDigests(t *testing.T, w *world.World, account []corpus.Repository) {
	t.Helper()
	var group errgroup.Group
	group.SetLimit(8)
	for _, repository := range account {
		digests, err := repository.Tags()
		if err != nil {
			t.Fatal(err)
		}
		for tag, want := range digests {
			group.Go(func() error {
				got, err := check.Digest(t.Context(), w.Target(repository.Name, ":"+tag))
				if err == nil && got != want.String() {
					err = fmt.Errorf("%s:%s is %q at the target, want %s", repository.Name, tag, got, want)
				}
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}
