package migrate

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

const (
	// breakAfter is how many images in a row have to fail the same way before a run gives up.
	breakAfter = 10
	// breakWithin is the same for images of one repository, where a rule of its own, such as one for protected tags, may
	// concern them all and nothing else.
	breakWithin = 50
	// breakClosed is the same where the cause concerns every image, which one answer of a proxy may still feign.
	breakClosed = 3
)

// ownCauses are those of one image, tag, repository or media type, which never stop a run, however many there are.
var ownCauses = []error{
	docker.ErrNotFound, docker.ErrInvalid, docker.ErrRefused, docker.ErrNoSpace, docker.ErrNotUnpacked, docker.ErrBrokenOff, transfer.ErrIncomplete, context.Canceled, context.DeadlineExceeded,
}

// unexplained is the cause of a failure that nobody knows: the gist of its words.
type unexplained string

func (u unexplained) Error() string { return string(u) }

// StoppedError says why a run gave up early.
type StoppedError struct {
	Images int   // that failed, one after the other
	Err    error // of the last of them
}

// Error gives the number and the cause.
func (e *StoppedError) Error() string {
	switch {
	case transfer.EndsRun(e.Err):
		return fmt.Sprintf("nothing more can be copied: %v", e.Err)
	case errors.Is(e.Err, docker.ErrEngineGone):
		return fmt.Sprintf("the engine went down and did not come back: %v", e.Err)
	case errors.Is(e.Err, docker.ErrClosed):
		return fmt.Sprintf("no image can be migrated for now: %v; a later run continues from here", e.Err)
	}
	return fmt.Sprintf("%d images in a row failed the same way, the last one: %v; a later run continues from here", e.Images, e.Err)
}

// Unwrap returns the cause.
func (e *StoppedError) Unwrap() error { return e.Err }

// breaker finds out that a run has no use any more: image after image fails for one cause, and none arrives.
type breaker struct {
	mu           sync.Mutex
	step         transfer.Step
	cause        error
	images       int
	repositories map[string]bool
	arrived      bool // an image, at any time
}

// note takes what became of one image, and returns why the run is to stop, if it is.
func (b *breaker) note(results []transfer.Result) *StoppedError {
	if last := sourceEnds(results); last != nil {
		return last
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range results {
		switch {
		case r.Outcome.Arrived() && !r.Found:
			b.images, b.arrived = 0, true
			return nil
		case r.Outcome == transfer.Failed:
			return b.failure(r)
		}
	}
	return nil
}

// hasArrived reports whether an image has arrived in this run.
func (b *breaker) hasArrived() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.arrived
}

func (b *breaker) failure(r transfer.Result) *StoppedError {
	step, cause := transfer.PermanentCause(r.Err)
	if cause == nil && step == transfer.StepPush && !b.arrived {
		cause = unexplainedCause(r.Err)
	}
	if cause == nil {
		return nil
	}
	if b.images == 0 || step != b.step || !errors.Is(cause, b.cause) {
		b.step, b.cause, b.images, b.repositories = step, cause, 0, map[string]bool{}
	}
	b.images++
	b.repositories[r.Repository] = true
	if b.isEnough() {
		return &StoppedError{Images: b.images, Err: r.Err}
	}
	return nil
}

// isEnough reports whether enough images have failed to expect the same of the others.
func (b *breaker) isEnough() bool {
	switch {
	case errors.Is(b.cause, docker.ErrEngineGone):
		return true
	case errors.Is(b.cause, docker.ErrClosed) && b.images >= breakClosed:
		return true
	}
	return b.images >= breakWithin || b.images >= breakAfter && len(b.repositories) > 1
}

// unexplainedCause is what failures whose cause nobody knows have in common, or nil if the error has a known cause.
func unexplainedCause(err error) error {
	for _, cause := range ownCauses {
		if errors.Is(err, cause) {
			return nil
		}
	}
	return unexplained(docker.Gist(err))
}

// sourceEnds is why a run is to stop of which one result says so, whatever else has arrived.
func sourceEnds(results []transfer.Result) *StoppedError {
	for _, r := range results {
		if !r.Outcome.Arrived() && r.Outcome != transfer.NotStarted && transfer.EndsRun(r.Err) {
			return &StoppedError{Images: 1, Err: r.Err}
		}
	}
	return nil
}
