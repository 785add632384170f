package transfer

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

// refusedTypes are the media types that the target has refused in this run, and those that it may refuse and has taken.
// The zero value has none.
type refusedTypes struct {
	mu       sync.Mutex
	refusals map[string]*docker.Refusal
	taken    map[string]bool
}

// refusedType returns the refusal if the error is one of a media type, or nil.
func refusedType(err error) *docker.Refusal {
	if refusal := new(docker.Refusal); errors.As(err, &refusal) && refusal.Kind == docker.UnknownMediaType && refusal.MediaType != "" {
		return refusal
	}
	return nil
}

// note remembers the media type of a push that the target has refused for that.
func (r *refusedTypes) note(err error) {
	refusal := refusedType(err)
	if refusal == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refusals == nil {
		r.refusals = map[string]*docker.Refusal{}
	}
	r.refusals[refusal.MediaType] = refusal
}

// take remembers that the target has taken those of the media types that it might have refused.
func (r *refusedTypes) take(mediaTypes ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, mediaType := range mediaTypes {
		if !mayBeRefused(mediaType) {
			continue
		}
		if r.taken == nil {
			r.taken = map[string]bool{}
		}
		r.taken[mediaType] = true
	}
}

// tried returns the media types that the target has refused or taken.
func (r *refusedTypes) tried() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.AppendSeq(slices.Collect(maps.Keys(r.refusals)), maps.Keys(r.taken))
}

// of returns the refusal of one of the media types, or nil.
func (r *refusedTypes) of(mediaTypes []string) *docker.Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, mediaType := range mediaTypes {
		if refusal := r.refusals[mediaType]; refusal != nil {
			return refusal
		}
	}
	return nil
}

// Tried returns the media types that the target might have refused, and for which it has answered in this run.
func (c *Copier) Tried() []string { return c.refused.tried() }

// known is why the image is not tried: the target has refused a media type of it before in this run. Nil
// means that it may take the image.
func (r *refusedTypes) known(i *plan.Item) error {
	refusal := r.of(i.Unknown)
	if refusal == nil {
		return nil
	}
	return FailedAt(StepPush, i.Target, fmt.Errorf("not tried, because GitLab has refused its media type before: %w", refusal))
}

// withLeaveOut adds the setting to the remedy that migrates the item without what the target has refused, if there is one.
func withLeaveOut(i *plan.Item, err error) error {
	refusal, step := refusedType(err), new(StepError)
	if refusal == nil || !slices.Contains(i.Dispensable, refusal.MediaType) || !errors.As(err, &step) {
		return err
	}
	advised := *step
	advised.Remedy += "; MIGRATE_LEAVE_OUT=" + refusal.MediaType + " migrates the index without it, which changes the index's digest"
	return &advised
}

// failure is the outcome of a copy that ended with the error.
func failure(err error) Outcome {
	refusal := new(docker.Refusal)
	if refusedType(err) != nil || errors.As(err, &refusal) && refusal.Kind == docker.ForeignLayer {
		return Refused
	}
	return Failed
}

// SettleFailed gives tags of the item the outcome that the error stands for.
func SettleFailed(i *plan.Item, tags []string, err error) []Result {
	return Settle(i, tags, failure(err), withLeaveOut(i, err))
}
