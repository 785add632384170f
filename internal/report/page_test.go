package report

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/record"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// night is a run with one of everything, at a fixed time.
func night() (record.About, []migrate.Event) {
	now := time.Date(2026, 11, 25, 22, 0, 0, 0, time.UTC)
	about := about
	about.Now = func() time.Time { now = now.Add(time.Second); return now }
	denied := stepError(transfer.StepPush, target+"/team/app:3", "denied: <b>no</b>", "ask an owner")
	work := func(step transfer.Step, worker int, began time.Duration) migrate.Worked {
		return migrate.Worked{
			Step: step, Worker: worker, Began: time.Date(2026, 11, 25, 22, 0, 1, 0, time.UTC).Add(began), Well: true, Bytes: 1000,
			Image: image.Image{Repository: image.Repository{Name: "team/app"}, Digest: source, Tags: []string{"1"}},
		}
	}
	lost := work(transfer.StepPush, 0, time.Second)
	lost.Well, lost.Bytes = false, 0
	return about, []migrate.Event{
		migrate.Planned{
			Tags: 6, Blobs: 3, Bytes: 2500, BytesUnshared: 10000, Store: image.ContainerdStore,
			Contents: []plan.Content{{Repository: "team/app", Images: 4, Bytes: 2500}},
		},
		work(transfer.StepPull, 1, 0), work(transfer.StepPull, 0, 0), lost, work("", 0, 2*time.Second),
		migrate.Finished{Result: tag("1", transfer.Exact, nil)},
		migrate.Finished{Result: tag("2", transfer.Changed, nil)},
		migrate.Finished{Result: tag("3", transfer.Failed, denied)},
		migrate.Finished{Result: tag("4", transfer.Refused, errors.New("no index here"))},
		migrate.Finished{Result: tag("5", transfer.Refused, errors.New("no index here"))},
		migrate.Finished{Result: tag("6", transfer.NotStarted, errors.New("out of time"))},
		migrate.Finished{Result: referrers(2, transfer.Exact, nil)},
	}
}

// pageOf records a run with the events, and returns its page.
func pageOf(t *testing.T, about record.About, cause error, events ...migrate.Event) string {
	t.Helper()
	dir := t.TempDir()
	r := openIn(t, dir, about)
	for _, event := range events {
		r.Observe(event)
	}
	if err := r.Close(cause); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, pageName))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// elements returns the elements of a page in order.
func elements(t *testing.T, page string) []*html.Node {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var found []*html.Node
	for node := range root.Descendants() {
		if node.Type == html.ElementNode {
			found = append(found, node)
		}
	}
	return found
}

// named returns the elements with that name.
func named(elements []*html.Node, name atom.Atom) []*html.Node {
	return slices.DeleteFunc(slices.Clone(elements), func(n *html.Node) bool { return n.DataAtom != name })
}

