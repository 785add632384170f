// Package report turns the events of a migration into what people and machines read. It decides nothing.
package report

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"
	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
)

// Log writes a migration as plain lines, for a CI log or a terminal. Its methods are not for concurrent use.
type Log struct {
	out         io.Writer
	total, done int
	again       time.Time // the last line about a call made once more
}

// NewLog returns a log that writes to out. What out does not take is lost: a migration does not end for its log.
func NewLog(out io.Writer) *Log { return &Log{out: out} }

// Line writes one line, or several; the arguments may come from outside, and are made printable.
func (l *Log) Line(format string, args ...any) {
	_, _ = fmt.Fprintln(l.out, Printable(fmt.Sprintf(format, args...)))
}

// Observe writes what the event means to a reader.
func (l *Log) Observe(event migrate.Event) {
	switch e := event.(type) {
	case migrate.Chosen:
		l.chosen(e)
	case migrate.Listed:
		l.listed(e)
	case migrate.Shared:
		l.Line("Share: job %d of %d: %d of %d tags", e.Share.Index, e.Share.Total, e.Tags, e.Listed)
	case migrate.Planned:
		l.planned(e)
	case migrate.Comparing:
		l.total = e.Tags
		l.Line("Verify: %d tags are compared with GitLab's; nothing is copied", e.Tags)
	case migrate.PulledBack:
		l.Line("%9s  %-12s  %s", "", "pulled", e.Result.Name())
	case migrate.Recovering:
		l.Line("Copying %d images once more, each alone: the engine had skipped layers of theirs (moby/moby#52897)", e.Images)
	case migrate.Retrying:
		l.retrying(e)
	case migrate.Stopping:
		l.Line("Stopping: nothing more is begun, what is under way goes on: %v", e.Cause)
	case migrate.Finished:
		l.finished(e.Result)
	}
}

// chosen says how much of the registry is wanted, so that a pattern that matches less than was meant is seen.
func (l *Log) chosen(e migrate.Chosen) {
	l.Line("Chosen: %d of %d repositories, and %d of %d tags in them", e.Repositories, e.AllRepositories, e.Tags, e.AllTags)
	for _, u := range e.Unmatched {
		l.Line("        %s: nothing matches %q", u.Variable, u.Pattern)
	}
}

func (l *Log) listed(e migrate.Listed) {
	l.Line("ECR: %d tags of %d images in %d repositories", e.Tags, e.Images, e.Repositories)
	if len(e.Empty) > 0 {
		l.Line("     without any tag: %s", strings.Join(e.Empty, ", "))
	}
}

func (l *Log) planned(e migrate.Planned) {
	l.total = e.Tags
	l.Line("Plan: %d tags to copy, unless they are there: %d layers and configs of %s, which would be %s if none were shared",
		e.Tags-len(e.Refused), e.Blobs, humanize.Bytes(uint64(e.Bytes)), humanize.Bytes(uint64(e.BytesUnshared)))
	if e.LeftReferrers > 0 {
		l.Line("Plan: signatures and other referrers that stay behind, because MIGRATE_PLATFORM leaves out what they refer to: %d", e.LeftReferrers)
	}
	if len(e.Refused) == 0 {
		return
	}
	l.Line("Plan: %d of %d tags cannot arrive whole and are refused; the summary says why", len(e.Refused), e.Tags)
	if e.Store == migrate.ClassicStore {
		l.Line("      This engine has the classic image store, which holds single-platform images alone, and compresses their")
		l.Line("      layers again; an engine with the containerd image store (docker:29-dind) carries everything unchanged")
	}
}

func (l *Log) finished(r migrate.Result) {
	if r.Referrers > 0 || r.Tag == "" {
		l.Line("%9s  %-12s  %s%s", "", r.Outcome, r.Name(), detail(r))
		return
	}
	l.done++
	l.Line("%9s  %-12s  %s%s", fmt.Sprintf("%d/%d", l.done, l.total), r.Outcome, r.Name(), detail(r))
}

const (
	// longWait is from when on a wait is worth a line: shorter ones are everyday life.
	longWait = 5 * time.Second
	// againPause is between two such lines, because what is the matter with one call is it with others, too.
	againPause = 30 * time.Second
)

func (l *Log) retrying(e migrate.Retrying) {
	worth := e.Wait >= longWait || errors.Is(e.Err, migrate.ErrEngineGone)
	if now := time.Now(); worth && now.Sub(l.again) >= againPause {
		l.again = now
		l.Line("%9s  %-12s  %s %s: %v", "", "again", e.Step, e.Ref, e.Err)
	}
}

// detail is what one line has room for: the digest, or the pair. Why something failed is for the summary.
func detail(r migrate.Result) string {
	switch {
	case !r.Outcome.Arrived() && r.Outcome != migrate.Different:
		return ""
	case r.Source != r.Pushed:
		return fmt.Sprintf("  %s -> %s", short(r.Source), short(r.Pushed))
	}
	return "  " + short(r.Pushed)
}

// short is a digest as people compare it.
func short(d digest.Digest) string {
	if d.Validate() != nil {
		return ""
	}
	return d.Encoded()[:12]
}

// Printable makes text from outside safe for a terminal and a CI log: what is no printable character, line ends and
// tabs aside, is written as an escape of Go's.
func Printable(text string) string {
	var b strings.Builder
	for _, r := range strings.ReplaceAll(text, "\r\n", "\n") {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
	}
	return b.String()
}

// Summary writes the end of a run: the counts, then everything that did not arrive, by cause.
func (l *Log) Summary(summary migrate.Summary, target string, took time.Duration) {
	l.Line("")
	l.Line("%d of %d tags are at %s, after %s", l.arrived(summary), l.total, target, took.Round(time.Second/10))
	l.counts(summary)
	if summary.Pulled > 0 {
		l.Line("%7d  %-12s  by the engine from GitLab, whole, and removed from the engine again", summary.Pulled, "pulled")
	}
	l.pairs(summary)
	l.causes("Not migrated", summary.Results)
}
