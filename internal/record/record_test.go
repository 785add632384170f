package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

var about = About{Program: "ecr2gitlab 1.2.3", Target: target}

// pages is one page, which counts the tags.
var pages = []Page{{Name: "tags.txt", Write: func(w io.Writer, d Document, _ *History) error {
	_, err := fmt.Fprintln(w, len(d.Tags))
	return err
}}}

// openIn opens a record, and returns its log messages.
func openIn(t *testing.T, dir string, about About) (*Record, string) {
	t.Helper()
	var out strings.Builder
	r, err := Open(dir, about, pages, func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) })
	if err != nil {
		t.Fatal(err)
	}
	return r, out.String()
}

// runWith records a run with these results in the folder, and returns its report.
func runWith(t *testing.T, dir string, about About, cause error, results ...transfer.Result) Document {
	t.Helper()
	r, _ := openIn(t, dir, about)
	for _, result := range results {
		r.Observe(migrate.Finished{Result: result})
	}
	if err := r.Close(cause); err != nil {
		t.Fatal(err)
	}
	return reportIn(t, dir)
}

func reportIn(t *testing.T, dir string) Document {
	t.Helper()
	d, err := readDocument(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// namesIn returns the names of the files in a folder.
func namesIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The schema, as the README describes it.
func TestRecordIsTheSchema(t *testing.T) {
	child := digest.FromString("child")
	reduced := tag("3", transfer.OnePlatform, nil)
	reduced.Root = child
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { // its clock starts in the year 2000
		r, _ := openIn(t, dir, about)
		time.Sleep(90 * time.Minute)
		r.Observe(migrate.Planned{Tags: 4, Store: image.ClassicStore})
		for _, result := range []transfer.Result{
			reduced,
			tag("2", transfer.Failed, stepError(transfer.StepPush, target+"/team/app:2", "denied: <b>no</b>", "GitLab denies it")),
			tag("1", transfer.Changed, nil),
			tag("4", transfer.Refused, errors.New("classic: no index")),
			referrers(2, transfer.Refused, errors.New("the classic store")),
			{Repository: "broken", Outcome: transfer.Failed, Err: stepError(transfer.StepList, "broken", "throttled", "")},
		} {
			r.Observe(migrate.Finished{Result: result})
		}
		if err := r.Close(errors.New("interrupted by SIGTERM")); err != nil {
			t.Fatal(err)
		}
	})
	want := `{
  "version": 1,
  "program": "ecr2gitlab 1.2.3",
  "started": "2000-01-01T00:00:00Z",
  "ended": "2000-01-01T01:30:00Z",
  "finished": false,
  "error": "interrupted by SIGTERM",
  "target": "registry.example.com/group/project",
  "store": "classic",
  "counts": {
    "changed": 1,
    "conflict": 0,
    "different": 0,
    "exact": 0,
    "extra": 0,
    "failed": 1,
    "kept": 0,
    "missing": 0,
    "not started": 0,
    "one platform": 1,
    "present": 0,
    "refused": 1,
    "trimmed": 0
  },
  "tags": [
    {"repository":"team/app","tag":"1","outcome":"changed","sourceDigest":"SOURCE","reference":"TARGET:1","pushedDigest":"PUSHED"},
    {"repository":"team/app","tag":"2","outcome":"failed","sourceDigest":"SOURCE","reference":"TARGET:2","step":"push",` +
		`"error":"push TARGET:2: denied: <b>no</b>","remedy":"GitLab denies it"},
    {"repository":"team/app","tag":"3","outcome":"one platform","sourceDigest":"SOURCE",` +
		`"platformDigest":"CHILD","reference":"TARGET:3","pushedDigest":"PUSHED"},
    {"repository":"team/app","tag":"4","outcome":"refused","sourceDigest":"SOURCE","reference":"TARGET:4","error":"classic: no index"}
  ],
  "referrers": [
    {"repository":"team/app","tag":"sha256-HEX","subject":"PUSHED","referrers":2,"outcome":"refused",` +
		`"sourceDigest":"SOURCE","reference":"TARGET:sha256-HEX","error":"the classic store"}
  ],
  "repositories": [
    {"repository":"broken","outcome":"failed","step":"list","error":"list broken: throttled"}
  ],
  "earlierPairs": []
}
`
	want = strings.NewReplacer("SOURCE", source.String(), "PUSHED", pushed.String(), "CHILD", child.String(),
		"HEX", pushed.Encoded(), "TARGET", target+"/team/app").Replace(want)
	got, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, string(got), strings.Split(strings.TrimSuffix(want, "\n"), "\n")...)
	if !json.Valid(got) {
		t.Error("it is no JSON")
	}
	if names := namesIn(t, dir); !slices.Equal(names, []string{fileName, "tags.txt"}) {
		t.Errorf("the folder has %q", names)
	}
}

