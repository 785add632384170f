package report

import (
	"encoding/csv"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// referencesIn returns the text of a folder's references.csv.
func referencesIn(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, referencesName))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every tag that is at GitLab has its line, and nothing else has.
func TestReferences(t *testing.T) {
	const header = "ecr_reference,gitlab_reference,ecr_digest,gitlab_digest"
	dir := t.TempDir()
	results := []transfer.Result{referrers(2, transfer.Exact, nil), {Repository: "broken", Outcome: transfer.Failed, Err: errors.New("throttled")}}
	for _, outcome := range transfer.Outcomes {
		r := tag(string(outcome[:2]), outcome, nil)
		if !outcome.Arrived() {
			r.Err = errors.New("no")
		}
		if outcome == transfer.Extra {
			r.SourceURI = "" // the source does not list it
		}
		results = append(results, r)
	}
	trimmed := tag("tr", transfer.Trimmed, nil)
	trimmed.Pushed = pushed
	results[slices.IndexFunc(results, func(r transfer.Result) bool { return r.Outcome == transfer.Trimmed })] = trimmed
	runWith(t, dir, about, nil, results...)
	line := func(tag, digest string) string {
		return sourceURI + ":" + tag + "," + target + "/team/app:" + tag + "," + source.String() + "," + digest
	}
	expect(t, referencesIn(t, dir), header,
		line("ch", pushed.String()), line("ex", source.String()), line("on", pushed.String()), line("pr", source.String()), line("tr", pushed.String()))

	empty := t.TempDir()
	runWith(t, empty, about, errors.New("no engine"))
	expect(t, referencesIn(t, empty), header)
}

// Whatever a name has, a line is a line and has four fields.
func TestReferencesAreQuoted(t *testing.T) {
	dir := t.TempDir()
	r := tag("1", transfer.Exact, nil)
	r.SourceURI, r.Target = `host/a,"b"`+"\r\n=1+1", "host/\x1b[2J,c"
	runWith(t, dir, about, nil, r)
	records, err := csv.NewReader(strings.NewReader(referencesIn(t, dir))).ReadAll()
	if err != nil || len(records) != 2 {
		t.Fatalf("%q (%v)", records, err)
	}
	want := []string{"host/a,\"b\"\n=1+1:1", `host/\x1b[2J,c`, source.String(), source.String()}
	if !slices.Equal(records[1], want) {
		t.Errorf("got %q, want %q", records[1], want)
	}
}
