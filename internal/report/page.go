package report

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/record"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// The page is a single file that loads nothing: its style sheet and script are inline.
var (
	//go:embed page/page.html
	pageTemplate string
	//go:embed page/page.css
	pageStyle string
	//go:embed page/page.js
	pageScript string
)

var pageHTML = template.Must(template.New(pageName).Funcs(template.FuncMap{
	"bytes":    func(n int64) string { return humanize.Bytes(uint64(max(0, n))) },
	"count":    func(n int) string { return humanize.Comma(int64(n)) },
	"duration": inWords,
	"rate": func(n int64, d time.Duration) string {
		return humanize.Bytes(uint64(float64(max(0, n))/max(d.Seconds(), 0.001))) + "/s"
	},
	"moment": func(t time.Time) string { return t.UTC().Format("Mon 2 Jan 2006, 15:04 UTC") },
	"plural": plural,
	"slug":   func(o transfer.Outcome) string { return strings.ReplaceAll(string(o), " ", "-") },
}).Parse(pageTemplate))

// The names of the files beside report.json.
const (
	junitName      = "junit.xml"
	pageName       = "report.html"
	referencesName = "references.csv"
)

// Pages are written from a record at the end of its run.
var Pages = []record.Page{
	{Name: junitName, Write: func(w io.Writer, d record.Document, h *record.History) error { return writeJUnit(w, d, h.Took()) }},
	{Name: pageName, Write: func(w io.Writer, d record.Document, h *record.History) error { return newPage(d, h).write(w) }},
	{Name: referencesName, Write: func(w io.Writer, d record.Document, _ *record.History) error { return writeReferences(w, d) }},
}

// Limits that keep the page usable. Whatever exceeds them is summarized, and can be found in the table.
const (
	maxGroups       = 60
	openGroups      = 6 // of each outcome; the others are collapsed
	maxRepositories = 400
)

// page is report.html.
type page struct {
	record.Document
	Policy template.HTML // a Content Security Policy that allows only our script, and loads nothing
	Style  template.CSS
	Script template.JS
	Data   columns // for the script

	Verification   bool            // the run compares, and copies nothing
	Chosen         *migrate.Chosen // nil: everything
	Shared         *migrate.Shared // nil: no other job has a share
	Lasted         time.Duration
	Total, Arrived int // tags
	Outcomes       []segment
	Referrers      []segment
	PulledBack     int // tags
	Blocks         []block
	Others         []record.Entry // that did not arrive and are in none of the blocks
	Missing        int            // tags, sets of referrers and repositories, of the blocks and others
	Images         int
	Plan           migrate.Planned
	Pulled, Pushed int64 // bytes
	Repositories   []repositoryRow
	Further        int      // repositories that have no row
	Empty          []string // repositories without a tag
}

// segment is a part of a bar, in percent of its length.
type segment struct {
	Outcome     transfer.Outcome
	Meaning     string
	Count       int
	From, Width float64
}

// block lists everything that did not arrive with one outcome, by cause.
type block struct {
	Outcome     transfer.Outcome
	Count       int
	First, Rest []group
}

// group lists everything that did not arrive for one cause.
type group struct {
	Text, Remedy string
	Count        int
	Names        []names
}

// names lists those of one repository.
type names struct {
	Repository string
	Count      int
	List       string
}

// repositoryRow is one row in the table of repositories.
type repositoryRow struct {
	Name          string
	Tags, Missing int
	Images        int
	Bytes         int64 // of its layers and configs, each once
	Segments      []segment
}

// newPage collects what the page shows of the run.
func newPage(d record.Document, h *record.History) *page {
	d.Tags = slices.Clone(d.Tags)
	slices.SortStableFunc(d.Tags, func(a, b record.Entry) int {
		return cmp.Or(cmp.Compare(a.Repository, b.Repository), naturally(a.Tag, b.Tag))
	})
	p := &page{
		Document: d, Style: template.CSS(pageStyle), Script: template.JS(pageScript), Policy: policyFor(pageScript),
		Data: newColumns(d, h), Verification: h.Verification, Chosen: h.Chosen, Shared: h.Shared, Lasted: h.Lasted,
		Total: max(len(d.Tags)-d.Counts[transfer.Extra], h.Plan.Tags), PulledBack: h.PulledBack, Plan: h.Plan, Empty: h.Empty,
	}
	p.Pulled, p.Pushed = h.Moved()
	p.count()
	p.group()
	p.listRepositories()
	return p
}