// Equal results make equal reports, whatever their order.
func TestRecordOrder(t *testing.T) {
	results := []transfer.Result{tag("2", transfer.Exact, nil), tag("1", transfer.Changed, nil), referrers(1, transfer.Exact, nil)}
	other := tag("1", transfer.Exact, nil)
	other.Repository = "other"
	results = append(results, other)
	first := runWith(t, t.TempDir(), about, nil, results...)
	slices.Reverse(results)
	second := runWith(t, t.TempDir(), about, nil, results...)
	first.header, second.header = header{}, header{}
	if a, b := fmt.Sprint(first), fmt.Sprint(second); a != b {
		t.Errorf("%s\n%s", a, b)
	}
	if first.Tags[0].Repository != "other" || first.Tags[1].Tag != "1" {
		t.Errorf("not sorted: %+v", first.Tags)
	}
}

// What an earlier run recorded is known until this run replaces it, or finds that the tag is no longer in ECR.
func TestRecordCarriesPairs(t *testing.T) {
	child := digest.FromString("child")
	reduced := tag("1", transfer.OnePlatform, nil)
	reduced.Root = child
	asItIs := tag("1", transfer.OnePlatform, nil)
	asItIs.Root = pushed
	elsewhere := tag("1", transfer.Changed, nil)
	elsewhere.Target = target + "/team-app:1"
	unlisted := transfer.Result{Repository: "team/app", Outcome: transfer.Failed, Err: errors.New("throttled")}
	share := about
	share.Partial = true
	stopped := errors.New("out of time")
	changed := transfer.DigestChange{Source: source, Root: source, Pushed: pushed}
	for _, test := range []struct {
		name    string
		earlier transfer.Result
		about   About
		cause   error
		results []transfer.Result
		known   transfer.DigestChange // after the second run
		carried bool                  // outside its own results
	}{
		{"the same again", tag("1", transfer.Changed, nil), about, nil, []transfer.Result{tag("1", transfer.Changed, nil)}, changed, false},
		{"one platform again", reduced, about, nil, []transfer.Result{reduced}, transfer.DigestChange{Source: source, Root: child, Pushed: pushed}, false},
		{"not started", tag("1", transfer.Changed, nil), about, stopped, []transfer.Result{tag("1", transfer.NotStarted, stopped)}, changed, true},
		{"failed", tag("1", transfer.Changed, nil), about, nil, []transfer.Result{tag("1", transfer.Failed, stopped)}, changed, true},
		{"refused", tag("1", transfer.Changed, nil), about, nil, []transfer.Result{tag("1", transfer.Refused, stopped)}, changed, true},
		{"not listed yet", tag("1", transfer.Changed, nil), about, stopped, nil, changed, true},
		{"not listed any more", tag("1", transfer.Changed, nil), about, nil, nil, transfer.DigestChange{}, false},
		{"in a repository that could not be listed", tag("1", transfer.Changed, nil), about, nil, []transfer.Result{unlisted}, changed, true},
		{"of another job's share", tag("1", transfer.Changed, nil), share, nil, nil, changed, true},
		{"at another reference", elsewhere, about, nil, []transfer.Result{tag("1", transfer.Exact, nil)}, transfer.DigestChange{}, true},
		{"exact now", tag("1", transfer.Changed, nil), about, nil, []transfer.Result{tag("1", transfer.Exact, nil)}, transfer.DigestChange{}, false},
		{"never changed", tag("1", transfer.Exact, nil), about, stopped, nil, transfer.DigestChange{}, false},
		{"one platform, unchanged", asItIs, about, stopped, nil, transfer.DigestChange{}, false},
		{"never arrived", tag("1", transfer.Failed, stopped), about, stopped, nil, transfer.DigestChange{}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			runWith(t, dir, about, nil, test.earlier)
			second := runWith(t, dir, test.about, test.cause, test.results...)
			if carried := len(second.EarlierPairs) > 0; carried != test.carried {
				t.Errorf("carried %+v", second.EarlierPairs)
			}
			third, _ := openIn(t, dir, about)
			defer func() { _ = third.Close(nil) }()
			if got, ok := third.Known("team/app", target+"/team/app:1"); got != test.known || ok != (test.known != transfer.DigestChange{}) {
				t.Errorf("known %+v, want %+v", got, test.known)
			}
			if _, ok := third.Known("other", target+"/team/app:1"); ok {
				t.Error("known for another repository")
			}
		})
	}
}

