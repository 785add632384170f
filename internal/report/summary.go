package report

import (
	"errors"
	"fmt"
	"strings"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// explanation describes an outcome, after a migration and after a verification.
type explanation struct {
	outcome           transfer.Outcome
	meaning, compared string
}

func (e explanation) of(verification bool) string {
	if verification {
		return e.compared
	}
	return e.meaning
}

// meanings lists the outcomes in the order of the summary.
var meanings = []explanation{
	{transfer.Exact, "the digest at GitLab is the digest at ECR", "the digest at GitLab is the digest at ECR"},
	{transfer.Present, "were already there, with the digest at ECR", "are there, with the digest at ECR"},
	{transfer.Trimmed, "without the artifacts that MIGRATE_LEAVE_OUT names, so the digest differs", "without the artifacts that MIGRATE_LEAVE_OUT names, so the digest differs"},
	{transfer.OnePlatform, "one platform of an index, as MIGRATE_PLATFORM asks", "one platform of an index, as MIGRATE_PLATFORM asks"},
	{transfer.Changed, "the digest changed: the engine recompresses layers", "the digest changed, as report.json of an earlier run says"},
	{transfer.Conflict, "somebody else has pushed another image to GitLab, which is left alone",
		"GitLab has another image, which neither ECR nor an earlier run knows"},
	{transfer.Kept, "somebody else's image at GitLab is kept, as MIGRATE_CONFLICT asks",
		"GitLab has another image, which is kept, as MIGRATE_CONFLICT asks"},
	{transfer.Refused, "cannot arrive intact, so GitLab does not have them", "cannot be there: GitLab does not take the name"},
	{transfer.Failed, "started, but did not arrive", "could not be compared, or not be pulled from GitLab"},
	{transfer.Missing, "GitLab does not have them", "GitLab does not have them"},
	{transfer.Different, "GitLab has another image under the tag", "GitLab has another image under the tag, which a migration replaces"},
	{transfer.Extra, "", "an earlier run migrated them, and ECR no longer lists them"},
	{transfer.NotStarted, "the run ended before it reached them", "the run ended before it reached them"},
}

func (l *Log) arrived(summary migrate.Summary) int {
	n := 0
	for _, r := range summary.Results {
		if isTag(r) && r.Outcome.Arrived() {
			n++
		}
	}
	return n
}

func (l *Log) counts(summary migrate.Summary) {
	tags, referrers, earlier, unlisted := map[transfer.Outcome]int{}, map[transfer.Outcome]int{}, 0, 0
	for _, r := range summary.Results {
		switch {
		case r.Referrers > 0:
			referrers[r.Outcome] += r.Referrers
		case r.Tag == "":
			unlisted++
		case r.Outcome == transfer.Present && r.Source != r.Pushed:
			earlier++
		default:
			tags[r.Outcome]++
		}
	}
	for _, m := range meanings {
		if tags[m.outcome] > 0 {
			l.number(tags[m.outcome], m.outcome, m.of(l.verifies))
		}
	}
	if earlier > 0 {
		l.number(earlier, transfer.Present, "were already there, with the digest that an earlier run pushed")
	}
	for _, m := range meanings {
		if referrers[m.outcome] > 0 {
			l.number(referrers[m.outcome], m.outcome, "signatures, SBOMs and other referrers of images")
		}
	}
	if unlisted > 0 {
		l.number(unlisted, transfer.Failed, "repositories that could not be listed")
	}
}

func (l *Log) number(n int, outcome transfer.Outcome, meaning string) {
	l.row(fmt.Sprintf("%7d", n), outcome, meaning)
}

// listRoom is the maximum size of a list in the summary, in bytes, to keep CI logs short. report.json lists everything.
const listRoom = 256 << 10

// rest reports how many entries a list left out.
func (l *Log) rest(n int) {
	if n > 0 {
		l.Line("  and %d more; with MIGRATE_REPORT_DIR, report.json has them all", n)
	}
}

// pairs lists source and pushed digests wherever they differ.
func (l *Log) pairs(summary migrate.Summary) {
	room, left, first := listRoom, 0, true
	for _, r := range summary.Results {
		if !r.Outcome.Arrived() || r.Outcome == transfer.Extra || r.Source == r.Pushed {
			continue
		}
		if first {
			l.Line("\nDigests that differ, ECR -> GitLab:")
			first = false
		}
		pair := fmt.Sprintf("  %s\n    %s -> %s", r.Name(), r.Source, r.Pushed)
		if room < 0 {
			left++
			continue
		}
		room -= len(pair)
		l.Line("%s", pair)
	}
	l.rest(left)
}

// causes lists everything that did not arrive, grouped by cause.
func (l *Log) causes(title string, results []transfer.Result) {
	var order []cause
	shared := map[cause][]transfer.Result{}
	for _, r := range results {
		if r.Outcome.Arrived() || r.Outcome == transfer.NotStarted {
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
	room, left := listRoom, 0
	for _, c := range order {
		left += l.cause(c, shared[c], &room)
	}
	l.rest(left)
}

// cause is why something did not arrive, without the reference, so that equal causes compare equal.
type cause struct{ text, remedy string }

func causeOf(err error) cause {
	c := cause{text: transfer.Cause(err)}
	if step := new(transfer.StepError); errors.As(err, &step) {
		c.remedy = step.Remedy
	}
	return c
}

// cause lists what did not arrive for one cause, up to the size limit. It returns the number of results left out.
func (l *Log) cause(c cause, results []transfer.Result, room *int) (left int) {
	if *room < 0 {
		return len(results)
	}
	names, left := namesOf(results)
	for _, name := range names {
		*room -= len(name)
		l.Line("  %s", name)
	}
	if len(results) == 1 {
		c.text = results[0].Err.Error() // with the reference
	}
	for _, text := range []string{l.brief(c.text), c.remedy} {
		if text != "" {
			*room -= len(text)
			l.Line("    %s", strings.ReplaceAll(text, "\n", "\n    "))
		}
	}
	return left
}

// maxNames is the number of names that are listed in full. Beyond it, repositories are listed, each with its first
// tags.
const maxNames = 10

// namesOf returns lines that name the results, and the number of results that they leave out.
func namesOf(results []transfer.Result) (lines []string, left int) {
	if len(results) <= maxNames {
		for _, r := range results {
			lines = append(lines, r.Name())
		}
		return lines, 0
	}
	var repositories []string
	tags := map[string][]string{}
	for _, r := range results {
		if tags[r.Repository] == nil {
			repositories = append(repositories, r.Repository)
		}
		tag := r.Tag
		if !isTag(r) {
			tag = strings.TrimPrefix(r.Name(), r.Repository)
		}
		tags[r.Repository] = append(tags[r.Repository], tag)
	}
	for i, name := range repositories {
		if i >= maxNames {
			left += len(tags[name])
			continue
		}
		lines = append(lines, name+": "+firstTags(tags[name]))
	}
	return lines, left
}

func firstTags(tags []string) string {
	text := strings.Join(tags[:min(maxNames, len(tags))], ", ")
	if more := len(tags) - maxNames; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
