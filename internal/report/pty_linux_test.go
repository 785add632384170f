package report

import (
	"bytes"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit/terminal"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// watch returns what a user sees, once the program has closed its end of the terminal.
func watch(program, user *os.File) (seen func() string) {
	text := make(chan string)
	go func() {
		all, _ := io.ReadAll(user) // fails at the end, when the other side is closed
		text <- string(all)
	}()
	return func() string {
		_ = program.Close()
		return <-text
	}
}

// The view depends on the kind of output and on the environment.
func TestViewFor(t *testing.T) {
	terminalOf80, _ := terminal.Open(t, 80, 24)
	file, err := os.Create(t.TempDir() + "/log")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // nothing is written
	for _, test := range []struct {
		name     string
		out      io.Writer
		env      map[string]string
		onScreen bool
		colour   bool
	}{
		{"a terminal", terminalOf80, map[string]string{"TERM": "xterm"}, true, true},
		{"without colours", terminalOf80, map[string]string{"TERM": "xterm", "NO_COLOR": "yes"}, true, false},
		{"a dumb one", terminalOf80, map[string]string{"TERM": "dumb"}, false, false},
		{"of which nothing is known", terminalOf80, nil, false, false},
		{"in a CI job", terminalOf80, map[string]string{"TERM": "xterm", "CI": "true"}, false, false},
		{"in GitLab's", terminalOf80, map[string]string{"TERM": "xterm", "CI": "1", "GITLAB_CI": "true"}, false, true},
		{"in none", terminalOf80, map[string]string{"TERM": "xterm", "CI": "false", "GITLAB_CI": "false"}, true, true},
		{"a file", file, map[string]string{"TERM": "xterm"}, false, false},
		{"a writer", io.Discard, map[string]string{"TERM": "xterm"}, false, false},
	} {
		v, colour := viewFor(test.out, func(name string) string { return test.env[name] }, &tally{})
		if _, onScreen := v.(*screen); onScreen != test.onScreen || colour != test.colour {
			t.Errorf("%s: on screen %t, with colours %t", test.name, onScreen, colour)
		}
	}
}

// On a real terminal, the rows adapt to its size, and in the end only lines remain.
func TestOnTerminal(t *testing.T) {
	program, user := terminal.Open(t, 200, 24)
	shown := showing(t, user, 200, 24)
	log := NewLogFor(program, func(name string) string { return map[string]string{"TERM": "xterm", "NO_COLOR": "1"}[name] }, redact.URLs)
	log.Begin("list", "List and plan")
	log.Observe(migrate.Planned{Tags: 100})
	log.Observe(migrate.Moved{Of: 1e9})
	for _, event := range work(30) {
		log.Observe(event)
	}
	s := log.view.(*screen)
	for i, columns := range []int{200, 100, 160, 81} {
		terminal.Resize(t, user, columns, 24)
		shown.resize(columns, 24)
		log.Observe(migrate.Finished{Result: tag(strings.Repeat("x", i+1), transfer.Exact, nil)})
		s.mu.Lock()
		s.draw() // reads the new size
		s.resized = time.Time{}
		s.draw()
		rows := slices.Clone(s.shown)
		s.mu.Unlock()
		widest := 0
		for _, row := range rows {
			widest = max(widest, len(row))
		}
		if len(rows) != 12 || widest >= columns || widest < 80-10 {
			t.Errorf("%d columns: %d rows, the widest has %d", columns, len(rows), widest)
		}
		shown.await(t, rows[len(rows)-1])
	}
	log.Summary(migrate.Summary{}, target, time.Minute)
	shown.await(t, "0 of 100 tags are at "+target+", after 1m0s")
	expect(t, strings.Join(shown.window.Lines(), "\n"),
		empty(100),
		"    1/100  exact         team/app:x  41cf6794ba42",
		"    2/100  exact         team/app:xx  41cf6794ba42",
		"    3/100  exact         team/app:xxx  41cf6794ba42",
		"    4/100  exact         team/app:xxxx  41cf6794ba42",
		"",
		"0 of 100 tags are at "+target+", after 1m0s",
	)
	if unknown := shown.window.Unknown(); len(unknown) > 0 {
		t.Errorf("the terminal is sent %q", unknown)
	}
}

// display interprets a program's output as a terminal does.
type display struct {
	mu     sync.Mutex
	window *terminal.Screen
}

func showing(t *testing.T, user io.Reader, columns, rows int) *display {
	t.Helper()
	d := &display{window: terminal.NewScreen(columns, rows, true)}
	go func() {
		for buffer := make([]byte, 1<<10); ; {
			n, err := user.Read(buffer)
			d.mu.Lock()
			_, _ = d.window.Write(bytes.ReplaceAll(buffer[:n], []byte("\r\n"), []byte("\n")))
			d.mu.Unlock()
			if err != nil { // the other side is closed
				return
			}
		}
	}()
	return d
}

func (d *display) resize(columns, rows int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.window.Resize(columns, rows)
}

// await waits until the display ends with the line, which may be wrapped.
func (d *display) await(t *testing.T, line string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		d.mu.Lock()
		lines := d.window.Lines()
		d.mu.Unlock()
		if len(lines) > 0 && lines[len(lines)-1] == line {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the terminal shows\n%s\nand not at its end %q", strings.Join(lines, "\n"), line)
		}
	}
}

// A dumb terminal gets plain lines.
func TestOnDumbTerminal(t *testing.T) {
	program, user := terminal.Open(t, 80, 24)
	seen := watch(program, user)
	log := NewLogFor(program, func(name string) string { return map[string]string{"TERM": "dumb"}[name] }, redact.URLs)
	log.Observe(migrate.Planned{Tags: 1})
	log.Observe(migrate.Moved{})
	log.Observe(migrate.Finished{Result: tag("1", transfer.Exact, nil)})
	log.End()
	if text := seen(); text != empty(1)+"\r\n"+"      1/1  exact         team/app:1  41cf6794ba42\r\n" {
		t.Errorf("%q", text)
	}
}
