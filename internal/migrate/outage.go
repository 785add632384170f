package migrate

import (
	"errors"
	"sync"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
)

// outage is the time for which the engine has been gone. All calls of a run share it: an engine that restarts twice
// during one long pull is gone twice for a short time, and not once for a long one. The zero value is an engine that
// answers.
type outage struct {
	mu    sync.Mutex
	since time.Time // of the first call that the engine did not answer; zero: it answers
}

// note takes the end of a call. Any error but the engine's absence is an answer.
func (o *outage) note(err error) {
	if !errors.Is(err, docker.ErrEngineGone) {
		o.end()
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		o.since = time.Now()
	}
}

// end says that the engine answers.
func (o *outage) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.since = time.Time{}
}

// lasts returns for how long the engine has been gone.
func (o *outage) lasts() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		return 0
	}
	return time.Since(o.since)
}

// hearing returns a listener that passes progress on, which is an answer, too.
func (o *outage) hearing(progress docker.Listener) docker.Listener {
	return func(p docker.Progress) {
		o.end()
		if progress != nil {
			progress(p)
		}
	}
}
