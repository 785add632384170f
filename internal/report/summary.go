package report

import (
	"errors"
	"unicode"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
)

func isPrint(r rune) bool { return unicode.IsPrint(r) }

// meanings are the outcomes in the order of the summary, and what a reader should know of each.
var meanings = []struct {
	outcome migrate.Outcome
	meaning string
}{
	{migrate.Exact, "the digest at GitLab is the digest at ECR"},
	{migrate.Present, "were there before, with the digest at ECR"},
	{migrate.OnePlatform, "one platform of an index, as MIGRATE_PLATFORM asks"},
	{migrate.Changed, "digest changed: the engine compresses layers again"},
	{migrate.Refused, "cannot arrive whole; nothing of them was copied"},
	{migrate.Failed, "failed"},
	{migrate.NotStarted, "not started"},
}

func (l *Log) arrived(summary migrate.Summary) int {
	n := 0
	for _, r := range summary.Results {
		if r.Referrers == 0 && r.Tag != "" && r.Outcome.Arrived() {
			n++
		}
	}
	return n
}

func (l *Log) counts(summary migrate.Summary) {
	tags, referrers := map[migrate.Outcome]int{}, map[migrate.Outcome]int{}
	for _, r := range summary.Results {
		if r.Referrers > 0 {
			referrers[r.Outcome] += r.Referrers
			continue
		}
		tags[r.Outcome]++
	}
	for _, m := range meanings {
		if tags[m.outcome] > 0 {
			l.Line("%7d  %-12s  %s", tags[m.outcome], m.outcome, m.meaning)
		}
	}
	for _, m := range meanings {
		if referrers[m.outcome] > 0 {
			l.Line("%7d  %-12s  signatures, SBOMs and other referrers of images", referrers[m.outcome], m.outcome)
		}
	}
}

// pairs lists source and pushed digest wherever they differ.
func (l *Log) pairs(summary migrate.Summary) {
	first := true
	for _, r := range summary.Results {
		if !r.Outcome.Arrived() || r.Source == r.Pushed {
			continue
		}
		if first {
			l.Line("\nDigests that differ, ECR -> GitLab:")
			first = false
		}
		l.Line("  %s\n    %s -> %s", r.Name(), r.Source, r.Pushed)
	}
}

// causes lists everything that did not arrive by name, under the cause that it shares with others.
func (l *Log) causes(summary migrate.Summary) {
	var order []string
	names, remedies := map[string][]string{}, map[string]string{}
	for _, r := range summary.Results {
		if r.Outcome.Arrived() || r.Outcome == migrate.NotStarted {
			continue
		}
		cause := r.Err.Error()
		if names[cause] == nil {
			order = append(order, cause)
		}
		names[cause] = append(names[cause], r.Name())
		var step *migrate.StepError
		if errors.As(r.Err, &step) {
			remedies[cause] = step.Remedy
		}
	}
	if len(order) > 0 {
		l.Line("\nNot migrated:")
	}
	for _, cause := range order {
		for _, name := range names[cause] {
			l.Line("  %s", name)
		}
		l.Line("    %s", cause)
		if remedies[cause] != "" {
			l.Line("    %s", remedies[cause])
		}
	}
}