// textOf returns the visible text of an element, without scripts and styles, with single spaces.
func textOf(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode && d.Parent.DataAtom != atom.Script && d.Parent.DataAtom != atom.Style {
			b.WriteString(d.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// dataOf returns the data that the page holds for its script.
func dataOf(t *testing.T, page string) (c columns) {
	t.Helper()
	for _, script := range named(elements(t, page), atom.Script) {
		if attribute(script, "type") == "application/json" {
			if err := json.Unmarshal([]byte(script.FirstChild.Data), &c); err != nil {
				t.Fatal(err)
			}
			return c
		}
	}
	t.Fatal("the page has no data")
	return c
}

// Even without JavaScript, the page has the summary, and everything that did not arrive, with its causes.
func TestPageWithoutScript(t *testing.T) {
	about, events := night()
	text := textOf(named(elements(t, pageOf(t, about, errors.New("out of time"), events...)), atom.Body)[0])
	for _, part := range []string{
		"2 of 6 tags are at GitLab", target,
		"1 exact the digest at GitLab is the digest at ECR",
		"2 refused cannot arrive intact",
		"The run ended before it reached every tag. out of time",
		"Began Wed 25 Nov 2026, 22:00 UTC",
		"Images 4 Pulled from ECR 3.0 kB Pushed to GitLab 1.0 kB Engine’s image store containerd",
		"What did not arrive 4",
		"1 failed 1 push " + target + "/team/app:3: denied: <b>no</b> Remedy: ask an owner Which one team/app 3",
		"2 refused 2 no index here Which ones, in 1 repository team/app 2 4, 5",
		"1 not started 1 out of time Which one team/app 6",
		"Throughput from ECR, 250 B/s on average to GitLab, 83 B/s",
		"team/app 6 4 2.5 kB", "Written by ecr2gitlab 1.2.3",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in\n%s", part, text)
		}
	}
	if i, j := strings.Index(text, "1 failed 1 push"), strings.Index(text, "2 refused 2 no index"); i > j {
		t.Error("what was refused is before what has failed")
	}
}

// Tags that an earlier run pushed with another digest are present, but not with ECR's digest.
func TestPageOfKeptTags(t *testing.T) {
	for _, test := range []struct {
		result transfer.Result
		want   string
	}{
		{tag("1", transfer.Present, nil), "1 present were already there, with the digest at ECR"},
		{kept("1"), "1 present were already there, with the digest at ECR, or with the one that an earlier run pushed: 1"},
	} {
		body := textOf(named(elements(t, pageOf(t, about, nil, migrate.Finished{Result: test.result})), atom.Body)[0])
		if !strings.Contains(body, test.want+" ") {
			t.Errorf("%q is missing in\n%s", test.want, body)
		}
	}
}

// However a run ends, there is a page that says so.
func TestPageHeadline(t *testing.T) {
	one, two := migrate.Finished{Result: tag("1", transfer.Exact, nil)}, migrate.Finished{Result: tag("2", transfer.Present, nil)}
	for _, test := range []struct {
		cause  error
		events []migrate.Event
		want   string
	}{
		{nil, nil, "There was no tag to copy"},
		{errors.New("AccessDenied"), nil, "The run ended before its first tag"},
		{nil, []migrate.Event{one}, "The one tag is at GitLab"},
		{nil, []migrate.Event{one, two}, "All 2 tags are at GitLab"},
		{errors.New("killed"), []migrate.Event{migrate.Planned{Tags: 3000}, one}, "1 of 3,000 tags are at GitLab"},
	} {
		page := elements(t, pageOf(t, about, test.cause, test.events...))
		if got := textOf(named(page, atom.H1)[0]); got != test.want {
			t.Errorf("the headline is %q, want %q", got, test.want)
		}
		if body := textOf(named(page, atom.Body)[0]); test.cause != nil && !strings.Contains(body, test.cause.Error()) {
			t.Errorf("the page does not say %q", test.cause)
		}
	}
}

// renamed returns the page of a night in which everything has this name.
func renamed(t *testing.T, name string) string {
	t.Helper()
	about, events := night()
	about.Program, about.Target = name, name
	for i, event := range events {
		switch e := event.(type) {
		case migrate.Planned:
			e.Contents[0].Repository = name
		case migrate.Worked:
			e.Image.Repository.Name, e.Image.Tags = name, []string{name}
			events[i] = e
		case migrate.Finished:
			e.Result.Repository, e.Result.Target = name, name+":"+e.Result.Tag
			if e.Result.Err != nil {
				e.Result.Err = stepError(transfer.Step(name), name, name, name)
			}
			events[i] = e
		}
	}
	return pageOf(t, about, errors.New(name), events...)
}

// Names from a registry stay text: they create no element, attribute or script.
func TestPageHostileNames(t *testing.T) {
	plain := elements(t, renamed(t, "plain"))
	for _, hostile := range []string{
		`</script><script>alert(1)</script>`,
		`<!--<script>`,
		`--></style><img src=x onerror=alert(1)>`,
		`" onmouseover="alert(1)" x="`,
		`' onmouseover='alert(1)`,
		`javascript:alert(1)`,
		`{{.Program}} ${alert(1)} %s`,
		"</title><base href=//example.com>\x00\x1b[31m\u2028\u202e\xff",
	} {
		page := renamed(t, hostile)
		found := elements(t, page)
		if len(found) != len(plain) {
			t.Errorf("with %q there are %d elements instead of %d", hostile, len(found), len(plain))
		}
		for i, node := range found {
			if i < len(plain) && node.Data != plain[i].Data {
				t.Fatalf("%q has made of <%s> a <%s>", hostile, plain[i].Data, node.Data)
			}
			for _, a := range node.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "src" || a.Key == "href" && !strings.HasPrefix(a.Val, "#") && a.Val != "data:," {
					t.Errorf("%q has made the attribute %s=%q of <%s>", hostile, a.Key, a.Val, node.Data)
				}
			}
		}
		if c := dataOf(t, page); !slices.Contains(c.Texts, redact.Printable(hostile)) {
			t.Errorf("%q is not in the data: %q", hostile, c.Texts)
		}
		if at := strings.IndexFunc(page, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); at >= 0 {
			t.Errorf("with %q, the page has the character %q", hostile, page[at:at+4])
		}
	}
}

// The page loads nothing, and its policy allows only its own script.
func TestPagePolicy(t *testing.T) {
	about, events := night()
	page := pageOf(t, about, nil, events...)
	found := elements(t, page)
	for _, node := range found {
		if attribute(node, "src") != "" || node.DataAtom == atom.Link && attribute(node, "href") != "data:," {
			t.Errorf("%s loads something", node.Data)
		}
	}
	if style := named(found, atom.Style)[0].FirstChild.Data; strings.Contains(style, "@import") || strings.Contains(style, "http") {
		t.Error("the style loads something")
	}
	hash := sha256.Sum256([]byte(named(found, atom.Script)[1].FirstChild.Data))
	want := "script-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'"
	policies := slices.DeleteFunc(named(found, atom.Meta), func(n *html.Node) bool {
		return attribute(n, "http-equiv") != "Content-Security-Policy"
	})
	if len(policies) != 1 || !strings.Contains(attribute(policies[0], "content"), want) {
		t.Errorf("no policy has %s", want)
	}
}

// What the script draws and lists matches the events.
func TestPageData(t *testing.T) {
	about, events := night()
	c := dataOf(t, pageOf(t, about, nil, events...))
	var tags, spans []string
	for i, name := range c.Tags.Tag {
		tags = append(tags, fmt.Sprintf("%s:%s %s %s %q", c.Texts[c.Tags.Repository[i]], name, c.Outcomes[c.Tags.Outcome[i]],
			c.Texts[c.Tags.Target[i]], c.Texts[c.Tags.Error[i]]))
	}
	for i, lane := range c.Spans.Lane {
		spans = append(spans, fmt.Sprintf("%s %d: tag %d at %d ms, %d bytes, %d", c.Lanes[lane].Step, c.Lanes[lane].Worker,
			c.Spans.Tag[i], c.Spans.Began[i], c.Spans.Bytes[i], c.Spans.Well[i]))
	}
	wantTags := []string{
		`team/app:1 exact ` + target + `/team/app ""`,
		`team/app:2 changed ` + target + `/team/app ""`,
		`team/app:3 failed ` + target + `/team/app "push ` + target + `/team/app:3: denied: <b>no</b>"`,
		`team/app:4 refused ` + target + `/team/app "no index here"`,
		`team/app:5 refused ` + target + `/team/app "no index here"`,
		`team/app:6 not started ` + target + `/team/app "out of time"`,
	}
	wantSpans := []string{
		"pull 1: tag 0 at 0 ms, 1000 bytes, 1",
		"pull 2: tag 0 at 0 ms, 1000 bytes, 1",
		"push 1: tag 0 at 1000 ms, 0 bytes, 0",
		"alone 1: tag 0 at 2000 ms, 1000 bytes, 1",
	}
	if !slices.Equal(tags, wantTags) {
		t.Errorf("tags\n%s\nwant\n%s", strings.Join(tags, "\n"), strings.Join(wantTags, "\n"))
	}
	if !slices.Equal(spans, wantSpans) {
		t.Errorf("spans\n%s\nwant\n%s", strings.Join(spans, "\n"), strings.Join(wantSpans, "\n"))
	}
	if n := len(c.Texts); n != 10 { // the empty one, repository, target, two digests, three causes, one with its reference, a remedy: each once
		t.Errorf("%d texts: %q", n, c.Texts)
	}
}

// A run without work still has lists for the script.
func TestPageDataWithoutWork(t *testing.T) {
	c := dataOf(t, pageOf(t, about, nil, migrate.Finished{Result: tag("1", transfer.Exact, nil)}))
	if c.Lanes == nil || c.Spans.Lane == nil || c.Spans.Tag == nil || c.Spans.Bytes == nil {
		t.Errorf("lanes %v, spans %+v", c.Lanes, c.Spans)
	}
}

// Secrets are redacted in the human-readable files just as in report.json.
func TestPagesShowNoSecret(t *testing.T) {
	const secret = "glcbt-secret"
	dir := t.TempDir()
	about := about
	about.Redact = func(text string) string { return strings.ReplaceAll(text, secret, "[hidden]") }
	said := stepError(transfer.StepPush, "ref", "you said "+secret, "do not say "+secret)
	runWith(t, dir, about, errors.New(secret), tag("1", transfer.Failed, said), tag("2", transfer.Refused, said), referrers(1, transfer.Refused, said))
	for _, name := range namesIn(t, dir) {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), secret) || name != referencesName && !strings.Contains(string(text), "you said [hidden]") {
			t.Errorf("%s has the secret, or not what was said", name)
		}
	}
}

