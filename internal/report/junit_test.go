package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jstemmer/go-junit-report/v2/junit"
	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/record"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// testsIn reads the junit.xml in a folder.
func testsIn(t *testing.T, dir string) junit.Testsuites {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, junitName))
	if err != nil {
		t.Fatal(err)
	}
	var suites junit.Testsuites
	if err := xml.Unmarshal(text, &suites); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return suites
}

// lines returns one line for each case, as GitLab shows it.
func lines(suites junit.Testsuites) []string {
	var lines []string
	for _, s := range suites.Suites {
		for _, c := range s.Testcases {
			line := c.Classname + " | " + c.Name
			switch {
			case c.Failure != nil:
				line += " | failure: " + c.Failure.Data
			case c.Skipped != nil:
				line += " | skipped: " + c.Skipped.Data
			}
			lines = append(lines, line)
		}
	}
	return lines
}

// Each tag is a case in its repository's suite. A failure gives the cause and the remedy.
func TestJUnit(t *testing.T) {
	stopped := errors.New("out of time: run again for the rest")
	elsewhere := tag("1", transfer.Exact, nil)
	elsewhere.Repository = "other"
	dir := t.TempDir()
	runWith(t, dir, about, stopped,
		tag("3", transfer.Failed, stepError(transfer.StepPush, "ref", "denied: no", "ask an owner")),
		elsewhere,
		tag("1", transfer.Exact, nil),
		tag("2", transfer.Present, nil),
		tag("4", transfer.Refused, errors.New("the classic store cannot hold it")),
		tag("5", transfer.NotStarted, stopped),
		referrers(2, transfer.Refused, errors.New("no signatures")),
		transfer.Result{Repository: "broken", Outcome: transfer.Failed, Err: stepError(transfer.StepList, "broken", "throttled", "")},
	)
	got := testsIn(t, dir)
	want := []string{
		"the whole run | finishes | failure: out of time: run again for the rest",
		"broken | the list of its tags | failure: list broken: throttled",
		"other | 1",
		"team/app | 1",
		"team/app | 2",
		"team/app | 3 | failure: push ref: denied: no\n\nask an owner",
		"team/app | 4 | failure: the classic store cannot hold it",
		"team/app | 5 | skipped: out of time: run again for the rest",
		"team/app | referrers of " + pushed.String() + " (2) | failure: no signatures",
	}
	if lines := lines(got); !slices.Equal(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if got.Tests != 9 || got.Failures != 5 || got.Skipped != 1 {
		t.Errorf("%d tests, %d failures, %d skipped", got.Tests, got.Failures, got.Skipped)
	}
	failure := got.Suites[3].Testcases[2].Failure
	if failure.Message != "push: denied: no" || failure.Type != "push" {
		t.Errorf("%+v", failure)
	}
}

// A tag that verification finds missing or different is a failure.
func TestJUnitOfVerification(t *testing.T) {
	dir := t.TempDir()
	runWith(t, dir, about, nil,
		tag("1", transfer.Exact, nil),
		tag("2", transfer.Missing, stepError(transfer.StepVerify, "ref:2", "GitLab does not have it", "")),
		tag("3", transfer.Different, stepError(transfer.StepVerify, "ref:3", "GitLab has another image", "")),
		tag("4", transfer.Missing, errors.New("the classic store cannot hold it")),
		tag("5", transfer.Failed, stepError(transfer.StepReturn, "ref:5", "denied", "ask an owner")),
	)
	got := testsIn(t, dir)
	want := []string{
		"team/app | 1",
		"team/app | 2 | failure: verify ref:2: GitLab does not have it",
		"team/app | 3 | failure: verify ref:3: GitLab has another image",
		"team/app | 4 | failure: the classic store cannot hold it",
		"team/app | 5 | failure: pull back ref:5: denied\n\nask an owner",
	}
	if lines := lines(got); !slices.Equal(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	for i, want := range []string{"verify", "verify", "missing", "pull back"} {
		if failure := got.Suites[0].Testcases[i+1].Failure; failure.Type != want {
			t.Errorf("tag %d is of the type %q, want %q", i+2, failure.Type, want)
		}
	}
}

// The time of an image counts once, no matter how many tags it has.
func TestJUnitTime(t *testing.T) {
	key := record.KeyOf(record.Entry{Repository: "team/app", SourceDigest: source})
	d := record.Document{Tags: []record.Entry{
		{Repository: "team/app", Tag: "1", SourceDigest: source, Outcome: transfer.Exact},
		{Repository: "team/app", Tag: "latest", SourceDigest: source, Outcome: transfer.Exact},
	}}
	var out bytes.Buffer
	if err := writeJUnit(&out, d, map[record.ImageKey]time.Duration{key: 1500 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`name="team/app" tests="2"`, `time="1.500"`} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("%s is missing in\n%s", part, out.String())
		}
	}
	if n := strings.Count(out.String(), `time="1.500"`); n != 2 { // of the suite and of one case
		t.Errorf("the time is there %d times:\n%s", n, out.String())
	}
}

// XML allows few control characters, and GitLab rejects a file that contains any others.
func TestJUnitHostileNames(t *testing.T) {
	hostile := "\x1b[31m ]]> <testcase name='x'/> &amp; \x00 \ufffe \xff \u202e \"'"
	dir := t.TempDir()
	runWith(t, dir, about, errors.New(hostile),
		transfer.Result{Repository: hostile, Tag: hostile, Outcome: transfer.Exact},
		transfer.Result{
			Repository: hostile, Tag: "1", Source: digest.Digest(hostile), Outcome: transfer.Failed,
			Err: stepError(transfer.Step(hostile), hostile, hostile, hostile),
		},
	)
	got := testsIn(t, dir)
	if len(got.Suites) != 2 || len(got.Suites[1].Testcases) != 2 {
		t.Fatalf("%+v", got)
	}
	plain := redact.Printable(hostile)
	suite := got.Suites[1]
	if suite.Name != plain || suite.Testcases[1].Name != plain {
		t.Errorf("suite %q, case %q, want %q", suite.Name, suite.Testcases[1].Name, plain)
	}
	if failure := suite.Testcases[0].Failure; failure == nil || !strings.HasSuffix(failure.Data, plain) {
		t.Errorf("%+v", failure)
	}
}

// GitLab reads files of up to 30 MB.
func TestJUnitSize(t *testing.T) {
	const tags = 20000
	for _, test := range []struct {
		name  string
		words string
		most  int // bytes
	}{
		{"all failed", "denied: requested access to the resource is denied", 10e6},
		{"for long causes", strings.Repeat("why? ", 3000), 20e6},
	} {
		t.Run(test.name, func(t *testing.T) {
			var d record.Document
			for i := range tags {
				d.Tags = append(d.Tags, record.Entry{
					Repository: "team/app", Tag: fmt.Sprint("1.0.", i), Outcome: transfer.Failed, Step: transfer.StepPush,
					Error: "push reference: " + test.words, Remedy: "ask an owner",
				})
			}
			var out bytes.Buffer
			if err := writeJUnit(&out, d, nil); err != nil {
				t.Fatal(err)
			}
			if out.Len() > test.most {
				t.Errorf("%d bytes", out.Len())
			}
			if n := strings.Count(out.String(), "<failure"); n != tags {
				t.Errorf("%d failures", n)
			}
		})
	}
}

func TestCut(t *testing.T) {
	for _, test := range []struct {
		text   string
		length int
		want   string
	}{
		{"short", 5, "short"},
		{"longer than that", 10, "longer …"},
		{"ééééé", 9, "éé …"},
	} {
		got := cut(test.text, test.length)
		if got != test.want || len(got) > test.length || !utf8.ValidString(got) {
			t.Errorf("cut(%q, %d) is %q, want %q", test.text, test.length, got, test.want)
		}
	}
}