// A run that is killed preserves what earlier runs recorded, from the start.
func TestRecordKilled(t *testing.T) {
	dir := t.TempDir()
	runWith(t, dir, about, nil, tag("1", transfer.Changed, nil))
	writeFile(t, filepath.Join(dir, "report.json.123.tmp"), "{")
	writeFile(t, filepath.Join(dir, "other.tmp"), "")
	_, said := openIn(t, dir, about) // and never closed
	if !strings.Contains(said, "1 tags that earlier runs migrated") {
		t.Errorf("it says %q", said)
	}
	d := reportIn(t, dir)
	if len(d.EarlierPairs) != 1 || d.Finished || !d.Ended.IsZero() || d.Error != "" {
		t.Errorf("%+v", d)
	}
	if names := namesIn(t, dir); !slices.Equal(names, []string{"other.tmp", fileName}) {
		t.Errorf("the folder has %q", names)
	}
}

func TestRecordOfAnEarlierRunUnusable(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(t *testing.T, name string)
		says string
	}{
		{"empty", func(t *testing.T, name string) { writeFile(t, name, "") }, "unexpected end of JSON"},
		{"torn", func(t *testing.T, name string) { writeFile(t, name, `{"version": 1, "tags": [{"repo`) }, "unexpected end of JSON"},
		{"two of them", func(t *testing.T, name string) { writeFile(t, name, `{"version": 1}{"version": 1}`) }, "invalid character"},
		{"not an object", func(t *testing.T, name string) { writeFile(t, name, `[]`) }, "cannot unmarshal array"},
		{"of another program", func(t *testing.T, name string) { writeFile(t, name, `{"tags": []}`) }, "version 0 of the schema"},
		{"of a later version", func(t *testing.T, name string) { writeFile(t, name, `{"version": 2}`) }, "version 2 of the schema"},
		{"too large", func(t *testing.T, name string) {
			writeFile(t, name, "")
			if err := os.Truncate(name, maxDocument+1); err != nil { // sparse: takes no disk space
				t.Fatal(err)
			}
		}, "larger than 256 MiB"},
		{"a folder", func(t *testing.T, name string) {
			if err := os.Mkdir(name, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "not a regular file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			name := filepath.Join(dir, fileName)
			for _, aside := range []string{"report.json.unreadable", "report.json.unreadable.2"} {
				_ = os.Remove(name)
				test.make(t, name)
				was, err := os.Lstat(name)
				if err != nil {
					t.Fatal(err)
				}
				r, said := openIn(t, dir, about)
				if !strings.Contains(said, test.says) || !strings.Contains(said, aside+": ") {
					t.Errorf("it says %q", said)
				}
				if err := r.Close(nil); err != nil {
					t.Error(err)
				}
				if is, err := os.Lstat(filepath.Join(dir, aside)); err != nil || !os.SameFile(is, was) {
					t.Errorf("not kept as %s: %v", aside, err)
				}
				reportIn(t, dir)
			}
		})
	}
}

// An incomplete pair does not make a tag count as present.
func TestRecordIgnoresInvalidDigests(t *testing.T) {
	dir := t.TempDir()
	good := fmt.Sprintf(`"sourceDigest": %q, "pushedDigest": %q`, source, pushed)
	writeFile(t, filepath.Join(dir, fileName), `{"version": 1, "tags": [
		{"repository": "r", "tag": "1", "reference": "a"},
		{"repository": "r", "tag": "1", "reference": "b", "sourceDigest": "sha256:1", "pushedDigest": "sha256:2"},
		{"repository": "r", "tag": "1", "reference": "c", "outcome": "failed", `+good+`},
		{"repository": "r", "tag": "1", "reference": "d", "platformDigest": "x", `+good+`},
		{"repository": "r", "tag": "1", "reference": "e", "outcome": "changed", `+good+`}
	]}`)
	r, _ := openIn(t, dir, about)
	defer func() { _ = r.Close(nil) }()
	for reference, want := range map[string]bool{"a": false, "b": false, "c": false, "d": false, "e": true} {
		if _, ok := r.Known("r", reference); ok != want {
			t.Errorf("%s: %t", reference, ok)
		}
	}
}

