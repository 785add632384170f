package scenarios

import (
	"bytes"
	"errors"
	"net/http"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/proxy"
)

// Ctrl-C, which a terminal sends to the whole process group, ends a run like a canceled job, but with its own exit code.
func TestCtrlC(t *testing.T) {
	t.Parallel()
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := startScene(t, kind, world.Options{})
			s.fillWith(t, "odd-tags")
			r := &foreground{}
			outcome := r.run(t, append(s.Env(), "MIGRATE_CONCURRENCY=1", s.through(t, hold(proxy.Push, 3, func() { r.press(t) }))))
			expectExit(t, outcome, 128+int(syscall.SIGINT))
			expectOutput(t, outcome.Stdout, "2 of 8 tags are at "+s.GitLab.Image)
			expectOutput(t, outcome.Stderr, "interrupted by SIGINT")
			s.expectNoSecrets(t, outcome)
			expectNothingLeft(t, s.Engine)
		})
	}
}

// A second Ctrl-C does not wait for an engine that hangs while it is cleaned up. The next run cleans up instead.
func TestCtrlCTwice(t *testing.T) {
	t.Parallel()
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := startScene(t, kind, world.Options{})
			shapes := s.fillWith(t, "docker-manifest")
			r := &foreground{}
			var pressed atomic.Int32
			outcome := r.run(t, append(s.Env(), s.through(t, func(w http.ResponseWriter, req *http.Request, engine http.Handler) {
				verb, before := proxy.CallOf(req).Verb, pressed.Load()
				if !(verb == proxy.Push && before == 0 || verb == proxy.Remove && before == 1) || !pressed.CompareAndSwap(before, before+1) {
					engine.ServeHTTP(w, req)
					return
				}
				r.press(t)
				<-req.Context().Done() // until the program gives up, or ends
			})))
			expectExit(t, outcome, 128+int(syscall.SIGINT))
			if n := pressed.Load(); n != 2 {
				t.Errorf("it was interrupted %d times:\n%s", n, outcome.Stdout)
			}
			if strings.Contains(outcome.Stdout, "tags are at ") {
				t.Errorf("it took the time for a summary:\n%s", outcome.Stdout)
			}
			s.expectNoSecrets(t, outcome)
			again := s.run(t)
			expectExit(t, again, 0)
			s.expectArrived(t, again.Stdout, shapes...)
			expectNothingLeft(t, s.Engine)
		})
	}
}

// foreground is a run of the program in a process group of its own, as a shell starts it in a terminal.
type foreground struct{ command *exec.Cmd }

// press sends what Ctrl-C sends.
func (f *foreground) press(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(-f.command.Process.Pid, syscall.SIGINT); err != nil {
		t.Error(err)
	}
}

func (f *foreground) run(t *testing.T, env []string) world.Outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	f.command = program.Command(t.Context(), env)
	f.command.SysProcAttr.Setpgid = true
	f.command.Stdout, f.command.Stderr = &stdout, &stderr
	began := time.Now()
	err := f.command.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return world.Outcome{
		ExitCode: f.command.ProcessState.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String(), Took: time.Since(began),
	}
}
