package report

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit/terminal"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// work returns the state of n workers.
func work(n int) []migrate.Event {
	steps := []transfer.Step{transfer.StepPull, migrate.StepExtract, transfer.StepPush}
	var events []migrate.Event
	for i := range n {
		events = append(events, migrate.Working{
			Image: imageWith(fmt.Sprintf("1.%d", i), "latest"), Step: steps[i%len(steps)], Current: int64(i) * 1e6, Total: 10e6,
		})
	}
	return events
}

func TestRows(t *testing.T) {
	far := imageWith("2026.11.26-build.4711")
	far.Repository.Name = "platform/a-team-with-a-long-name/a-service-with-a-longer-one"
	for _, test := range []struct {
		name            string
		columns, height int
		events          []migrate.Event
		want            []string
	}{
		{"before there is a plan", 80, 24, nil, []string{"Copy  for 10s"}},
		{"nobody works", 80, 24, []migrate.Event{migrate.Planned{Tags: 12}}, []string{
			"0/12 tags  [>                                               ]  for 10s",
		}},
		{"80 columns", 80, 24, append([]migrate.Event{migrate.Moved{Bytes: 100e6, Of: 3.8e9}, migrate.Planned{Tags: 108}}, work(3)...), []string{
			"0/108 tags  [>                         ]  100 MB of 3.8 GB  10 MB/s  6m20s left",
			"  pull     team/app:1.0 +1  [>       ]      0 B of 10 MB",
			"  extract  team/app:1.1 +1  [>       ]      1.0 of 10 MB",
			"  push     team/app:1.2 +1  [=>      ]      2.0 of 10 MB",
		}},
		{"a long name", 80, 24, []migrate.Event{migrate.Working{Image: far, Step: transfer.StepPush, Current: 5e6, Total: 10e6}}, []string{
			"Copy  for 10s",
			"  push     platform/a-team-w...6.11.26-build.4711  [====>   ]      5.0 of 10 MB",
		}},
		{"200 columns", 200, 24, []migrate.Event{migrate.Working{Image: far, Step: transfer.StepPush, Current: 5e6, Total: 10e6}}, []string{
			"Copy  for 10s",
			"  push     platform/a-team-with-a-long-name/a-service-with-a-longer-one:2026.11.26-build.4711  [===========>          ]      5.0 of 10 MB",
		}},
		{"40 columns", 40, 24, []migrate.Event{migrate.Working{Image: far, Step: transfer.StepPush, Current: 5e6, Total: 10e6}}, []string{
			"Copy  for 10s",
			"  push     platform/a-t...26-build.4711",
		}},
		{"5 columns", 5, 24, work(2), []string{
			"Copy",
			"  pu",
			"  ex",
		}},
		{"more workers than rows", 80, 8, work(16), []string{
			"Copy  for 10s",
			"  pull     team/app:1.0 +1   [>       ]      0 B of 10 MB", // others are called team/app:1.10
			"  extract  team/app:1.1 +1   [>       ]      1.0 of 10 MB",
			"  and 14 more",
		}},
		{"three rows", 80, 3, work(16), []string{"Copy  for 10s"}},
		{"one row", 80, 1, work(16), []string{"Copy  for 10s"}},
		{"nothing to transfer", 80, 24, []migrate.Event{migrate.Working{Image: far, Step: transfer.StepPush}}, []string{
			"Copy  for 10s",
			"  push     platform/a-team-with-a-long-name...-longer-one:2026.11.26-build.4711",
		}},
	} {
		synctestRun(t, test.name, func(t *testing.T) {
			counts := &tally{}
			counts.begin("Copy")
			time.Sleep(10 * time.Second)
			for _, event := range test.events {
				counts.observe(event)
			}
			s := newScreen(nil, nil, counts)
			rows := s.rows(test.columns-1, test.height)
			expect(t, strings.Join(rows, "\n")+"\n", test.want...)
			if len(rows) > max(1, test.height/2) {
				t.Errorf("%d rows", len(rows))
			}
			for _, row := range rows {
				if len(row) >= test.columns {
					t.Errorf("%d columns: %s", len(row), row)
				}
			}
		})
	}
}

