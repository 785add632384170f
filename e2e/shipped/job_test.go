package shipped

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
)

// jobLimit limits a job, which takes about ten seconds, and the wait for a line of its log.
const jobLimit = 3 * time.Minute

// enginePauses is what an engine logs before it pauses for 15 s, if it listens without TLS and has not been told
// that this is intended.
const enginePauses = "Startup is intentionally being slowed down"

// jobRun is one run of the pipeline's migration job: two containers in a network, with a world to migrate.
type jobRun struct {
	s       shipping
	world   *world.World
	job     job
	network string
	certs   string   // the volume that a runner shares between job and service
	env     []string // of both
	service string   // the service's container, once started
	builds  string   // the job's working directory
	command *exec.Cmd
	output  *transcript
}

// newJobRun prepares a run with the given DOCKER_TLS_CERTDIR.
func (s shipping) newJobRun(t *testing.T, certDir string) *jobRun {
	t.Helper()
	run := &jobRun{s: s, world: s.startWorld(t), job: readJob(t, ".gitlab-ci.yml"), builds: t.TempDir(), output: newTranscript()}
	run.network = strings.TrimSpace(s.docker(t, "network", "create", "job"))
	t.Cleanup(func() { s.docker(t, "network", "rm", run.network) })
	run.certs = s.volume(t)
	run.env = []string{"DOCKER_TLS_CERTDIR=" + certDir}
	// The runner clones as root, and makes the files world-writable.
	if err := os.Chmod(run.builds, 0o777); err != nil {
		t.Fatal(err)
	}
	return run
}

// startService starts the job's only service.
func (r *jobRun) startService(t *testing.T) {
	t.Helper()
	service := r.job.Services[0]
	if service.Name != dind || service.Alias != "docker" {
		t.Fatalf("the job's service is %+v", service)
	}
	args := []string{"run", "--detach", "--privileged", "--network", r.network, "--network-alias", service.Alias}
	args = append(args, r.shared()...)
	for name, value := range service.Variables {
		args = append(args, "--env", name+"="+value)
	}
	args = append(append(args, service.Name), service.Command...)
	r.service = strings.TrimSpace(r.s.docker(t, args...))
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(r.s.docker(t, "logs", r.service))
		}
		r.s.docker(t, "rm", "--force", "--volumes", r.service)
	})
}

// start starts the job, and returns the transcript that receives its output.
func (r *jobRun) start(t *testing.T) *transcript {
	t.Helper()
	args := []string{"run", "--rm", "--network", r.network, "--volume", r.builds + ":/builds", "--workdir", "/builds"}
	args = append(args, r.shared()...)
	for _, variable := range r.world.Env() {
		args = append(args, "--env", variable)
	}
	args = append(args, jobImage, "sh", "-c", strings.Join(r.job.Script, "\n"))
	r.command = r.s.command(t, args...)
	r.command.Stdout, r.command.Stderr = r.output, r.output
	if err := r.command.Start(); err != nil {
		t.Fatal(err)
	}
	return r.output
}

// shared returns the options that job and service have in common.
func (r *jobRun) shared() []string {
	args := []string{"--volume", r.certs + ":/certs/client"}
	for _, variable := range r.env {
		args = append(args, "--env", variable)
	}
	return args
}

// expectMigrated waits for the job to end, and checks the target and the log.
func (r *jobRun) expectMigrated(t *testing.T) {
	t.Helper()
	limit := time.AfterFunc(jobLimit, func() { _ = r.command.Process.Kill() })
	defer limit.Stop()
	if err := r.command.Wait(); err != nil {
		t.Fatalf("%v:\n%s", err, r.output)
	}
	r.s.compare(t, r.world)
	log, err := os.ReadFile(filepath.Join(r.builds, "migration.log"))
	if err != nil {
		t.Fatal(err)
	}
	if string(log) != r.output.String() {
		t.Errorf("migration.log differs from the job's output:\n%s\n%s", log, r.output)
	}
}

// transcript records a command's output, and lets callers wait for a part of it.
type transcript struct {
	mu    sync.Mutex
	text  bytes.Buffer
	added chan struct{} // receives a value when there is new output
}

func newTranscript() *transcript { return &transcript{added: make(chan struct{}, 1)} }

func (o *transcript) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.added <- struct{}{}:
	default:
	}
	return o.text.Write(p)
}

func (o *transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (o *transcript) waitFor(t *testing.T, part string) {
	t.Helper()
	limit := time.After(jobLimit)
	for !strings.Contains(o.String(), part) {
		select {
		case <-o.added:
		case <-limit:
			t.Fatalf("%q is missing in the output:\n%s", part, o)
		}
	}
}
