// Package report turns the events of a migration into output for people and programs. It makes no decisions.
package report

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// Log writes the progress of a migration as lines, to a CI log or a terminal. It is not safe for concurrent use.
type Log struct {
	view   view
	colour bool
	tally  *tally
	again  time.Time      // when the last retry was logged
	terse  bool           // the reader was told that not every tag has a line
	copies bool           // the copy phase has begun
	rows   map[uint64]int // rows of tags that did not arrive, by the hash of their cause

	verifies bool // the run compares, and copies nothing

	unmatched []plan.Unmatched // patterns that match nothing

	redact func(text string) string // removes secrets from text that comes from outside
}

// NewLog returns a log that writes plain lines to out. Write errors are ignored: a migration does not end because of
// its log.
func NewLog(out io.Writer) *Log {
	t := &tally{}
	return &Log{view: newPlain(out, false, t), tally: t, redact: redact.URLs}
}

// NewLogFor returns a log that suits the output: on a terminal, lines scroll above a live view of the progress;
// elsewhere, a line every half minute reports it. CI and GITLAB_CI identify CI logs; NO_COLOR and TERM apply as usual.
// hide removes secrets from text that comes from outside. The log does this before it shortens a text, because part of
// a secret would not be recognized.
func NewLogFor(out io.Writer, getenv func(string) string, hide func(text string) string) *Log {
	t := &tally{}
	v, colour := viewFor(out, getenv, t)
	return &Log{view: v, colour: colour, tally: t, redact: hide}
}

// Begin begins a phase of the run. Its name consists of letters. In GitLab's job log, the phase is a collapsible
// section.
func (l *Log) Begin(name, title string) {
	l.tally.begin(title)
	l.view.begin(name, title, true)
}

// End ends the last phase and the live view.
func (l *Log) End() { l.view.end() }

// Ending returns a writer to w that ends the log before the first write. It is for the program's final messages.
func (l *Log) Ending(w io.Writer) io.Writer { return endingWriter{l, w} }

type endingWriter struct {
	log *Log
	out io.Writer
}

func (w endingWriter) Write(p []byte) (int, error) {
	w.log.End()
	return w.out.Write(p)
}

// Line writes one or more lines. The arguments may come from outside: nonprintable characters are escaped.
func (l *Log) Line(format string, args ...any) {
	l.write(redact.Printable(fmt.Sprintf(format, args...)))
}

func (l *Log) write(text string) { _, _ = io.WriteString(l.view, text+"\n") }

// row writes a line about an outcome, in the outcome's colour. The rest may come from outside.
func (l *Log) row(left string, outcome transfer.Outcome, rest string) {
	word := fmt.Sprintf("%-12s", outcome)
	if colour := colours[outcome]; l.colour && colour != "" {
		word = colour + string(outcome) + plainColour + word[len(outcome):]
	}
	l.write(redact.Printable(left) + "  " + word + "  " + redact.Printable(rest))
}

const (
	green, yellow, red = "\x1b[32m", "\x1b[33m", "\x1b[31m"
	plainColour        = "\x1b[0m"
)

var colours = map[transfer.Outcome]string{
	transfer.Exact: green, transfer.Present: green, transfer.Changed: yellow, transfer.OnePlatform: yellow, transfer.Trimmed: yellow,
	transfer.Conflict: red, transfer.Kept: yellow, transfer.Refused: red, transfer.Failed: red, transfer.NotStarted: yellow,
	transfer.Missing: red, transfer.Different: red, transfer.Extra: yellow,
}

