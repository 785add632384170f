package migrate

import (
	"errors"
	"sync"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
)

// outage measures how long the engine has been gone. All calls of a run share it: an engine that restarts twice during one
// long pull is gone twice for a short time, not once for a long time. The zero value is an engine that
// answers.
type outage struct {
	mu    sync.Mutex
	since time.Time // when the first call went unanswered; zero if the engine answers
}

// note records the result of a call. Any error other than ErrEngineGone is an answer.
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

// end records that the engine answers.
func (o *outage) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.since = time.Time{}
}

// duration returns how long the engine has been gone.
func (o *outage) duration() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		return 0
	}
	return time.Since(o.since)
}

// hearing returns a listener that passes progress on. Progress is an answer as well.
func (o *outage) hearing(progress docker.Listener) docker.Listener {
	return func(p docker.Progress) {
		o.end()
		if progress != nil {
			progress(p)
		}
	}
}
