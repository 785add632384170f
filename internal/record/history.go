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

// History is what the pages show besides the results: the scope of the run, what each worker did and when, and what the
// images consist of.
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

// lane is one pull worker or one push worker. The step is empty for images that were copied alone.
type lane struct {
	Step   transfer.Step
	Worker int
}

// Span is the time that a worker spent on one image. A large account has a hundred thousand of them.
type Span struct {
	Image         ImageKey
	Bytes         int64
	Began, Lasted int32 // in milliseconds, which is enough for three weeks
	Lane          int16
	Well          bool
}

// ImageKey identifies a digest in a repository.
type ImageKey struct {
	repository string
	digest     digest.Digest
}

// KeyOf returns the key of an entry's image.
func KeyOf(e Entry) ImageKey { return ImageKey{e.Repository, e.SourceDigest} }

// observe records what an event says about the run as a whole.
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

// planned keeps the plan with printable names, and without its results, which are reported again.
func (h *History) planned(e migrate.Planned) {
	e.Refused = nil
	e.Contents = slices.Clone(e.Contents)
	for i := range e.Contents {
		e.Contents[i].Repository = redact.Printable(e.Contents[i].Repository)
	}
	h.Plan = e
}

// worked records what a worker has just finished.
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

// since returns the time since the start of the run, in milliseconds.
func (h *History) since(moment time.Time) int32 {
	return int32(min(max(0, moment.Sub(h.Began).Milliseconds()), math.MaxInt32))
}

// Moved returns the bytes that were pulled from the source and pushed to the target.
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

// Took returns how long the workers spent on each image.
func (h *History) Took() map[ImageKey]time.Duration {
	took := map[ImageKey]time.Duration{}
	for _, s := range h.Spans {
		took[s.Image] += time.Duration(s.Lasted) * time.Millisecond
	}
	return took
}
