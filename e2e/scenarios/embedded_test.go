package scenarios

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

// docs/pipeline.md recommends an experimental option with which dockerd runs containerd in its own process. An entire
// account arrives through such an engine as through any other.
func TestContainerdInsideTheEngine(t *testing.T) {
	t.Parallel()
	account, err := corpus.Account(t.Context(), corpus.AccountOptions{})
	if err != nil {
		t.Fatal(err)
	}
	e := ownEngine(t, engine.Containerd, engine.Options{Args: []string{engine.EmbeddedContainerd}})
	w := startWorld(t, e, world.Options{})
	fill(t, w, account)
	outcome := run(t, w.Env())
	expectExit(t, outcome, 0)
	expectOutput(t, e.Log(), "embedded-containerd mode") // as the page quotes it
	for _, program := range children(t, e.PID()) {
		if program == "containerd" {
			t.Error("containerd runs beside dockerd")
		}
	}
	compareAccount(t, w, account, engine.Containerd)
	expectNothingLeft(t, e)
	expectOnce(t, "left ECR", w.AWS.BlobPulls())
	expectOnce(t, "reached GitLab", w.GitLab.Uploads())
}

// children returns the names of the programs that a process has started and that still run.
func children(t *testing.T, pid int) (names []string) {
	t.Helper()
	lists, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task/*/children"))
	if err != nil || len(lists) == 0 {
		t.Fatalf("no children are listed for the process %d (%v)", pid, err)
	}
	for _, list := range lists {
		for _, child := range strings.Fields(readProc(t, list)) {
			names = append(names, strings.TrimSpace(readProc(t, filepath.Join("/proc", child, "comm"))))
		}
	}
	return names
}

// readProc returns an empty string for a thread or process that has ended.
func readProc(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ESRCH) {
		t.Error(err)
	}
	return string(text)
}