// A folder that cannot hold the report is detected before anything else happens.
func TestRecordFolder(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	writeFile(t, file, "")
	for name, says := range map[string]string{
		file:                        "not a directory",
		filepath.Join(file, "sub"):  "not a directory",
		"/proc":                     "report.json cannot be written: ", // not writable even for root
		filepath.Join(dir, "a\x00"): "invalid argument",
	} {
		if _, err := Open(name, about, nil, t.Logf); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: error %v, want %q", name, err, says)
		}
	}
	runWith(t, filepath.Join(dir, "new", "folder"), about, nil)
}

func TestNoRecord(t *testing.T) {
	r, err := Open("", about, nil, nil)
	if r != nil || err != nil {
		t.Fatal(r, err)
	}
	r.Observe(migrate.Finished{})
	if _, ok := r.Known("", ""); ok {
		t.Error("known")
	}
	if err := r.Close(errors.New("no")); err != nil {
		t.Error(err)
	}
}

// slowDisk takes a while for each report, on the clock of a synctest bubble.
type slowDisk struct {
	takes time.Duration

	mu       sync.Mutex
	began    []time.Time
	reported []int // tags, by report
	err      error
}

func (s *slowDisk) save(d Document) error {
	s.mu.Lock()
	s.began, s.reported = append(s.began, time.Now()), append(s.reported, len(d.Tags))
	s.mu.Unlock()
	time.Sleep(s.takes)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// writes returns when each write started, and the number of tags in the last one.
func (s *slowDisk) writes() (began []time.Time, tags int) {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.began), s.reported[len(s.reported)-1]
}

func (s *slowDisk) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func startRecord(disk *slowDisk) *Record {
	r := newRecord(about, Document{}, disk.save)
	go r.keepWriting()
	return r
}