// The same events produce the same page.
func TestPageIsDeterministic(t *testing.T) {
	var pages []string
	for range 2 {
		about, events := night()
		pages = append(pages, pageOf(t, about, nil, events...))
	}
	if pages[0] != pages[1] {
		t.Error("the pages differ")
	}
}

// A page with many causes and repositories stays small enough for a browser.
func TestPageIsBounded(t *testing.T) {
	const repositories = 1000
	events := []migrate.Event{migrate.Planned{Tags: repositories}}
	for i := range repositories {
		result := tag("1", transfer.Failed, fmt.Errorf("cause %d", i))
		result.Repository = fmt.Sprintf("team/app-%04d", i)
		events = append(events, migrate.Finished{Result: result})
	}
	found := elements(t, pageOf(t, about, nil, events...))
	groups := slices.DeleteFunc(named(found, atom.Div), func(n *html.Node) bool { return attribute(n, "class") != "group" })
	if len(groups) != maxGroups {
		t.Errorf("%d groups", len(groups))
	}
	if rows := len(named(found, atom.Tr)); rows != maxRepositories+1 {
		t.Errorf("%d rows", rows)
	}
	body := textOf(named(found, atom.Body)[0])
	for i := range repositories {
		if name := fmt.Sprintf("team/app-%04d", i); !strings.Contains(body, name) {
			t.Fatalf("%s is missing", name)
		}
	}
	for _, part := range []string{"600 smaller repositories are not in this table", "54 further causes", "940 for other causes"} {
		if !strings.Contains(body, part) {
			t.Errorf("it does not say %q", part)
		}
	}
}