// An image keeps its row, and the next one takes the first free row.
func TestRowsStay(t *testing.T) {
	counts := &tally{}
	names := func() string {
		var names []string
		for _, w := range counts.workers() {
			names = append(names, strings.Join(w.Image.Tags, "")+string(w.Step[:min(2, len(w.Step))]))
		}
		return strings.Join(names, " ")
	}
	for _, test := range []struct {
		tag  string
		step transfer.Step
		want string
	}{
		{"1", transfer.StepPull, "1pu"},
		{"2", transfer.StepPull, "1pu 2pu"},
		{"3", transfer.StepPush, "1pu 2pu 3pu"},
		{"2", migrate.StepExtract, "1pu 2ex 3pu"},
		{"1", "", "1 2ex 3pu"},
		{"4", transfer.StepPull, "4pu 2ex 3pu"},
		{"9", "", "4pu 2ex 3pu"},
		{"2", "", "4pu 2 3pu"},
		{"3", "", "4pu"},
		{"4", "", ""},
	} {
		counts.observe(migrate.Working{Image: imageWith(test.tag), Step: test.step})
		if got := names(); got != test.want {
			t.Errorf("after %s %s: %q, want %q", test.tag, test.step, got, test.want)
		}
	}
}

func TestShorten(t *testing.T) {
	for _, test := range []struct {
		text    string
		columns int
		want    string
	}{
		{"team/app:1.2", 12, "team/app:1.2"},
		{"team/app:1.2", 11, "team...:1.2"},
		{"team/app:1.2", 7, "te....2"},
		{"team/app:1.2", 6, "team/a"},
		{"team/app:1.2", 0, ""},
		{"team/app:1.2", -5, ""},
	} {
		if got := shorten(test.text, test.columns); got != test.want {
			t.Errorf("%d columns: %q, want %q", test.columns, got, test.want)
		}
	}
}

// window is a terminal that a user resizes, with a log, and a second log of the same lines.
type window struct {
	*terminal.Screen
	log, plain    *Log
	screen        *screen
	lines         strings.Builder
	columns, rows int
}

func newWindow(columns, rows int, rewraps bool) *window {
	w := &window{Screen: terminal.NewScreen(columns, rows, rewraps), columns: columns, rows: rows}
	counts := &tally{}
	w.screen = newScreen(w.Screen, func() (int, int) { return w.columns, w.rows }, counts)
	w.log, w.plain = &Log{view: w.screen, tally: counts, redact: redact.URLs}, NewLog(&w.lines)
	return w
}

func (w *window) observe(events ...migrate.Event) {
	for _, event := range events {
		w.log.Observe(event)
		w.plain.Observe(event)
	}
}

func (w *window) resize(columns, rows int) {
	w.Resize(columns, rows)
	w.learn(columns, rows)
}

// learn tells the program the new size.
func (w *window) learn(columns, rows int) {
	w.screen.mu.Lock() // held while it reads the size
	defer w.screen.mu.Unlock()
	w.columns, w.rows = columns, rows
}

// wanted returns the lines and the rows below them.
func (w *window) wanted() (lines, rows []string) {
	lines = strings.Split(strings.TrimSuffix(w.lines.String(), "\n"), "\n")
	return lines, w.screen.shown
}

// However a window is resized, all lines stand above the rows, each once and complete. In a terminal that truncates
// instead of wrapping, some lines may be lost, but no row is left behind.
func TestResizing(t *testing.T) {
	sizes := [][2]int{
		{80, 24}, {79, 24}, {60, 24}, {33, 24}, {120, 24}, {200, 50}, {100, 12}, {99, 50}, {40, 20}, {200, 24}, {50, 16}, {51, 24},
	}
	for _, rewraps := range []bool{true, false} {
		synctestRun(t, fmt.Sprintf("rewraps %t", rewraps), func(t *testing.T) {
			w := newWindow(80, 24, rewraps)
			w.observe(migrate.Planned{Tags: 1000}, migrate.Moved{Of: 3e9})
			w.observe(work(6)...)
			for i, size := range append(sizes, sizes...) {
				for n := range 3 {
					w.observe(migrate.Finished{Result: tag(fmt.Sprintf("%d.%d", i, n), transfer.Changed, nil)})
					w.observe(migrate.Moved{Bytes: int64(i) * 1e8, Of: 3e9})
					w.wait(t)
				}
				w.resize(size[0], size[1])
				time.Sleep(settlePause)
				w.wait(t)
			}
			w.log.Summary(migrate.Summary{}, target, time.Minute)
			w.plain.Summary(migrate.Summary{}, target, time.Minute)
			w.expect(t)
		})
	}
}

// While a window is being dragged, its size is ahead of what the program knows.
func TestDragging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(120, 24, true)
		w.observe(migrate.Planned{Tags: 1000}, migrate.Moved{Of: 3e9})
		w.observe(work(6)...)
		w.wait(t)
		w.resize(119, 24)
		for columns := 119; columns > 60; columns-- {
			w.Resize(columns-1, 24)
			w.observe(migrate.Finished{Result: tag(fmt.Sprint(columns), transfer.Exact, nil)})
			time.Sleep(50 * time.Millisecond)
			if columns%4 == 0 { // every 200 ms
				w.learn(columns, 24)
			}
		}
		w.learn(60, 24)
		time.Sleep(settlePause + framePause)
		w.wait(t)
		w.log.End()
		w.expect(t)
	})
}

