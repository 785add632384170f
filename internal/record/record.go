// Package record maintains report.json: it reads what earlier runs left, and writes the results of this one.
package record

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// fileName is updated during a run, because a later run reads it.
const fileName = "report.json"

// Page is a human-readable file that is written from the record at the end of a run.
type Page struct {
	Name  string
	Write func(w io.Writer, d Document, h *History) error
}

// The report of a large account takes a while to write. The pause after each write is pauseFactor times as long, and at
// least minPause, because the engine may share the disk that has to be synced.
const (
	pauseFactor = 20
	minPause    = 500 * time.Millisecond
)

// About describes the run to its record.
type About struct {
	Program string // with its version
	Target  string // CI_REGISTRY_IMAGE
	Partial bool   // the run covers only some of the tags: a tag without a result may still exist
	// Redact removes secrets from text that comes from outside; nil: nothing is removed.
	Redact func(text string) string
	Now    func() time.Time // nil: time.Now
}

// Record keeps report.json up to date during a migration, and knows what earlier runs recorded. At the end it also
// writes the pages. The nil Record does nothing. Its methods may be called concurrently, except Close, which must be
// called last.
type Record struct {
	about About
	dir   string // of the pages; empty: no pages are written
	pages []Page
	save  func(Document) error
	known map[place]Entry // from earlier runs; never changed
	// earlier lists all tags that earlier runs copied, for a verification.
	earlier []migrate.Earlier

	mu      sync.Mutex
	header  header
	results []Entry // append-only
	history History

	changed chan struct{} // holds a value while there is something to write
	closing chan struct{}
	stopped chan struct{}
}

// place identifies a tag's pair: the same reference may also be the target of another repository's tag.
type place struct{ repository, reference string }

// Open reads the report.json that an earlier run left in the directory, and writes one without results. A missing
// directory is created. A report.json that cannot be read is kept under another name. The earlier run's pages are removed, so
// that they are not mistaken for those of this run if it is killed. If dir is empty, Open returns the nil Record.
// notice receives messages for the log. The error says what is wrong with the directory.
func Open(dir string, about About, pages []Page, notice func(format string, args ...any)) (*Record, error) {
	if dir == "" {
		return nil, nil
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	name := filepath.Join(dir, fileName)
	removeUnfinished(name)
	for _, page := range pages {
		removeUnfinished(filepath.Join(dir, page.Name))
	}
	earlier, err := readEarlier(name, notice)
	if err != nil {
		return nil, err
	}
	r := newRecord(about, earlier, func(d Document) error { return replaceFile(name, d.write) })
	if len(r.known) > 0 {
		notice("Report: %d tags that earlier runs migrated have a digest other than ECR's (%s)", len(r.known), name)
	}
	if err := r.save(r.document()); err != nil {
		return nil, fmt.Errorf("report.json cannot be written: %w", err)
	}
	r.dir, r.pages = dir, pages
	for _, page := range pages {
		_ = os.Remove(filepath.Join(dir, page.Name)) // Close reports a page that cannot be replaced
	}
	go r.keepWriting()
	return r, nil
}

// readEarlier reads what an earlier run left, and moves it out of the way if it cannot be read.
func readEarlier(name string, notice func(format string, args ...any)) (Document, error) {
	earlier, err := readDocument(name)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return earlier, nil
	}
	aside, moveErr := keepAside(name)
	if moveErr != nil {
		return Document{}, fmt.Errorf("its report.json cannot be used (%w), nor moved: %w", err, moveErr)
	}
	notice("Report: the %s of an earlier run is not used, and kept as %s: %v", name, filepath.Base(aside), err)
	return Document{}, nil
}

// keepAside renames a file to a name that is not in use.
func keepAside(name string) (aside string, err error) {
	aside = name + ".unreadable"
	for n := 2; ; n++ {
		if _, err := os.Lstat(aside); err != nil {
			return aside, os.Rename(name, aside)
		}
		aside = fmt.Sprintf("%s.unreadable.%d", name, n)
	}
}

func newRecord(about About, earlier Document, save func(Document) error) *Record {
	began := about.now()
	r := &Record{
		about: about, save: save, known: map[place]Entry{},
		header: header{
			Version: documentVersion, Program: redact.Printable(about.Program), Started: asWritten(began), Target: redact.Printable(about.Target),
		},
		history: History{Began: began},
		changed: make(chan struct{}, 1), closing: make(chan struct{}), stopped: make(chan struct{}),
	}
	for _, e := range slices.Concat(earlier.EarlierPairs, earlier.Tags) { // later entries replace earlier ones
		r.remember(e)
	}
	return r
}

// remember adds what an earlier run recorded of a tag.
func (r *Record) remember(e Entry) {
	if e.Outcome.Arrived() && e.SourceDigest.Validate() == nil {
		r.earlier = append(r.earlier, migrate.Earlier{
			Repository: e.Repository, Tag: e.Tag, Target: e.Reference, Source: e.SourceDigest, Pushed: e.PushedDigest,
		})
	}
	if _, ok := e.pair(); ok {
		r.known[place{e.Repository, e.Reference}] = Entry{
			Repository: e.Repository, Tag: e.Tag, Reference: e.Reference,
			SourceDigest: e.SourceDigest, PlatformDigest: e.PlatformDigest, PushedDigest: e.PushedDigest,
		}
	}
}

