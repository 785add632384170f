package main

import (
	"io"
	"strings"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit/terminal"
)

// On a terminal, too, the output ends with the summary.
func TestMigrationOnTerminal(t *testing.T) {
	w := newWorld(t, nil)
	w.env["TERM"], w.env["CI"], w.env["NO_COLOR"] = "xterm", "", "1"
	awsEnv(t, "", w.env)
	program, user := terminal.Open(t, 80, 24)
	text := make(chan string)
	go func() {
		all, _ := io.ReadAll(user)
		text <- string(all)
	}()
	code := run(t.Context(), nil, processEnv(), program, program)
	_ = program.Close()
	shown := <-text
	if code != exitDone || !strings.Contains(shown, "\x1b[J") {
		t.Errorf("exit code %d, and no rows:\n%q", code, shown)
	}
	window := terminal.NewScreen(80, 24, true)
	_, _ = io.WriteString(window, strings.ReplaceAll(shown, "\r\n", "\n"))
	lines := window.Lines()
	assertParts(t, "the terminal", strings.Join(lines, "\n")+"\n",
		"AWS: account ", "Engine: Docker ", "ECR: logged in ", "GitLab: logged in ", "Plan: 1 tags", "  1/1  exact         team/app:1.2  ",
		"\n\n1 of 1 tags are at registry.example.com/group/project, after ", "      1  exact         the digest at GitLab is the digest at ECR\n",
	)
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "      1  exact ") || len(window.Unknown()) > 0 {
		t.Errorf("it ends with %q; unknown %q", last, window.Unknown())
	}
}
