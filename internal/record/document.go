package record

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"unique"

	"github.com/dustin/go-humanize"
	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// documentVersion is the version of report.json's schema, which docs/reports.md describes. Other versions are not read.
const documentVersion = 1

// maxDocument is the maximum size of an earlier run's report.json, in bytes: enough for half a million tags.
const maxDocument = 256 << 20

// Document is report.json.
type Document struct {
	header
	Tags         []Entry `json:"tags"`         // that have a result in this run
	Referrers    []Entry `json:"referrers"`    // of images, by subject
	Repositories []Entry `json:"repositories"` // that could not be listed
	EarlierPairs []Entry `json:"earlierPairs"` // of tags that this run did not copy: neither an outcome nor a failure
}

// header describes the run as a whole.
type header struct {
	Version  int                      `json:"version"`
	Program  string                   `json:"program"` // with its version
	Started  time.Time                `json:"started"`
	Ended    time.Time                `json:"ended,omitzero"`
	Finished bool                     `json:"finished"`        // every tag was processed
	Error    string                   `json:"error,omitempty"` // why the run ended before that
	Target   string                   `json:"target"`          // CI_REGISTRY_IMAGE
	Store    image.Store              `json:"store,omitempty"` // of the engine, once there is a plan
	Counts   map[transfer.Outcome]int `json:"counts"`          // of the tags
}

// Entry describes one tag, the referrers of one image, or a repository. Its text is printable.
type Entry struct {
	Repository     string           `json:"repository"`
	Tag            string           `json:"tag,omitempty"`
	Subject        digest.Digest    `json:"subject,omitempty"`
	Referrers      int              `json:"referrers,omitempty"`
	Outcome        transfer.Outcome `json:"outcome,omitempty"`
	SourceDigest   digest.Digest    `json:"sourceDigest,omitempty"`
	PlatformDigest digest.Digest    `json:"platformDigest,omitempty"` // of what was copied in place of an index
	Reference      string           `json:"reference,omitempty"`      // at the target
	PushedDigest   digest.Digest    `json:"pushedDigest,omitempty"`   // as reported by the target
	ReplacedDigest digest.Digest    `json:"replacedDigest,omitempty"` // as reported by the target before the push
	Step           transfer.Step    `json:"step,omitempty"`
	Error          string           `json:"error,omitempty"`
	Remedy         string           `json:"remedy,omitempty"`

	// For pages only.
	SourceURI string `json:"-"` // of the repository
	Cause     string `json:"-"` // the error without the reference, so that equal causes compare equal
	Bytes     int64  `json:"-"`
	At        int32  `json:"-"` // when the result was recorded, in milliseconds since the start of the run
}

// Printable returns text from outside in printable form, without secrets.
func (a About) Printable(text string) string {
	if a.Redact != nil {
		text = a.Redact(text)
	}
	return redact.Printable(text)
}

// Entry returns the result as report.json has it.
func (a About) Entry(r transfer.Result) Entry {
	e := Entry{
		Repository:   redact.Printable(r.Repository),
		Tag:          redact.Printable(r.Tag),
		Subject:      printableDigest(r.Subject),
		Referrers:    r.Referrers,
		Outcome:      r.Outcome,
		SourceDigest: printableDigest(r.Source),
		Reference:    redact.Printable(r.Target),
		PushedDigest: printableDigest(r.Pushed), ReplacedDigest: printableDigest(r.Replaced),
		SourceURI: unique.Make(redact.Printable(r.SourceURI)).Value(), Bytes: r.Bytes,
	}
	if r.Root != r.Source {
		e.PlatformDigest = printableDigest(r.Root)
	}
	if r.Err != nil {
		e.Error = a.Printable(r.Err.Error())
		e.Cause = unique.Make(a.Printable(transfer.Cause(r.Err))).Value()
	}
	var step *transfer.StepError
	if errors.As(r.Err, &step) {
		e.Step, e.Remedy = transfer.Step(redact.Printable(string(step.Step))), a.Printable(step.Remedy)
	}
	return e
}

func printableDigest(d digest.Digest) digest.Digest {
	return digest.Digest(redact.Printable(string(d)))
}

// pair returns the digests of a tag whose manifest at the target differs from the one that was copied.
func (e Entry) pair() (transfer.DigestChange, bool) {
	pair := transfer.DigestChange{Source: e.SourceDigest, Root: cmp.Or(e.PlatformDigest, e.SourceDigest), Pushed: e.PushedDigest}
	for _, d := range []digest.Digest{pair.Source, pair.Root, pair.Pushed} {
		if d.Validate() != nil {
			return transfer.DigestChange{}, false
		}
	}
	return pair, e.Outcome.Arrived() && pair.Pushed != pair.Root
}

// add adds an entry to its list.
func (d *Document) add(e Entry) {
	switch {
	case e.Referrers > 0:
		d.Referrers = append(d.Referrers, e)
	case e.Tag == "":
		d.Repositories = append(d.Repositories, e)
	default:
		d.Tags = append(d.Tags, e)
		d.Counts[e.Outcome]++
	}
}

// compareEntries sorts lists independently of the order in which copies finished.
func compareEntries(a, b Entry) int {
	return cmp.Or(
		cmp.Compare(a.Repository, b.Repository),
		cmp.Compare(a.Tag, b.Tag),
		cmp.Compare(a.Reference, b.Reference),
		cmp.Compare(a.SourceDigest, b.SourceDigest),
	)
}

// write writes the document with one entry per line, for diff and grep. It never holds the whole JSON in memory.
func (d Document) write(w io.Writer) error {
	head, err := marshal(d.header, "  ")
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w) // keeps its first error for Flush
	_, _ = out.Write(bytes.TrimSuffix(head, []byte("\n}")))
	for _, list := range []struct {
		name    string
		entries []Entry
	}{{"tags", d.Tags}, {"referrers", d.Referrers}, {"repositories", d.Repositories}, {"earlierPairs", d.EarlierPairs}} {
		_, _ = fmt.Fprintf(out, ",\n  %q: [", list.name)
		if err := writeLines(out, list.entries); err != nil {
			return err
		}
	}
	_, _ = out.WriteString("\n}\n")
	return out.Flush()
}

// writeLines writes the elements of a list and the closing bracket.
func writeLines(out *bufio.Writer, entries []Entry) error {
	separator, end := "\n    ", "]"
	for _, e := range entries {
		line, err := marshal(e, "")
		if err != nil {
			return err
		}
		_, _ = out.WriteString(separator)
		_, _ = out.Write(line)
		separator, end = ",\n    ", "\n  ]"
	}
	_, err := out.WriteString(end)
	return err
}

// marshal does not escape < and >: errors contain them, and the file is not HTML.
func marshal(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// readDocument reads a report.json. Its error is fs.ErrNotExist if there is none.
func readDocument(path string) (Document, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return Document{}, err
	case !info.Mode().IsRegular():
		return Document{}, errors.New("it is not a regular file")
	case info.Size() > maxDocument:
		return Document{}, fmt.Errorf("it is larger than %s", humanize.IBytes(maxDocument))
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return Document{}, err
	}
	var d Document
	if err := json.Unmarshal(data, &d); err != nil {
		return Document{}, err
	}
	if d.Version != documentVersion {
		return Document{}, fmt.Errorf("it has version %d of the schema, and this program knows version %d", d.Version, documentVersion)
	}
	return d, nil
}