func (a About) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}

// asWritten returns the time in the precision of report.json.
func asWritten(moment time.Time) time.Time { return moment.UTC().Truncate(time.Second) }

// Known returns the source and pushed digests of a tag that an earlier run pushed to the reference, if they differ.
func (r *Record) Known(repository, reference string) (transfer.DigestChange, bool) {
	if r == nil {
		return transfer.DigestChange{}, false
	}
	return r.known[place{repository, reference}].pair()
}

// Earlier returns the tags that earlier runs copied.
func (r *Record) Earlier() []migrate.Earlier {
	if r == nil {
		return nil
	}
	return r.earlier
}

// ReadKnown is like Record.Known, for a directory that is not written to.
func ReadKnown(dir string, notice func(format string, args ...any)) func(repository, reference string) (transfer.DigestChange, bool) {
	name := filepath.Join(dir, fileName)
	earlier, err := readDocument(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		notice("Report: the %s of an earlier run is not used: %v", name, err)
	}
	return newRecord(About{}, earlier, nil).Known
}

// Observe records the event, and schedules a write. It does not wait for the disk.
func (r *Record) Observe(event migrate.Event) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.observe(event)
	switch e := event.(type) {
	case migrate.Planned:
		r.header.Store = e.Store
	case migrate.Comparing:
		r.header.Store = e.Store
	case migrate.Worked:
		r.history.worked(e, r.about.now())
		return
	case migrate.Finished:
		result := r.about.Entry(e.Result)
		result.At = r.history.since(r.about.now())
		r.results = append(r.results, result)
	default:
		return
	}
	r.wake()
}

// wake has keepWriting write once more.
func (r *Record) wake() {
	select {
	case r.changed <- struct{}{}:
	default: // the pending write will include this event
	}
}

// keepWriting writes changes. A failed write matters only if the last one fails, too, which Close reports.
func (r *Record) keepWriting() {
	defer close(r.stopped)
	for {
		select {
		case <-r.changed:
		case <-r.closing:
			return
		}
		began := time.Now()
		_ = r.save(r.document())
		select {
		case <-time.After(max(minPause, pauseFactor*time.Since(began))):
		case <-r.closing:
			return
		}
	}
}

// Close writes all files of the report. The cause is the error that ended the run early, or nil. The returned error
// names the files that do not have the results of this run.
func (r *Record) Close(cause error) error {
	if r == nil {
		return nil
	}
	close(r.closing)
	<-r.stopped
	r.end(cause)
	d := r.document()
	var failures []error
	if err := r.save(d); err != nil {
		failures = append(failures, fmt.Errorf("report.json cannot be written, and is as it was before: %w", err))
	}
	return errors.Join(append(failures, r.writePages(d)...)...)
}

// end records when and why the run ended.
func (r *Record) end(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ended := r.about.now()
	r.header.Ended, r.header.Finished = asWritten(ended), cause == nil
	r.history.Lasted = ended.Sub(r.history.Began)
	if cause != nil {
		r.header.Error = r.about.Printable(cause.Error())
	}
}

// writePages writes the files that are not needed before the end of the run.
func (r *Record) writePages(d Document) (failures []error) {
	for _, page := range r.pages {
		write := func(w io.Writer) error { return page.Write(w, d, &r.history) }
		if err := replaceFile(filepath.Join(r.dir, page.Name), write); err != nil {
			failures = append(failures, fmt.Errorf("%s cannot be written: %w", page.Name, err))
		}
	}
	return failures
}

// document returns the report in its current state.
func (r *Record) document() Document {
	r.mu.Lock()
	d, results := Document{header: r.header}, r.results
	r.mu.Unlock()
	d.Counts = map[transfer.Outcome]int{}
	for _, outcome := range transfer.Outcomes {
		d.Counts[outcome] = 0
	}
	for _, e := range results {
		d.add(e)
	}
	d.EarlierPairs = r.carried(d)
	for _, list := range [][]Entry{d.Tags, d.Referrers, d.Repositories, d.EarlierPairs} {
		slices.SortFunc(list, compareEntries)
	}
	return d
}

// carried returns the pairs of earlier runs that the document's tags neither confirm nor replace. Pairs of tags that
// are no longer in ECR are dropped by the first run that finishes: until then, they are not known to be gone.
func (r *Record) carried(d Document) []Entry {
	arrived, listed, unlisted := map[place]bool{}, map[[2]string]bool{}, map[string]bool{}
	for _, e := range d.Tags {
		arrived[place{e.Repository, e.Reference}] = e.Outcome.Arrived()
		listed[[2]string{e.Repository, e.Tag}] = true
	}
	for _, e := range d.Repositories {
		unlisted[e.Repository] = true
	}
	var carried []Entry
	for at, e := range r.known {
		gone := d.Finished && !r.about.Partial && !unlisted[e.Repository] && !listed[[2]string{e.Repository, e.Tag}]
		if !arrived[at] && !gone {
			carried = append(carried, e)
		}
	}
	return carried
}
