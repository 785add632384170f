// Package scenarios holds the tests of the whole program, on real engines and real registries.
package scenarios

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

// What all tests share: the program, and one engine of each kind, started when a test first asks for it.
var (
	program   world.Program
	enginesMu sync.Mutex
	engines   = map[engine.Kind]*engine.Engine{}
)

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "ecr2gitlab-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	if program, err = world.Build(context.Background(), dir, true); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	for _, e := range engines {
		if err := e.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// sharedEngine returns the engine of that kind. A missing engine fails the test.
func sharedEngine(t *testing.T, kind engine.Kind) *engine.Engine {
	t.Helper()
	enginesMu.Lock()
	defer enginesMu.Unlock()
	if engines[kind] == nil {
		e, err := engine.Start(t.Context(), kind, engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		engines[kind] = e
	}
	return engines[kind]
}

func startWorld(t *testing.T, kind engine.Kind, options world.Options) *world.World {
	t.Helper()
	w, err := world.Start(t.Context(), sharedEngine(t, kind), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func fill(t *testing.T, w *world.World, account []corpus.Repository) {
	t.Helper()
	if err := w.Fill(t.Context(), account); err != nil {
		t.Fatal(err)
	}
}

// runLimit bounds one run of the program.
const runLimit = 10 * time.Minute

func run(t *testing.T, env []string, args ...string) world.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runLimit)
	defer cancel()
	outcome, err := program.Run(ctx, env, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("exit code %d after %s", outcome.ExitCode, outcome.Took.Round(time.Millisecond))
	return outcome
}

func expectExit(t *testing.T, outcome world.Outcome, code int) {
	t.Helper()
	if outcome.ExitCode != code {
		t.Fatalf("exit code %d instead of %d\n%s\n%s", outcome.ExitCode, code, outcome.Stdout, outcome.Stderr)
	}
}

func expectOutput(t *testing.T, output string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(output, part) {
			t.Errorf("%q is missing in the output:\n%s", part, output)
		}
	}
}

// expectNothingLeft makes sure that the engine holds no image any more.
func expectNothingLeft(t *testing.T, e *engine.Engine) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", strings.TrimPrefix(e.Host, "unix://"))
	}}}
	defer client.CloseIdleConnections()
	response, err := client.Get("http://engine/images/json?all=1")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var images []struct {
		ID                    string
		RepoTags, RepoDigests []string
	}
	if err := json.NewDecoder(response.Body).Decode(&images); err != nil {
		t.Fatal(err)
	}
	if len(images) > 0 {
		t.Errorf("%d images are left in the engine: %+v", len(images), images)
	}
}