// Observe logs an event.
func (l *Log) Observe(event migrate.Event) {
	l.tally.observe(event)
	switch e := event.(type) {
	case migrate.Chosen:
		l.chosen(e)
	case migrate.Listed:
		l.listed(e)
	case migrate.Shared:
		l.Line("Share: job %d of %d: %d of %d tags", e.Share.Index, e.Share.Total, e.Tags, e.Listed)
	case migrate.Planned:
		l.planned(e)
	case migrate.Entered:
		l.entered(e)
	case migrate.Comparing:
		l.verifies = true
		l.Begin("verify", "Verify")
		l.Line("Verify: %d tags are compared with GitLab's; nothing is copied", e.Tags)
	case migrate.PulledBack:
		l.Line("%9s  %-12s  %s", "", "pulled", e.Result.Name())
	case migrate.Moved:
		if !l.copies {
			l.copies = true
			l.Begin("copy", "Copy")
		}
	case migrate.Recovering:
		l.Line("Copying %d images again, one at a time: the engine had skipped some of their layers (moby/moby#52897)", e.Images)
	case migrate.Retrying:
		l.retrying(e)
	case migrate.Stopping:
		l.Line("Stopping: no new copies start, those in progress continue: %s", l.brief(e.Cause.Error()))
	case migrate.Finished:
		l.finished(e.Result)
	}
}

// chosen reports how much of the registry is selected, so that a pattern that matches too little is noticed.
func (l *Log) chosen(e migrate.Chosen) {
	l.Line("Selected: %d of %d repositories, and %d of their %d tags", e.Repositories, e.AllRepositories, e.Tags, e.AllTags)
	for _, left := range []struct {
		variable string
		tags     int
	}{{"MIGRATE_SINCE", e.Before}, {"MIGRATE_NEWEST", e.Surplus}} {
		if left.tags > 0 {
			l.Line("        %s leaves out %d tags, going by when their images were pushed; adding a tag later does not change that", left.variable, left.tags)
		}
	}
	l.unmatched = e.Unmatched
	for _, u := range e.Unmatched {
		l.Line("        %s: nothing matches %q", u.Variable, u.Pattern)
	}
}

// entered reports what earlier runs have left in the engine.
func (l *Log) entered(e migrate.Entered) {
	if e.Removed+e.Restored > 0 {
		l.Line("Engine: an earlier run was killed: %d references that it left have been removed, and %d tags are back on the images that had them",
			e.Removed, e.Restored)
	}
	if e.Others {
		l.Line("Engine: another run of ecr2gitlab is using it")
	}
}

func (l *Log) listed(e migrate.Listed) {
	l.Line("ECR: %d tags of %d images in %d repositories", e.Tags, e.Images, e.Repositories)
	if len(e.Empty) > 0 {
		l.Line("     no tags in: %s", strings.Join(firstOf(e.Empty), ", "))
	}
}

// firstOf shortens a list to fit on a line.
func firstOf(names []string) []string {
	const most = 500
	if len(names) <= most {
		return names
	}
	return append(names[:most:most], fmt.Sprintf("and %d more", len(names)-most))
}

func (l *Log) planned(e migrate.Planned) {
	l.Line("Plan: %d tags to copy unless GitLab has them: %d layers and configs, %s (%s if none were shared)",
		e.Tags-len(e.Refused), e.Blobs, humanize.Bytes(uint64(e.Bytes)), humanize.Bytes(uint64(e.BytesUnshared)))
	if e.LeftReferrers > 0 {
		l.Line("Plan: signatures and other referrers that stay behind, because MIGRATE_PLATFORM or MIGRATE_LEAVE_OUT leaves out what they refer to: %d", e.LeftReferrers)
	}
	l.unknownTypes(e.Unknown)
	if len(e.Refused) == 0 {
		return
	}
	l.Line("Plan: %d of %d tags cannot arrive intact and are refused; the summary says why", len(e.Refused), e.Tags)
	if e.Store == image.ClassicStore {
		l.Line("      This engine uses the classic image store, which holds only single-platform images and recompresses their")
		l.Line("      layers; an engine with the containerd image store (docker:29-dind) copies everything unchanged")
	}
}

// GitLab Runner keeps the first 4 MiB of a log by default, and the end matters most. Beyond the first of these sizes in
// bytes, tags that arrive are no longer logged; beyond the second, no tags are.
const (
	roomForAll    = 2 << 20
	roomForFaults = roomForAll + roomForAll/4
)