// count counts what arrived, including referrers.
func (p *page) count() {
	p.Outcomes = p.segments(p.Counts, p.Total+p.Counts[transfer.Extra])
	earlier := 0
	for _, e := range p.Tags {
		if e.Outcome.Arrived() && e.Outcome != transfer.Extra {
			p.Arrived++
		}
		if e.Outcome == transfer.Present && e.SourceDigest != e.PushedDigest {
			earlier++
		}
	}
	for i := range p.Outcomes {
		if p.Outcomes[i].Outcome == transfer.Present && earlier > 0 {
			p.Outcomes[i].Meaning = "were already there, with the digest at ECR, or with the one that an earlier run pushed: " +
				humanize.Comma(int64(earlier))
		}
	}
	referrers := map[transfer.Outcome]int{}
	for _, e := range p.Document.Referrers {
		referrers[e.Outcome] += e.Referrers
	}
	p.Referrers = p.segments(referrers, 1)
}

// write writes the page.
func (p *page) write(w io.Writer) error {
	out := bufio.NewWriter(w)
	if err := pageHTML.Execute(out, p); err != nil {
		return err
	}
	return out.Flush()
}

// policyFor allows the script by its hash, so that no text from a registry can run as a script.
func policyFor(script string) template.HTML {
	hash := sha256.Sum256([]byte(script))
	return template.HTML(fmt.Sprintf(`<meta http-equiv="Content-Security-Policy" content="default-src 'none'; `+
		`style-src 'unsafe-inline'; script-src 'sha256-%s'; img-src data:; base-uri 'none'; form-action 'none'">`,
		base64.StdEncoding.EncodeToString(hash[:])))
}

// leastSegment is the minimum share of a bar, in percent: one failed tag among thousands must be visible.
const leastSegment = 0.8

// segments returns the parts of a bar by outcome, in the order of the summary.
func (p *page) segments(counts map[transfer.Outcome]int, whole int) []segment {
	var parts []segment
	added, largest := 0.0, 0
	for _, m := range meanings {
		if n := counts[m.outcome]; n > 0 {
			width := 100 * float64(n) / float64(whole)
			parts = append(parts, segment{Outcome: m.outcome, Meaning: m.of(p.Verification), Count: n, Width: max(width, leastSegment)})
			added += max(0, leastSegment-width)
			if width > parts[largest].Width {
				largest = len(parts) - 1
			}
		}
	}
	from := 0.0
	for i := range parts {
		if i == largest {
			parts[i].Width = max(leastSegment, parts[i].Width-added)
		}
		width := parts[i].Width
		parts[i].From, parts[i].Width = rounded(from), rounded(width)
		from += width
	}
	return parts
}

// rounded limits the digits of a number, to keep a page with many bars small.
func rounded(percent float64) float64 { return math.Round(percent*1000) / 1000 }

// group groups what did not arrive by outcome, cause and remedy: most urgent first, then largest.
func (p *page) group() {
	type key struct {
		outcome      transfer.Outcome
		text, remedy string
	}
	var order []key
	members := map[key][]*record.Entry{}
	for _, e := range byRepository(p.Document) {
		if e.Outcome.Arrived() {
			continue
		}
		p.Missing++
		k := key{e.Outcome, e.Cause, e.Remedy}
		if members[k] == nil {
			order = append(order, k)
		}
		members[k] = append(members[k], e)
	}
	slices.SortStableFunc(order, func(a, b key) int {
		return cmp.Or(
			cmp.Compare(urgency(a.outcome), urgency(b.outcome)),
			cmp.Compare(len(members[b]), len(members[a])),
			cmp.Compare(a.text, b.text),
			cmp.Compare(a.remedy, b.remedy),
		)
	})
	for i, k := range order {
		if i >= maxGroups && k.outcome != transfer.NotStarted {
			for _, e := range members[k] {
				p.Others = append(p.Others, *e)
			}
			continue
		}
		p.add(k.outcome, newGroup(k.text, k.remedy, members[k]))
	}
}

