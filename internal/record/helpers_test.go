package record

import (
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

const target = "registry.example.com/group/project"

var (
	source = digest.FromString("source") // sha256:41cf6794ba4200b8…
	pushed = digest.FromString("pushed") // sha256:b9a22ffb5d39a8b0…
)

// tag returns the result of one tag of team/app.
func tag(name string, outcome transfer.Outcome, err error) transfer.Result {
	r := transfer.Result{
		Repository: "team/app", Tag: name, Source: source, Target: target + "/team/app:" + name, Outcome: outcome, Err: err,
	}
	switch outcome {
	case transfer.Exact, transfer.Present:
		r.Pushed = source
	case transfer.Changed, transfer.OnePlatform, transfer.Different:
		r.Pushed = pushed
	}
	return r
}

func referrers(n int, outcome transfer.Outcome, err error) transfer.Result {
	r := tag("sha256-"+pushed.Encoded(), outcome, err)
	r.Referrers, r.Subject = n, pushed
	return r
}

func stepError(step transfer.Step, ref, words, remedy string) error {
	return &transfer.StepError{Step: step, Ref: ref, Err: errors.New(words), Remedy: remedy}
}

// expect compares line by line, so that a failure shows the line that differs.
func expect(t *testing.T, got string, want ...string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	if got == "" {
		lines = nil
	}
	for i := range max(len(lines), len(want)) {
		switch {
		case i >= len(lines):
			t.Errorf("line %d is missing: %q", i, want[i])
		case i >= len(want):
			t.Errorf("line %d is too much: %q", i, lines[i])
		case lines[i] != want[i]:
			t.Errorf("line %d\n got %q\nwant %q", i, lines[i], want[i])
		}
	}
}
