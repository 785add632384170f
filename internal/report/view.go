package report

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// view is where the lines of a log go, and what its reader sees beside them.
type view interface {
	// Write takes whole lines.
	io.Writer
	// begin says that a phase of the run begins, in which things move or not: its name for machines, and for people.
	begin(name, title string, moves bool)
	// end says that nothing moves any more. Lines may still come, and further phases.
	end()
	// room reports whether there is room for lines of which there may be many, once so many bytes have been written.
	room(bytes int) bool
}

// viewFor chooses what suits the output: a screen for a terminal, plain lines else. Colour has what is known to show it.
func viewFor(out io.Writer, getenv func(string) string, t *tally) (v view, colour bool) {
	dumb := getenv("TERM") == "dumb"
	ci, gitlab := isSet(getenv("CI")), isSet(getenv("GITLAB_CI"))
	size := sizeOf(out)
	onScreen := size != nil && !ci && !dumb && getenv("TERM") != ""
	colour = (onScreen || gitlab && !dumb) && getenv("NO_COLOR") == ""
	if onScreen {
		return newScreen(out, size, t), colour
	}
	return newPlain(out, gitlab, t), colour
}

// isSet takes a variable for a yes or a no.
func isSet(value string) bool {
	return value != "" && value != "0" && !strings.EqualFold(value, "false")
}

// sizeOf returns what asks a terminal for its columns and rows, or nil for an output that is none.
func sizeOf(out io.Writer) func() (columns, rows int) {
	file, ok := out.(interface{ Fd() uintptr })
	if !ok {
		return nil
	}
	if _, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ); err != nil {
		return nil
	}
	return func() (columns, rows int) {
		size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
		if err != nil || size.Col == 0 || size.Row == 0 {
			return 80, 24
		}
		return int(size.Col), int(size.Row)
	}
}

// beatPause is between two lines of a plain log that say how far things are, while something is going on.
const beatPause = 30 * time.Second

// plain is the view of who reads lines, now or later: in a CI log or a file. Every half minute one of them says how far
// things are.
type plain struct {
	out      io.Writer
	sections bool // the reader is GitLab's job log, which folds them
	tally    *tally

	mu      sync.Mutex
	written int    // bytes
	section string // the one that is open
	beat    *time.Timer
	moving  bool
}

func newPlain(out io.Writer, sections bool, t *tally) *plain {
	p := &plain{out: out, sections: sections, tally: t}
	p.beat = time.AfterFunc(beatPause, p.tick)
	p.beat.Stop()
	return p
}

func (p *plain) Write(lines []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.write(lines)
}

func (p *plain) write(lines []byte) (int, error) {
	p.written += len(lines)
	return p.out.Write(lines)
}

func (p *plain) room(bytes int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.written < bytes
}

// tick says how far things are.
func (p *plain) tick() {
	count, parts, _ := p.tally.progress()
	if still := p.tally.standstill(); still != "" {
		parts = append(parts, still)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.moving {
		_, _ = p.write(fmt.Appendf(nil, "%9s  %-12s  %s\n", count, "under way", strings.Join(parts, ", ")))
		p.beat.Reset(beatPause)
	}
}

func (p *plain) begin(name, title string, moves bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop()
	if p.moving = moves; moves {
		p.beat.Reset(beatPause)
	}
	if p.sections {
		p.section = "ecr2gitlab_" + name
		_, _ = p.write(fmt.Appendf(nil, "\x1b[0Ksection_start:%d:%s\r\x1b[0K%s\n", time.Now().Unix(), p.section, title))
	}
}

func (p *plain) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop()
}

// stop ends the section, and no line, as the runner does it: what comes next has the line for itself.
func (p *plain) stop() {
	p.moving = false
	p.beat.Stop()
	if p.section != "" {
		_, _ = p.write(fmt.Appendf(nil, "\x1b[0Ksection_end:%d:%s\r\x1b[0K", time.Now().Unix(), p.section))
	}
	p.section = ""
}