func (l *Log) finished(r transfer.Result) {
	if !l.view.room(roomForAll) && !l.terse {
		l.terse = true
		l.Line("From here on, only tags that do not arrive are listed: a runner keeps no more than 4 MiB of a log")
	}
	if l.terse && (r.Outcome.Arrived() || !l.view.room(roomForFaults)) || l.many(r) {
		return
	}
	count := ""
	if isTag(r) {
		count = l.tally.count()
	}
	l.row(fmt.Sprintf("%9s", count), r.Outcome, r.Name()+detail(r))
}

// maxRows is the number of tags that get a line of their own for one cause. The summary has the cause and the count.
const maxRows = 5

var seed = maphash.MakeSeed()

// many reports whether the cause of the tag's failure has been logged often enough.
func (l *Log) many(r transfer.Result) bool {
	if r.Outcome != transfer.Failed && r.Outcome != transfer.Refused || r.Err == nil {
		return false
	}
	c := maphash.Comparable(seed, causeOf(r.Err))
	if l.rows == nil {
		l.rows = map[uint64]int{}
	}
	l.rows[c]++
	if l.rows[c] == maxRows+1 {
		l.Line("%9s  and more for the same cause as the last %d: see the summary", "", maxRows)
	}
	return l.rows[c] > maxRows
}

const (
	// longWait is the shortest wait worth logging. Shorter ones are routine.
	longWait = 5 * time.Second
	// againPause is the minimum time between two such lines, because a problem usually affects many calls.
	againPause = 30 * time.Second
)

func (l *Log) retrying(e migrate.Retrying) {
	worth := e.Wait >= longWait || errors.Is(e.Err, docker.ErrEngineGone)
	if now := time.Now(); worth && now.Sub(l.again) >= againPause && l.view.room(roomForFaults) {
		l.again = now
		l.Line("%9s  %-12s  %s %s: %s", "", "again", e.Step, e.Ref, l.brief(e.Err.Error()))
	}
}

// brief returns the beginning of an error's text, because engines and registries do not limit its length. Secrets are
// removed before the text is shortened.
func (l *Log) brief(text string) string {
	const most = 2000 // bytes
	text = l.redact(text)
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}

// detail returns what fits on one line: the digest or both digests. The summary gives the cause of a failure.
func detail(r transfer.Result) string {
	switch {
	case !r.Outcome.Arrived() && r.Outcome != transfer.Different:
		return ""
	case len(r.LeftOut) > 0:
		return fmt.Sprintf("  %s -> %s without %s", image.Short(r.Source), image.Short(r.Pushed), strings.Join(r.LeftOut, ", "))
	case r.Source != r.Pushed:
		return fmt.Sprintf("  %s -> %s", image.Short(r.Source), image.Short(r.Pushed))
	}
	return "  " + image.Short(r.Pushed)
}

// Summary writes the end of a run: the counts, then everything that did not arrive, by cause.
func (l *Log) Summary(summary migrate.Summary, target string, took time.Duration) {
	l.view.begin("summary", "Summary", false)
	defer l.End()
	l.Line("")
	l.Line("%d of %d tags are at %s, after %s", l.arrived(summary), l.tally.tags(), target, took.Round(time.Second/10))
	l.counts(summary)
	if summary.Pulled > 0 {
		l.Line("%7d  %-12s  back from GitLab by the engine, in full, and removed again", summary.Pulled, "pulled")
	}
	l.pairs(summary)
	title := "Not migrated"
	if l.verifies {
		title = "Not verified"
	}
	l.causes(title, summary.Results)
	l.nothing(summary)
}

// nothing ends the summary with a warning if the registry or a pattern has no tags, which may not be what the user
// meant.
func (l *Log) nothing(summary migrate.Summary) {
	if l.tally.tags() == 0 && len(summary.Results) == 0 {
		l.Line("\nNothing was migrated, because ECR has no tag to migrate here. If that is not what you expected, check the region, " +
			"the account, and what MIGRATE_REPOSITORIES, MIGRATE_TAGS and MIGRATE_SINCE choose.")
	}
	if len(l.unmatched) > 0 {
		var patterns []string
		for _, u := range l.unmatched {
			patterns = append(patterns, fmt.Sprintf("%s %q", u.Variable, u.Pattern))
		}
		l.Line("\nNothing in ECR matches %s", strings.Join(firstOf(patterns), ", "))
	}
}
