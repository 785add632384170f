package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
)

const (
	// framePause is the minimum time between two frames.
	framePause = 150 * time.Millisecond
	// settlePause is how long the size must be stable before the next frame: while a window is being dragged, a program
	// learns its size late (tmux: by up to 250 ms).
	settlePause = 2 * framePause
)

// screen is the view for an interactive terminal: lines scroll as usual, above rows that are redrawn in place.
//
// It needs only two terminal functions, moving up and clearing the rest, so it does not use a progress bar library such
// as mpb: those count the rows that they have written, and leave broken rows behind when a narrower terminal wraps
// them.
type screen struct {
	out   io.Writer
	size  func() (columns, rows int)
	tally *tally

	mu      sync.Mutex
	timer   *time.Timer
	live    bool
	pending strings.Builder // lines to write with the next frame
	shown   []string        // the rows on display
	drawn   time.Time
	columns int // of the terminal
	resized time.Time
	longest int // longest name so far
}

func newScreen(out io.Writer, size func() (columns, rows int), t *tally) *screen {
	s := &screen{out: out, size: size, tally: t}
	s.timer = time.AfterFunc(framePause, s.tick)
	s.timer.Stop()
	return s
}

func (s *screen) Write(lines []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.live {
		return s.out.Write(lines)
	}
	s.pending.Write(lines)
	if time.Since(s.drawn) >= framePause {
		s.draw()
	}
	return len(lines), nil
}

// room reports true: a terminal has no limit.
func (s *screen) room(int) bool { return true }

func (s *screen) begin(_, _ string, moves bool) {
	if !moves {
		s.end()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = true
	s.timer.Reset(framePause)
}

func (s *screen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = false
	s.timer.Stop()
	s.draw()
}

func (s *screen) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live {
		s.draw()
		s.timer.Reset(framePause)
	}
}

// upAndClear moves up by the number of rows, and clears everything from there on.
const upAndClear = "\r\x1b[%dA\x1b[J"

// draw replaces the rows, with the pending lines above them, in one write.
func (s *screen) draw() {
	columns, height := s.size()
	if columns != s.columns && s.columns > 0 {
		s.resized = time.Now()
	}
	s.columns = columns
	var rows []string
	if s.live {
		if time.Since(s.resized) < settlePause {
			return
		}
		rows = s.rows(columns-1, height)
	}
	s.drawn = time.Now()
	if s.pending.Len() == 0 && slices.Equal(rows, s.shown) {
		return
	}
	var picture strings.Builder
	if up := s.occupied(columns); up > 0 {
		fmt.Fprintf(&picture, upAndClear, up)
	}
	picture.WriteString(s.pending.String())
	if len(rows) > 0 {
		picture.WriteString(strings.Join(rows, "\n") + "\n")
	}
	_, _ = io.WriteString(s.out, picture.String())
	s.pending.Reset()
	s.shown = rows
}

// occupied returns how many rows of the terminal the rows now take up: a terminal that has become narrower wraps them.
// On the few that do not wrap (xterm), this erases as many lines above.
func (s *screen) occupied(columns int) int {
	n := 0
	for _, row := range s.shown {
		n += max(1, (len(row)+columns-1)/columns)
	}
	return n
}

// rows returns the rows to draw, the totals first, up to half of the terminal's height. That leaves space for lines,
// and all rows remain visible if the terminal becomes half as wide and wraps them.
func (s *screen) rows(columns, height int) []string {
	count, parts, share := s.tally.progress()
	rows := []string{sum(columns, count, parts, share)}
	workers := s.tally.workers()
	place := max(0, height/2-len(rows))
	if len(workers) > place {
		workers = slices.DeleteFunc(workers, free)
	}
	shown := len(workers)
	if shown > place {
		shown = max(0, place-1)
	}
	for _, w := range workers {
		s.longest = max(s.longest, len(nameOf(w.Image, columns)))
	}
	for _, w := range workers[:shown] {
		rows = append(rows, working(columns, s.longest, w))
	}
	if more := len(workers) - shown; more > 0 && place > 0 {
		rows = append(rows, fit(fmt.Sprintf("  and %d more", more), columns))
	}
	return rows
}

// sum returns the row with the totals.
func sum(columns int, count string, parts []string, share float64) string {
	text := strings.Join(parts, "  ")
	if count != "" {
		count += " tags  "
		if width := min(columns-len(count)-2-len(text), maxBar); width >= minBar {
			count += bar(share, width) + "  "
		}
	}
	return strings.TrimRight(fit(count+text, columns), " ")
}

// Widths in columns.
const (
	stepWidth   = len(migrate.StepExtract)
	amountWidth = len("999 kB of 999 MB")
	minBar      = 10
	maxBar      = 50
	roomy       = 60 // from this width on, a row has space for the progress
)

// working returns the row for one worker: its step, its image and the progress. A narrow terminal shows less of the
// progress; space in a wider one stays empty, which is easier to read and wraps less.
func working(columns, longest int, w migrate.Working) string {
	if free(w) {
		return ""
	}
	progress := ""
	if columns >= roomy && w.Total > 0 {
		width := min(max(columns/8, minBar), maxBar)
		progress = fmt.Sprintf("  %s  %*s", bar(float64(w.Current)/float64(w.Total), width), amountWidth, amount(w.Current, w.Total))
	}
	name := max(0, min(columns-stepWidth-4-len(progress), longest))
	text := fmt.Sprintf("  %-*s  %-*s%s", stepWidth, w.Step, name, nameOf(w.Image, name), progress)
	return fit(strings.TrimRight(text, " "), columns)
}

// nameOf names the image by its first tag and the number of others.
func nameOf(img image.Image, columns int) string {
	name, more := img.Repository.Name, ""
	switch n := len(img.Tags); {
	case n == 0:
		name += "@" + image.Short(img.Digest)
	case n > 1:
		more = fmt.Sprintf(" +%d", n-1)
		fallthrough
	default:
		name += ":" + img.Tags[0]
	}
	return shorten(ascii(redact.Printable(name)), columns-len(more)) + more
}

// ascii reduces a text to one column per byte. Names in ECR are ASCII.
func ascii(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}

// shorten removes the middle of a text that is too long, because both ends carry more information.
func shorten(text string, columns int) string {
	const gap = "..."
	if len(text) <= columns {
		return text
	}
	if columns <= 2*len(gap) {
		return fit(text, columns)
	}
	head := (columns - len(gap)) / 2
	return text[:head] + gap + text[len(text)-(columns-len(gap)-head):]
}

// fit truncates a text that is too long.
func fit(text string, columns int) string { return text[:min(len(text), max(0, columns))] }

// bar returns a bar of the given width in columns, filled in proportion.
func bar(part float64, columns int) string {
	inner := columns - 2
	done := min(max(0, int(part*float64(inner))), inner)
	head := ">"
	if done == inner {
		head = ""
	}
	return "[" + strings.Repeat("=", done) + head + strings.Repeat(" ", inner-done-len(head)) + "]"
}
