package migrate

import (
	"errors"
	"fmt"
	"sync"
)

const (
	// breakAfter is how many images in a row have to fail the same way before a run gives up.
	breakAfter = 10
	// breakWithin is the same for images of one repository, where a rule of its own, such as one for protected tags, may
	// concern them all and nothing else.
	breakWithin = 50
)

// mendless are the causes that stop a run: at the end of their retries, they are not the image's own. The engine's
// needs no second image.
var mendless = []error{ErrEngineGone, ErrDenied, ErrThrottled, ErrStalled, ErrUnavailable}

// StoppedError is why a run gave up before its end.
type StoppedError struct {
	Images int   // that failed, one after the other
	Err    error // of the last of them
}

// Error gives the number and the cause.
func (e *StoppedError) Error() string {
	if errors.Is(e.Err, ErrEngineGone) {
		return fmt.Sprintf("the engine has gone and not come back: %v", e.Err)
	}
	return fmt.Sprintf("%d images in a row failed the same way, the last one: %v", e.Images, e.Err)
}

// Unwrap returns the cause.
func (e *StoppedError) Unwrap() error { return e.Err }

// breaker finds out that a run has no use any more: image after image fails for one cause, and none arrives.
type breaker struct {
	mu           sync.Mutex
	step         Step
	cause        error
	images       int
	repositories map[string]bool
}

// note takes what became of one image, and returns why the run is to stop, if it is.
func (b *breaker) note(results []Result) *StoppedError {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range results {
		switch {
		case r.Outcome.Arrived() && r.Outcome != Present:
			b.images = 0
			return nil
		case r.Outcome == Failed:
			return b.failure(r)
		}
	}
	return nil
}

func (b *breaker) failure(r Result) *StoppedError {
	step, cause := causeOf(r.Err)
	if cause == nil {
		return nil
	}
	if b.images == 0 || step != b.step || !errors.Is(cause, b.cause) {
		b.step, b.cause, b.images, b.repositories = step, cause, 0, map[string]bool{}
	}
	b.images++
	b.repositories[r.Repository] = true
	if errors.Is(cause, ErrEngineGone) || b.images >= breakWithin || b.images >= breakAfter && len(b.repositories) > 1 {
		return &StoppedError{Images: b.images, Err: r.Err}
	}
	return nil
}

// causeOf is where and for which of the mendless causes something failed, or nil.
func causeOf(err error) (Step, error) {
	var step Step
	if failed := new(StepError); errors.As(err, &failed) {
		step = failed.Step
	}
	for _, cause := range mendless {
		if errors.Is(err, cause) {
			return step, cause
		}
	}
	return step, nil
}