// wait waits for the next frame, and checks it.
func (w *window) wait(t *testing.T) {
	t.Helper()
	time.Sleep(framePause)
	synctest.Wait()
	w.expect(t)
}

func (w *window) expect(t *testing.T) {
	t.Helper()
	lines, rows := w.wanted()
	shown := w.Lines()
	for n := len(rows); n > 0 && rows[n-1] == ""; n-- {
		rows = rows[:n-1]
	}
	want := append(lines, rows...)
	if !w.Rewraps {
		above := shown[:max(0, len(shown)-len(rows))]
		want = append(surviving(above, lines), rows...)
	}
	if !slices.Equal(shown, want) {
		t.Fatalf("%d columns show\n%s\nwant\n%s", w.columns, strings.Join(shown, "\n"), strings.Join(want, "\n"))
	}
	if unknown := w.Unknown(); len(unknown) > 0 {
		t.Fatalf("the terminal is sent %q", unknown)
	}
}

// surviving returns the shown lines that are remains of one of the lines, in order.
func surviving(shown, lines []string) []string {
	var found []string
	for _, line := range shown {
		at := slices.IndexFunc(lines, func(l string) bool { return leftOf(l, line) })
		if at >= 0 {
			found, lines = append(found, line), lines[at+1:]
		}
	}
	return found
}

// leftOf reports whether the text is the line with characters removed.
func leftOf(line, text string) bool {
	for i := range len(text) {
		at := strings.IndexByte(line, text[i])
		if at < 0 {
			return false
		}
		line = line[at+1:]
	}
	return true
}

// Many lines at once take few frames, and none of them is lost, however soon the end comes.
func TestScreenDrawsSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(80, 24, true)
		writes := &writeCounter{}
		w.screen.out = writes
		w.observe(migrate.Planned{Tags: 1000}, migrate.Moved{})
		for i := range 1000 {
			w.observe(migrate.Finished{Result: tag(fmt.Sprint(i), transfer.Exact, nil)})
			time.Sleep(time.Millisecond)
		}
		if writes.n > 20 {
			t.Errorf("%d writes in a second", writes.n)
		}
		w.log.End()
		if got := strings.Count(writes.text.String(), "exact"); got != 1000 {
			t.Errorf("%d lines", got)
		}
		n := writes.n
		time.Sleep(time.Hour)
		if writes.n != n {
			t.Error("it goes on after its end")
		}
	})
}

type writeCounter struct {
	n    int
	text strings.Builder
}

func (w *writeCounter) Write(p []byte) (int, error) {
	w.n++
	return w.text.Write(p)
}

// Unchanged rows are not redrawn.
func TestScreenRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(80, 24, true)
		writes := &writeCounter{}
		w.screen.out = writes
		w.observe(migrate.Planned{Tags: 10}, migrate.Moved{Of: 1e9})
		time.Sleep(2 * time.Minute)
		n := writes.n
		time.Sleep(time.Hour)
		if writes.n != n {
			t.Errorf("%d writes in an hour without news", writes.n-n)
		}
		w.log.End()
	})
}

// Names come from a registry and cannot control the terminal.
func TestHostileRows(t *testing.T) {
	hostile := imageWith("\x1b[2J\r\n\u202e" + strings.Repeat("x", 1<<10) + "\u009b")
	hostile.Repository.Name = "\x1b]0;x\x07 應用"
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(80, 24, true)
		w.observe(migrate.Planned{Tags: 1}, migrate.Moved{}, migrate.Working{Image: hostile, Step: transfer.StepPull, Total: 1})
		w.wait(t)
		_, _ = io.WriteString(w.log.Ending(w.Screen), "the end\n")
		if shown := w.Lines(); shown[len(shown)-1] != "the end" || len(shown) != 2 {
			t.Errorf("%q", shown)
		}
	})
}

// A closed terminal does not affect a migration.
func TestScreenWithoutReader(t *testing.T) {
	synctest.Test(t, func(*testing.T) {
		w := newWindow(80, 24, true)
		w.screen.out = brokenPipe{}
		w.observe(migrate.Planned{Tags: 1}, migrate.Moved{}, migrate.Finished{Result: tag("1", transfer.Failed, errors.New("no"))})
		time.Sleep(time.Second)
		w.log.Summary(migrate.Summary{}, target, time.Second)
	})
}
