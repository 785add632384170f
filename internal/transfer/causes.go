package transfer

import (
	"errors"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
)

// permanent are the causes that stop a run: at the end of their retries, they are not the image's own. The engine's
// needs no second image.
var permanent = []error{docker.ErrEngineGone, docker.ErrClosed, docker.ErrBlocked, docker.ErrDenied, docker.ErrThrottled, docker.ErrStalled, docker.ErrUnavailable}

// EndsRun reports whether the source will answer no further call of this run, because its credentials have expired.
func EndsRun(err error) bool {
	var last interface{ EndsRun() bool }
	return errors.As(err, &last) && last.EndsRun()
}

// PermanentCause returns the step at which something failed and its permanent cause, or nil if it has none.
func PermanentCause(err error) (Step, error) {
	var step Step
	if failed := new(StepError); errors.As(err, &failed) {
		step = failed.Step
	}
	for _, cause := range permanent {
		if errors.Is(err, cause) {
			return step, cause
		}
	}
	return step, nil
}