// A verification's page says that it is one, and the most urgent comes first.
func TestPageOfVerification(t *testing.T) {
	different := tag("3", transfer.Different, stepError(transfer.StepVerify, target+"/team/app:3", "GitLab has another image", ""))
	missing := tag("4", transfer.Missing, stepError(transfer.StepVerify, target+"/team/app:4", "GitLab does not have it", ""))
	about, planned := night()
	events := []migrate.Event{
		planned[0], migrate.Comparing{Tags: 5, Store: image.ContainerdStore}, migrate.PulledBack{Result: tag("1", transfer.Exact, nil)},
		migrate.Finished{Result: tag("1", transfer.Exact, nil)},
		migrate.Finished{Result: tag("2", transfer.Changed, nil)},
		migrate.Finished{Result: different}, migrate.Finished{Result: missing},
		migrate.Finished{Result: tag("5", transfer.Refused, errors.New("too deep"))},
		migrate.Finished{Result: tag("6", transfer.Failed, stepError(transfer.StepVerify, target+"/team/app:6", "no answer", ""))},
	}
	page := elements(t, pageOf(t, about, nil, events...))
	body := textOf(named(page, atom.Body)[0])
	if title := textOf(named(page, atom.Title)[0]); title != "2 of 6 tags are verified" {
		t.Errorf("the title is %q", title)
	}
	at := 0
	for _, part := range []string{
		"Amazon ECR compared with GitLab",
		"1 changed the digest changed, as report.json of an earlier run says",
		"1 refused cannot be there: GitLab does not take the name",
		"1 failed could not be compared", "1 missing GitLab does not have them", "1 different GitLab has another image under the tag",
		"Pulled from GitLab 1 tag, whole",
		"What is not verified 4", "1 different 1 verify", "1 missing 1 verify", "1 failed 1 verify", "1 refused 1 too deep",
		"Not there Size team/app 6 4 2.5 kB",
	} {
		next := strings.Index(body[at:], part)
		if next < 0 {
			t.Fatalf("after %q, %q is missing in\n%s", body[:at], part, body[at:])
		}
		at += next
	}
	for _, word := range []string{"Pulled from ECR", "pulled by this run", "did not arrive", "Throughput"} {
		if strings.Contains(body, word) {
			t.Errorf("it says %q", word)
		}
	}
}

