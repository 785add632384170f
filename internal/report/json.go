package report

import (
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/record"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// formatVersion is the version of both JSON formats, which docs/reports.md describes.
const formatVersion = 1

// planJSON is the output of plan --format json.
type planJSON struct {
	Version int         `json:"version"`
	Program string      `json:"program"` // with its version
	Target  string      `json:"target"`  // CI_REGISTRY_IMAGE
	Store   image.Store `json:"store"`   // of the engine

	ListedTags         int `json:"listedTags"`
	ListedImages       int `json:"listedImages"`
	ListedRepositories int `json:"listedRepositories"`
	PresentTags        int `json:"presentTags"`
	PendingTags        int `json:"pendingTags"`
	PendingImages      int `json:"pendingImages"`
	ReplacedTags       int `json:"replacedTags"`
	PendingReferrers   int `json:"pendingReferrers"`
	LeftReferrers      int `json:"leftReferrers"`
	ManifestsRead      int `json:"manifestsRead"`

	Blobs         int    `json:"blobs"`
	FetchedBytes  int64  `json:"fetchedBytes"`
	UnsharedBytes int64  `json:"unsharedBytes"`
	AddedBytes    int64  `json:"addedBytes"`
	LargestImage  string `json:"largestImage,omitempty"`
	LargestBytes  int64  `json:"largestBytes"`
	DiskBytes     int64  `json:"diskBytes"`

	BytesPerSecond int64         `json:"bytesPerSecond"`
	SecondsPerTag  float64       `json:"secondsPerTag"`
	Times          []jobTimeJSON `json:"times"`
	Within         *withinJSON   `json:"within,omitempty"` // nil: no time limit was given

	UnknownMediaTypes []unknownTypeJSON `json:"unknownMediaTypes"`
	Renamed           []renamingJSON    `json:"renamed"`
	Denied            []denialJSON      `json:"denied"`
	Buckets           []string          `json:"buckets"`
	Conflicts         []record.Entry    `json:"conflicts"`
	NotMigrated       []record.Entry    `json:"notMigrated"`
}

type jobTimeJSON struct {
	Jobs    int     `json:"jobs"`
	Seconds float64 `json:"seconds"`
}

type withinJSON struct {
	Seconds float64 `json:"seconds"`
	Jobs    int     `json:"jobs"` // 0: no number of jobs is enough
}

type unknownTypeJSON struct {
	MediaType string `json:"mediaType"`
	Tags      int    `json:"tags"`
	BoundTags int    `json:"boundTags"`
	Referrers int    `json:"referrers"`
}

type renamingJSON struct {
	Repository string `json:"repository"`
	Target     string `json:"target"`
}

type denialJSON struct {
	Action       string   `json:"action"`
	Repositories []string `json:"repositories"`
	Error        string   `json:"error"`
}

// verificationJSON is the output of verify --format json. Its lists are those of report.json, without exact copies.
type verificationJSON struct {
	Version      int                      `json:"version"`
	Program      string                   `json:"program"` // with its version
	Target       string                   `json:"target"`  // CI_REGISTRY_IMAGE
	Finished     bool                     `json:"finished"`
	Error        string                   `json:"error,omitempty"` // why the run ended early
	Counts       map[transfer.Outcome]int `json:"counts"`          // of the tags
	Pulled       int                      `json:"pulled"`
	Tags         []record.Entry           `json:"tags"`
	Referrers    []record.Entry           `json:"referrers"`
	Repositories []record.Entry           `json:"repositories"`
}

// WritePlan writes a forecast of the migration as JSON, given the bytes of the engine's disk that MIGRATE_DISK allows.
func WritePlan(w io.Writer, about record.About, o migrate.Forecast, disk int64) error {
	p := planJSON{
		Version: formatVersion, Program: about.Printable(about.Program), Target: about.Printable(about.Target), Store: o.Store,
		ListedTags: o.Listed.Tags, ListedImages: o.Listed.Images, ListedRepositories: o.Listed.Repositories,
		PresentTags: o.Present, PendingTags: o.Pending, PendingImages: o.Images, ReplacedTags: o.Replaced,
		PendingReferrers: o.Referrers, LeftReferrers: o.Left, ManifestsRead: o.Manifests,
		Blobs: o.Blobs, FetchedBytes: o.Fetched, UnsharedBytes: o.Unshared, AddedBytes: o.Added,
		LargestImage: about.Printable(o.Largest), LargestBytes: o.LargestBytes, DiskBytes: disk,
		BytesPerSecond: o.Pace.Bytes, SecondsPerTag: inSeconds(o.Pace.PerTag),
		Times: []jobTimeJSON{}, UnknownMediaTypes: []unknownTypeJSON{}, Renamed: []renamingJSON{}, Denied: []denialJSON{}, Buckets: printables(about, o.Buckets),
		Conflicts: entries(about, o.Conflicts), NotMigrated: entries(about, o.Results),
	}
	for _, t := range o.Times {
		p.Times = append(p.Times, jobTimeJSON{t.Jobs, inSeconds(t.Takes)})
	}
	if o.Pace.Within > 0 {
		p.Within = &withinJSON{inSeconds(o.Pace.Within), o.Enough}
	}
	for _, u := range o.Unknown {
		p.UnknownMediaTypes = append(p.UnknownMediaTypes, unknownTypeJSON{about.Printable(u.MediaType), u.Tags, u.Bound, u.Referrers})
	}
	for _, r := range o.Renamed {
		p.Renamed = append(p.Renamed, renamingJSON{about.Printable(r.Repository), about.Printable(r.Target)})
	}
	for _, d := range o.Denied {
		p.Denied = append(p.Denied, denialJSON{about.Printable(d.Action), printables(about, d.Repositories), about.Printable(d.Err.Error())})
	}
	return writeJSON(w, p)
}

// WriteVerification writes the result of comparing the tags as JSON. The cause is why not all of them were compared, or
// nil.
func WriteVerification(w io.Writer, about record.About, summary migrate.Summary, cause error) error {
	v := verificationJSON{
		Version: formatVersion, Program: about.Printable(about.Program), Target: about.Printable(about.Target),
		Finished: cause == nil, Counts: map[transfer.Outcome]int{}, Pulled: summary.Pulled,
	}
	if cause != nil {
		v.Error = about.Printable(cause.Error())
	}
	for _, outcome := range transfer.Outcomes {
		v.Counts[outcome] = 0
	}
	var tags, referrers, repositories []transfer.Result
	for _, r := range summary.Results {
		if r.Referrers == 0 && r.Tag != "" {
			v.Counts[r.Outcome]++
		}
		switch {
		case r.Outcome == transfer.Exact:
		case r.Referrers > 0:
			referrers = append(referrers, r)
		case r.Tag == "":
			repositories = append(repositories, r)
		default:
			tags = append(tags, r)
		}
	}
	v.Tags, v.Referrers, v.Repositories = entries(about, tags), entries(about, referrers), entries(about, repositories)
	return writeJSON(w, v)
}

// entries returns the results in the form and order of report.json, never null.
func entries(about record.About, results []transfer.Result) []record.Entry {
	all := make([]record.Entry, len(results))
	for i, r := range results {
		all[i] = about.Entry(r)
	}
	slices.SortStableFunc(all, func(a, b record.Entry) int {
		return cmp.Or(cmp.Compare(a.Repository, b.Repository), cmp.Compare(a.Tag, b.Tag), cmp.Compare(a.Reference, b.Reference))
	})
	return all
}

// printables returns the texts without secrets, never null.
func printables(about record.About, texts []string) []string {
	all := make([]string, len(texts))
	for i, text := range texts {
		all[i] = about.Printable(text)
	}
	return all
}

// inSeconds returns a duration in seconds, to the millisecond.
func inSeconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }

// writeJSON writes the whole document in one write, because a writer may look for secrets within each write. Like
// report.json, it does not escape < and >.
func writeJSON(w io.Writer, document any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(document)
}
