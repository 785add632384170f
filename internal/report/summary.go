package report

import (
	"errors"
	"strings"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
)

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
	{migrate.Failed, "began, and did not arrive"},
	{migrate.Missing, "GitLab does not have them"},
	{migrate.Different, "GitLab has another image under the tag"},
	{migrate.NotStarted, "the run ended before their turn"},
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
	tags, referrers, earlier, unlisted := map[migrate.Outcome]int{}, map[migrate.Outcome]int{}, 0, 0
	for _, r := range summary.Results {
		switch {
		case r.Referrers > 0:
			referrers[r.Outcome] += r.Referrers
		case r.Tag == "":
			unlisted++
		case r.Outcome == migrate.Present && r.Source != r.Pushed:
			earlier++
		default:
			tags[r.Outcome]++
		}
	}
	for _, m := range meanings {
		if tags[m.outcome] > 0 {
			l.Line("%7d  %-12s  %s", tags[m.outcome], m.outcome, m.meaning)
		}
	}
	if earlier > 0 {
		l.Line("%7d  %-12s  were there before, with the digest that an earlier run had pushed", earlier, migrate.Present)
	}
	for _, m := range meanings {
		if referrers[m.outcome] > 0 {
			l.Line("%7d  %-12s  signatures, SBOMs and other referrers of images", referrers[m.outcome], m.outcome)
		}
	}
	if unlisted > 0 {
		l.Line("%7d  %-12s  repositories that could not be listed", unlisted, migrate.Failed)
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
func (l *Log) causes(title string, results []migrate.Result) {
	var order []cause
	shared := map[cause][]migrate.Result{}
	for _, r := range results {
		if r.Outcome.Arrived() || r.Outcome == migrate.NotStarted {
			continue
		}
		c := causeOf(r.Err)
		if shared[c] == nil {
			order = append(order, c)
		}
		shared[c] = append(shared[c], r)
	}
	if len(order) > 0 {
		l.Line("\n%s:", title)
	}
	for _, c := range order {
		l.cause(c, shared[c])
	}
}

// cause is why something did not arrive, without the reference that it happened to.
type cause struct{ text, remedy string }

func causeOf(err error) cause {
	var step *migrate.StepError
	if !errors.As(err, &step) {
		return cause{text: err.Error()}
	}
	return cause{text: string(step.Step) + ": " + step.Err.Error(), remedy: step.Remedy}
}

func (l *Log) cause(c cause, results []migrate.Result) {
	for _, r := range results {
		l.Line("  %s", r.Name())
	}
	if len(results) == 1 {
		c.text = results[0].Err.Error() // with the reference
	}
	for _, text := range []string{c.text, c.remedy} {
		if text != "" {
			l.Line("    %s", strings.ReplaceAll(text, "\n", "\n    "))
		}
	}
}