// The page begins with the part of the registry that was selected.
func TestPageOfAPart(t *testing.T) {
	hostile := "\u202e<b>*"
	body := textOf(named(elements(t, pageOf(t, about, nil,
		migrate.Chosen{
			Repositories: 2, AllRepositories: 1000, Tags: 30, AllTags: 50,
			Unmatched: []plan.Unmatched{{Variable: "MIGRATE_REPOSITORIES", Pattern: hostile}},
		},
		migrate.Listed{Empty: []string{"bare", hostile}},
		migrate.Shared{Share: plan.Share{Index: 2, Total: 3}, Tags: 10, Listed: 30},
		migrate.Planned{Tags: 1, LeftReferrers: 7},
		migrate.Finished{Result: tag("1", transfer.OnePlatform, nil)},
	)), atom.Body)[0])
	for _, part := range []string{
		target + " Selected: 2 of 1,000 repositories, with 30 of 50 tags. This is job 2 of 3, whose share is 10 of 30 tags. " +
			`Nothing matches \u202e<b>* of MIGRATE_REPOSITORIES.`,
		"because MIGRATE_PLATFORM or MIGRATE_LEAVE_OUT leaves out what they refer to: 7",
		`2 repositories have no tag bare, \u202e<b>*`,
	} {
		if !strings.Contains(body, part) {
			t.Errorf("%q is missing in\n%s", part, body)
		}
	}
}

// A single failed tag is visible, however many others there are.
func TestSegments(t *testing.T) {
	for _, test := range []struct {
		counts map[transfer.Outcome]int
		whole  int
		want   []segment
	}{
		{map[transfer.Outcome]int{transfer.Exact: 3, transfer.Failed: 1}, 4, []segment{{From: 0, Width: 75}, {From: 75, Width: 25}}},
		{map[transfer.Outcome]int{transfer.Exact: 19998, transfer.Changed: 1, transfer.Failed: 1}, 20000, []segment{
			{From: 0, Width: 98.4}, {From: 98.4, Width: 0.8}, {From: 99.2, Width: 0.8},
		}},
		{map[transfer.Outcome]int{transfer.Failed: 1}, 1000, []segment{{From: 0, Width: 0.8}}},
		{nil, 0, nil},
	} {
		var got []segment
		for _, part := range new(page).segments(test.counts, test.whole) {
			got = append(got, segment{From: part.From, Width: part.Width})
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%v of %d: %v, want %v", test.counts, test.whole, got, test.want)
		}
	}
}

func TestInWords(t *testing.T) {
	for _, test := range []struct {
		d    time.Duration
		want string
	}{
		{0, "0.0 s"},
		{1234 * time.Millisecond, "1.2 s"},
		{59 * time.Second, "59 s"},
		{59*time.Minute + 59600*time.Millisecond, "1 h 0 min"},
		{83 * time.Second, "1 min 23 s"},
		{27 * time.Hour, "27 h 0 min"},
	} {
		if got := inWords(test.d); got != test.want {
			t.Errorf("%s is %q, want %q", test.d, got, test.want)
		}
	}
}

// If a run is killed, the report of an earlier run is not mistaken for its own.
func TestRecordRemovesEarlierPages(t *testing.T) {
	dir := t.TempDir()
	runWith(t, dir, about, nil, tag("1", transfer.Exact, nil))
	if names := namesIn(t, dir); !slices.Equal(names, []string{junitName, referencesName, pageName, "report.json"}) {
		t.Errorf("the folder has %q", names)
	}
	openIn(t, dir, about) // and never closed
	if names := namesIn(t, dir); !slices.Equal(names, []string{"report.json"}) {
		t.Errorf("the folder has %q", names)
	}
}

// TestPageKnowsEachOutcome: an outcome without a colour or a mark would be invisible.
func TestPageKnowsEachOutcome(t *testing.T) {
	for _, outcome := range transfer.Outcomes {
		slug := strings.ReplaceAll(string(outcome), " ", "-")
		if !strings.Contains(pageStyle, "\n."+slug+" {") || !strings.Contains(pageTemplate, `id="mark-`+slug+`"`) {
			t.Errorf("%s has no colour or no mark", outcome)
		}
	}
}
