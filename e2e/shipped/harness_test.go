// Package shipped tests what readers copy and run: the image, the compose file, the pipeline's job and the component,
// exactly as they are in the repository.
package shipped

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
)

// program is the program itself, to compare the files with.
var program world.Program

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	if err := world.InMemory(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "ecr2gitlab-shipped")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	if program, err = world.Build(context.Background(), dir, false); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func run(t *testing.T, env []string, args ...string) world.Outcome {
	t.Helper()
	outcome, err := program.Run(t.Context(), env, args...)
	if err != nil {
		t.Fatal(err)
	}
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
