package record

import (
	"math"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// History is what people want to know besides the results: what the run was about, what each worker did when, and of
// what the images consist.
type History struct {
	Began  time.Time
	Lasted time.Duration
	Chosen *migrate.Chosen // nil: everything
	Shared *migrate.Shared // nil: no other job has a share
	Empty  []string        // repositories without a tag
	Plan   migrate.Planned
	Lanes  []lane
	Spans  []Span

	Verification bool // the run compares, and copies nothing
	PulledBack   int  // tags
}

// lane is one of the workers that pull, or of those that push. The step is empty for copies that were made alone.
type lane struct {
	Step   transfer.Step
	Worker int
}

// Span is what a worker did with one image. A large account has a hundred thousand of them.
type Span struct {
	Image         ImageKey
	Bytes         int64
	Began, Lasted int32 // in milliseconds, which are enough for three weeks
	Lane          int16
	Well          bool
}

// ImageKey names a digest of a repository.
type ImageKey struct {
	repository string
	digest     digest.Digest
}

// KeyOf names the image of an entry.
func KeyOf(e Entry) ImageKey { return ImageKey{e.Repository, e.SourceDigest} }

// observe notes what an event says of the run as a whole.
func (h *History) observe(event migrate.Event) {
	switch e := event.(type) {
	case migrate.Chosen:
		e.Unmatched = slices.Clone(e.Unmatched)
		for i, u := range e.Unmatched {
			e.Unmatched[i].Pattern = redact.Printable(u.Pattern)
		}
		h.Chosen = &e
	case migrate.Listed:
		for _, name := range e.Empty {
			h.Empty = append(h.Empty, redact.Printable(name))
		}
	case migrate.Shared:
		h.Shared = &e
	case migrate.Planned:
		h.planned(e)
	case migrate.Comparing:
		h.Verification = true
	case migrate.PulledBack:
		h.PulledBack++
	}
}

// planned keeps the plan with printable names, and without the results in it, which come again.
func (h *History) planned(e migrate.Planned) {
	e.Refused = nil
	e.Contents, e.MostShared = slices.Clone(e.Contents), slices.Clone(e.MostShared)
	for i := range e.Contents {
		e.Contents[i].Repository = redact.Printable(e.Contents[i].Repository)
	}
	for i := range e.MostShared {
		e.MostShared[i].Repository = redact.Printable(e.MostShared[i].Repository)
		e.MostShared[i].Digest = printableDigest(e.MostShared[i].Digest)
	}
	h.Plan = e
}

// worked notes what a worker has just ended.
func (h *History) worked(e migrate.Worked, ended time.Time) {
	at := slices.Index(h.Lanes, lane{e.Step, e.Worker})
	if at < 0 {
		at = len(h.Lanes)
		h.Lanes = append(h.Lanes, lane{e.Step, e.Worker})
	}
	began := h.since(e.Began)
	h.Spans = append(h.Spans, Span{
		Image: ImageKey{e.Image.Repository.Name, e.Image.Digest}, Bytes: e.Bytes, Began: began, Lasted: h.since(ended) - began,
		Lane: int16(at), Well: e.Well,
	})
}

// since is the moment in milliseconds from the beginning of the run.
func (h *History) since(moment time.Time) int32 {
	return int32(min(max(0, moment.Sub(h.Began).Milliseconds()), math.MaxInt32))
}

// Moved is what was pulled from the source and pushed to the target, in bytes.
func (h *History) Moved() (pulled, pushed int64) {
	for _, s := range h.Spans {
		step := h.Lanes[s.Lane].Step
		if step != transfer.StepPush {
			pulled += s.Bytes
		}
		if step != transfer.StepPull {
			pushed += s.Bytes
		}
	}
	return pulled, pushed
}

// Took is how long the workers were busy with each image.
func (h *History) Took() map[ImageKey]time.Duration {
	took := map[ImageKey]time.Duration{}
	for _, s := range h.Spans {
		took[s.Image] += time.Duration(s.Lasted) * time.Millisecond
	}
	return took
}
