package bench

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestRunAll(t *testing.T) {
	shell := func(scripts ...string) (commands []*exec.Cmd) {
		for _, script := range scripts {
			commands = append(commands, command(t.Context(), "sh", "-c", script))
		}
		return commands
	}
	ballast := make([]byte, 64<<20) // in this process, not in its child
	for i := range ballast {
		ballast[i] = 1
	}
	u, err := runAll(t.Context(), shell("sleep 0.1", "sleep 0.1"), 2)
	if err != nil || u.memory == 0 || u.memory > int64(len(ballast)/2) {
		t.Errorf("took %v, %v", u, err)
	}
	if u, err := runAll(t.Context(), shell("for i in $(seq 20000); do :; done"), 1); err != nil || u.cpu == 0 {
		t.Errorf("took %v, %v", u, err)
	}
	_, err = runAll(t.Context(), shell("echo why; exit 3", "sleep 60"), 2)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || !strings.Contains(err.Error(), "why") {
		t.Errorf("error %v, want the code 3 and the output", err)
	}
}

// TestRunAllEnds checks that started commands are stopped, including children, and that the error says why.
func TestRunAllEnds(t *testing.T) {
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errors.New("enough"))
	defer cancel()
	started := time.Now()
	_, err := runAll(ctx, []*exec.Cmd{command(ctx, "sh", "-c", "sleep 60 & wait")}, 1)
	if err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("error %v, want why it was ended", err)
	}
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}