// add adds a group to the last block, or to a new one if its outcome differs.
func (p *page) add(outcome transfer.Outcome, g group) {
	if len(p.Blocks) == 0 || p.Blocks[len(p.Blocks)-1].Outcome != outcome {
		p.Blocks = append(p.Blocks, block{Outcome: outcome})
	}
	last := &p.Blocks[len(p.Blocks)-1]
	last.Count += g.Count
	if len(last.First) < openGroups {
		last.First = append(last.First, g)
	} else {
		last.Rest = append(last.Rest, g)
	}
}

// urgency returns the sort key of an outcome: what needs attention first is lowest.
func urgency(o transfer.Outcome) int {
	return slices.Index([]transfer.Outcome{
		transfer.Conflict, transfer.Different, transfer.Missing, transfer.Failed, transfer.Refused, transfer.NotStarted, transfer.Kept,
	}, o)
}

func newGroup(text, remedy string, members []*record.Entry) group {
	g := group{Text: text, Remedy: remedy, Count: len(members)}
	if len(members) == 1 {
		g.Text = members[0].Error // with the reference
	}
	for len(members) > 0 {
		of := names{Repository: members[0].Repository}
		var list []string
		for len(members) > 0 && members[0].Repository == of.Repository {
			list = append(list, caseName(members[0]))
			members = members[1:]
		}
		of.Count, of.List = len(list), strings.Join(list, ", ")
		g.Names = append(g.Names, of)
	}
	return g
}

// listRepositories fills the table of repositories. If there are too many, it keeps those with the most bytes.
func (p *page) listRepositories() {
	contents := map[string]plan.Content{}
	for _, c := range p.Plan.Contents {
		contents[c.Repository] = c
		p.Images += c.Images
	}
	counts, most := map[string]map[transfer.Outcome]int{}, 0
	for _, e := range p.Tags {
		if counts[e.Repository] == nil {
			counts[e.Repository] = map[transfer.Outcome]int{}
			p.Repositories = append(p.Repositories, repositoryRow{Name: e.Repository})
		}
		counts[e.Repository][e.Outcome]++
	}
	for i := range p.Repositories {
		row := &p.Repositories[i]
		for outcome, n := range counts[row.Name] {
			row.Tags += n
			if !outcome.Arrived() {
				row.Missing += n
			}
		}
		row.Images, row.Bytes = contents[row.Name].Images, contents[row.Name].Bytes
		most = max(most, row.Tags)
	}
	slices.SortStableFunc(p.Repositories, func(a, b repositoryRow) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(b.Tags, a.Tags))
	})
	if p.Further = len(p.Repositories) - maxRepositories; p.Further > 0 {
		p.Repositories = p.Repositories[:maxRepositories]
	}
	for i := range p.Repositories {
		p.Repositories[i].Segments = p.segments(counts[p.Repositories[i].Name], most)
	}
}

// Headline sums up the result of the run.
func (p *page) Headline() string {
	done, one, are := "copy", "is at GitLab", "are at GitLab"
	if p.Verification {
		done, one, are = "compare", "is verified", "are verified"
	}
	switch total := humanize.Comma(int64(p.Total)); {
	case p.Total == 0 && p.Error != "":
		return "The run ended before its first tag"
	case p.Total == 0:
		return "There was no tag to " + done
	case p.Total == 1 && p.Arrived == 1:
		return "The one tag " + one
	case p.Arrived == p.Total:
		return "All " + total + " tags " + are
	default:
		return humanize.Comma(int64(p.Arrived)) + " of " + total + " tags " + are
	}
}

// inWords formats a duration with at most two units.
func inWords(d time.Duration) string {
	switch s := int(d.Round(time.Second).Seconds()); {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min %d s", s/60, s%60)
	default:
		return fmt.Sprintf("%d h %d min", s/3600, s/60%60)
	}
}

// plural returns the number with its noun.
func plural(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return humanize.Comma(int64(n)) + " " + more
}
