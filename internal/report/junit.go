package report

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jstemmer/go-junit-report/v2/junit"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/record"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// GitLab reads files of up to 30 MB. The texts of all failures may take a third of that, shared out evenly within
// bounds. report.json has them in full.
const (
	maxFailures = 10 << 20 // bytes
	maxFailure  = 4 << 10
	minFailure  = 200
)

// writeJUnit writes the file for GitLab's Tests tab: a suite for each repository, with a case for each tag and for the
// referrers of each image. Whatever needs action is a failure, and so is a rejected tag. Tags that the run did not
// reach are skipped: the next run copies them.
func writeJUnit(w io.Writer, d record.Document, took map[record.ImageKey]time.Duration) error {
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	suites := junit.Testsuites{Name: d.Program, Time: seconds(d.Ended.Sub(d.Started))}
	if d.Error != "" {
		suites.AddSuite(runSuite(d))
	}
	entries := byRepository(d)
	longest := longestFailure(entries)
	for len(entries) > 0 {
		end := slices.IndexFunc(entries, func(e *record.Entry) bool { return e.Repository != entries[0].Repository })
		if end < 0 {
			end = len(entries)
		}
		suites.AddSuite(suite(entries[:end], took, longest))
		entries = entries[end:]
	}
	return suites.WriteXML(w)
}

// byRepository returns all repositories that have a result, in no particular order.
func byRepository(d record.Document) []*record.Entry {
	var entries []*record.Entry
	for _, list := range [][]record.Entry{d.Repositories, d.Tags, d.Referrers} {
		for i := range list {
			entries = append(entries, &list[i])
		}
	}
	slices.SortStableFunc(entries, func(a, b *record.Entry) int { return cmp.Compare(a.Repository, b.Repository) })
	return entries
}

// longestFailure returns the maximum length of one failure's text, in bytes.
func longestFailure(entries []*record.Entry) int {
	failures := 0
	for _, e := range entries {
		if !e.Outcome.Accepted() {
			failures++
		}
	}
	return max(minFailure, min(maxFailure, maxFailures/max(1, failures)))
}

// runSuite reports why the run ended early, which no tag's case does.
func runSuite(d record.Document) junit.Testsuite {
	const name = "the whole run"
	s := junit.Testsuite{Name: name, Time: seconds(0)}
	s.AddTestcase(junit.Testcase{
		Name: "finishes", Classname: name,
		Failure: &junit.Result{Message: cut(firstLine(d.Error), minFailure), Type: "run", Data: cut(d.Error, maxFailure)},
	})
	return s
}

// suite describes one repository. If an image has several tags, only the first has its time, because GitLab adds them
// up.
func suite(entries []*record.Entry, took map[record.ImageKey]time.Duration, longest int) junit.Testsuite {
	s := junit.Testsuite{Name: entries[0].Repository}
	var total time.Duration
	for _, e := range entries {
		c := junit.Testcase{Name: caseName(e), Classname: e.Repository}
		if key := (record.KeyOf(*e)); e.Referrers == 0 && took[key] > 0 {
			c.Time = seconds(took[key])
			total += took[key]
			delete(took, key)
		}
		if why := failure(e, longest); e.Outcome == transfer.NotStarted || e.Outcome == transfer.Kept {
			c.Skipped = why
		} else {
			c.Failure = why
		}
		s.AddTestcase(c)
	}
	s.Time = seconds(total)
	return s
}

// caseName returns the name of an entry within its repository.
func caseName(e *record.Entry) string {
	switch {
	case e.Referrers > 0:
		return fmt.Sprintf("referrers of %s (%d)", e.Subject, e.Referrers)
	case e.Tag == "":
		return "the list of its tags"
	}
	return e.Tag
}

// failure returns why the entry did not arrive and the remedy, or nil. GitLab shows only the text.
func failure(e *record.Entry, longest int) *junit.Result {
	if e.Outcome.Arrived() {
		return nil
	}
	text := cmp.Or(e.Error, string(e.Outcome))
	message := firstLine(cmp.Or(e.Cause, text))
	if e.Remedy != "" {
		text += "\n\n" + e.Remedy
	}
	return &junit.Result{
		Message: cut(message, minFailure),
		Type:    cmp.Or(string(e.Step), string(e.Outcome)),
		Data:    cut(text, longest),
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// cut shortens a text to at most the given number of bytes.
func cut(text string, length int) string {
	const mark = " …"
	if len(text) <= length {
		return text
	}
	text = text[:length-len(mark)]
	for !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return text + mark
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", max(0, d).Seconds()) }