// Writing takes at most a twentieth of the time, does not block copying, and never lags far behind.
func TestRecordPauses(t *testing.T) {
	const tags, apart = 500, 200 * time.Millisecond
	for _, takes := range []time.Duration{0, time.Millisecond, 100 * time.Millisecond, 3 * time.Second, time.Minute} {
		synctestRun(t, takes.String(), func(t *testing.T) {
			disk := &slowDisk{takes: takes}
			r := startRecord(disk)
			start := time.Now()
			for i := range tags {
				r.Observe(migrate.Finished{Result: tag(fmt.Sprint(i), transfer.Exact, nil)})
				if began, _ := disk.writes(); i == 0 && !slices.Equal(began, []time.Time{start}) {
					t.Errorf("the first result is written at %s", began)
				}
				time.Sleep(apart)
			}
			if took := time.Since(start); took != tags*apart {
				t.Errorf("Observe has waited for %s", took-tags*apart)
			}
			pause := max(20*takes, minPause)
			time.Sleep(2 * (takes + pause))
			began, reported := disk.writes()
			if reported != tags {
				t.Errorf("%d of %d tags reported in the end", reported, tags)
			}
			for i := range len(began) - 1 {
				if got := began[i+1].Sub(began[i]) - takes; got < pause || got > pause+apart {
					t.Errorf("report %d after %s", i+1, got)
				}
			}
			time.Sleep(time.Hour)
			if again, _ := disk.writes(); len(again) != len(began) {
				t.Error("written where nothing has changed")
			}
			if err := r.Close(nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// Close does not wait for a pause, and its report is complete.
func TestRecordClosesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &slowDisk{takes: time.Minute}
		r := startRecord(disk)
		r.Observe(migrate.Finished{Result: tag("1", transfer.Exact, nil)})
		time.Sleep(2 * time.Minute)
		r.Observe(migrate.Finished{Result: tag("2", transfer.Exact, nil)})
		began := time.Now()
		if err := r.Close(nil); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != disk.takes {
			t.Errorf("closed after %s", took)
		}
		if !slices.Equal(disk.reported, []int{1, 2}) {
			t.Errorf("reported %d", disk.reported)
		}
	})
}

// Only a failure of the final write is an error.
func TestRecordCloseTells(t *testing.T) {
	full := errors.New("no space left on device")
	for _, test := range []struct {
		name        string
		first, last error
	}{{"all well", nil, nil}, {"once", full, nil}, {"at the end", nil, full}, {"always", full, full}} {
		synctestRun(t, test.name, func(t *testing.T) {
			disk := &slowDisk{err: test.first}
			r := startRecord(disk)
			r.Observe(migrate.Finished{Result: tag("1", transfer.Exact, nil)})
			disk.writes()
			disk.fail(test.last)
			if err := r.Close(nil); !errors.Is(err, test.last) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func synctestRun(t *testing.T, name string, test func(*testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

// A reader of the file always sees a complete report.
func TestReplaceFileIsNeverTorn(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	version := func(n int) string { return strings.Repeat(fmt.Sprintf("%06d", n), 1000+n) }
	writeFile(t, name, version(0))
	written := make(chan error)
	go func() {
		for n := range 300 {
			if err := replaceFile(name, func(w io.Writer) error {
				for part := range slices.Chunk([]byte(version(n)), 1024) {
					if _, err := w.Write(part); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				written <- err
			}
		}
		close(written)
	}()
	for {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Error(err)
			break
		}
		var n int
		if _, err := fmt.Sscanf(string(text[:min(6, len(text))]), "%d", &n); err != nil || string(text) != version(n) {
			t.Errorf("torn after %d bytes: %v", len(text), err)
			break
		}
		select {
		case err, failed := <-written:
			if failed {
				t.Error(err)
			}
			return
		default:
		}
	}
	for range written { // let it finish before its folder is removed
	}
}

// A failed write keeps the old file, and leaves no other file behind.
func TestReplaceFileFails(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	writeFile(t, name, "old")
	full := errors.New("no space left on device")
	err := replaceFile(name, func(w io.Writer) error {
		_, _ = w.Write([]byte("ne"))
		return full
	})
	text, readErr := os.ReadFile(name)
	if !errors.Is(err, full) || string(text) != "old" || readErr != nil {
		t.Errorf("error %v; the file has %q, %v", err, text, readErr)
	}
	if names := namesIn(t, dir); !slices.Equal(names, []string{"file"}) {
		t.Errorf("the folder has %q", names)
	}
}

// Names and causes come from registries: whatever they contain, the report is valid JSON and plain text, and can be
// read again.
func TestRecordHostileNames(t *testing.T) {
	hostile := "\x1b[0Ksection_end:1:x\r\"\\},{ %s \u202e \u009b \x00\xff" + strings.Repeat("x", 1<<16)
	dir := t.TempDir()
	ofTag := transfer.Result{Repository: hostile, Tag: hostile, Target: hostile, Pushed: pushed, Outcome: transfer.Changed}
	sourced, rooted, referring := ofTag, ofTag, ofTag
	sourced.Source = digest.Digest(hostile)
	rooted.Source, rooted.Root = source, digest.Digest(hostile)
	referring.Referrers, referring.Subject, referring.Outcome, referring.Err = 1, digest.Digest(hostile), transfer.Refused, errors.New(hostile)
	runWith(t, dir, About{Program: hostile, Target: hostile}, errors.New(hostile), sourced, rooted, referring,
		transfer.Result{Repository: hostile, Outcome: transfer.Failed, Err: stepError(transfer.Step(hostile), hostile, hostile, hostile)},
	)
	text, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil || !json.Valid(text) {
		t.Fatal(err)
	}
	for i, r := range string(text) {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Fatalf("%q at %d", r, i)
		}
	}
	d := reportIn(t, dir)
	if len(d.Tags) != 2 || len(d.Referrers) != 1 || len(d.Repositories) != 1 || d.Tags[0].Repository != redact.Printable(hostile) {
		t.Errorf("%d tags, %d referrers, %d repositories", len(d.Tags), len(d.Referrers), len(d.Repositories))
	}
	r, _ := openIn(t, dir, about)
	if len(r.known) != 0 {
		t.Error("a pair of it is known")
	}
	_ = r.Close(nil)
}
