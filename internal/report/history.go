package report

import (
	"math"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
)

// history is what people want to know besides the results: what the run was about, what each worker did when, and of
// what the images consist.
type history struct {
	began  time.Time
	lasted time.Duration
	chosen *migrate.Chosen // nil: everything
	shared *migrate.Shared // nil: no other job has a share
	empty  []string        // repositories without a tag
	plan   migrate.Planned
	lanes  []lane
	spans  []span

	verification bool // the run compares, and copies nothing
	pulledBack   int  // tags
}

// lane is one of the workers that pull, or of those that push. The step is empty for copies that were made alone.
type lane struct {
	step   migrate.Step
	worker int
}

// span is what a worker did with one image. A large account has a hundred thousand of them.
type span struct {
	image         imageKey
	bytes         int64
	began, lasted int32 // in milliseconds, which are enough for three weeks
	lane          int16
	well          bool
}

// imageKey names a digest of a repository.
type imageKey struct {
	repository string
	digest     digest.Digest
}

// observe notes what an event says of the run as a whole.
func (h *history) observe(event migrate.Event) {
	switch e := event.(type) {
	case migrate.Chosen:
		e.Unmatched = slices.Clone(e.Unmatched)
		for i, u := range e.Unmatched {
			e.Unmatched[i].Pattern = redact.Printable(u.Pattern)
		}
		h.chosen = &e
	case migrate.Listed:
		for _, name := range e.Empty {
			h.empty = append(h.empty, redact.Printable(name))
		}
	case migrate.Shared:
		h.shared = &e
	case migrate.Planned:
		h.planned(e)
	case migrate.Comparing:
		h.verification = true
	case migrate.PulledBack:
		h.pulledBack++
	}
}

// planned keeps the plan with printable names, and without the results in it, which come again.
func (h *history) planned(e migrate.Planned) {
	e.Refused = nil
	e.Contents, e.MostShared = slices.Clone(e.Contents), slices.Clone(e.MostShared)
	for i := range e.Contents {
		e.Contents[i].Repository = redact.Printable(e.Contents[i].Repository)
	}
	for i := range e.MostShared {
		e.MostShared[i].Repository = redact.Printable(e.MostShared[i].Repository)
		e.MostShared[i].Digest = printableDigest(e.MostShared[i].Digest)
	}
	h.plan = e
}

// worked notes what a worker has just ended.
func (h *history) worked(e migrate.Worked, ended time.Time) {
	at := slices.Index(h.lanes, lane{e.Step, e.Worker})
	if at < 0 {
		at = len(h.lanes)
		h.lanes = append(h.lanes, lane{e.Step, e.Worker})
	}
	began := h.since(e.Began)
	h.spans = append(h.spans, span{
		image: imageKey{e.Image.Repository.Name, e.Image.Digest}, bytes: e.Bytes, began: began, lasted: h.since(ended) - began,
		lane: int16(at), well: e.Well,
	})
}

// since is the moment in milliseconds from the beginning of the run.
func (h *history) since(moment time.Time) int32 {
	return int32(min(max(0, moment.Sub(h.began).Milliseconds()), math.MaxInt32))
}

// moved is what was pulled from the source and pushed to the target, in bytes.
func (h *history) moved() (pulled, pushed int64) {
	for _, s := range h.spans {
		step := h.lanes[s.lane].step
		if step != migrate.StepPush {
			pulled += s.bytes
		}
		if step != migrate.StepPull {
			pushed += s.bytes
		}
	}
	return pulled, pushed
}

// took is how long the workers were busy with each image.
func (h *history) took() map[imageKey]time.Duration {
	took := map[imageKey]time.Duration{}
	for _, s := range h.spans {
		took[s.image] += time.Duration(s.lasted) * time.Millisecond
	}
	return took
}
