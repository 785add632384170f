package report

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// view is where the lines of a log go, along with any live progress.
type view interface {
	// Write takes complete lines.
	io.Writer
	// begin begins a phase of the run, with a name for GitLab and a title. moves reports whether it has progress to
	// show.
	begin(name, title string, moves bool)
	// end ends the live progress. More lines and phases may follow.
	end()
	// room reports whether there is still space for a frequent kind of line after this many bytes of output.
	room(bytes int) bool
}

// viewFor returns the view that suits the output: a screen for a terminal, plain lines otherwise. Colour is used only
// where it is known to work.
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

// isSet interprets a variable as a boolean.
func isSet(value string) bool {
	return value != "" && value != "0" && !strings.EqualFold(value, "false")
}

// sizeOf returns a function that returns the terminal's columns and rows, or nil if the output is not a terminal.
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

// beatPause is the interval between progress lines in a plain log.
const beatPause = 30 * time.Second

// plain is the view for a CI log or a file. Every half minute, a line reports the progress.
type plain struct {
	out      io.Writer
	sections bool // the output is GitLab's job log, which has collapsible sections
	tally    *tally

	mu      sync.Mutex
	written int    // bytes
	section string // the open section
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

// tick reports the progress.
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

// stop ends the section without a line break, as the runner does, so that the next text starts on that line.
func (p *plain) stop() {
	p.moving = false
	p.beat.Stop()
	if p.section != "" {
		_, _ = p.write(fmt.Appendf(nil, "\x1b[0Ksection_end:%d:%s\r\x1b[0K", time.Now().Unix(), p.section))
	}
	p.section = ""
}
