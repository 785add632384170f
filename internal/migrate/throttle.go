package migrate

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// The pauses after which calls to a registry that throttled one may begin again: from the first to the longest, doubling. An
// engine does not pass on Retry-After, and the limit may end any moment.
const (
	firstPause   = 2 * time.Second
	longestPause = 10 * time.Second
)

// trialPause is how long the first call after a pause goes ahead of the others. If it is throttled, they were spared that.
const trialPause = time.Second

// throttles holds back all calls to a registry that has throttled one of them. They would only be throttled as well, a push
// perhaps after most of its requests, and each call has but so many tries. nil holds back nothing.
type throttles struct {
	mu sync.Mutex
	of map[string]*throttle // by the registry's host
}

// throttle is what is known about one registry.
type throttle struct {
	since  time.Time // when the last pause began
	until  time.Time // when calls may begin
	paused bool      // no call has begun since
	pauses *backoff.ExponentialBackOff
}

func newThrottles() *throttles { return &throttles{of: map[string]*throttle{}} }

// registryOf returns the host of the registry that a step on a reference calls; empty: it only calls the engine.
func registryOf(step transfer.Step, ref string) string {
	switch step {
	case transfer.StepPull, transfer.StepPush, transfer.StepVerify:
		host, _, _ := strings.Cut(ref, "/")
		return host
	}
	return ""
}

// pass waits until calls to the registry may begin, or ctx has ended.
func (t *throttles) pass(ctx context.Context, registry string) error {
	for {
		pause := t.pause(registry)
		if pause <= 0 {
			return ctx.Err()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// pause returns how long calls to the registry have to wait. After a pause, it lets one go ahead.
func (t *throttles) pause(registry string) time.Duration {
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	known := t.of[registry]
	if known == nil {
		return 0
	}
	rest := time.Until(known.until)
	if rest <= 0 && known.paused {
		known.paused, known.until = false, time.Now().Add(trialPause)
	}
	return rest
}

// note records the result of a call to the registry. What began before a pause does not prolong it.
func (t *throttles) note(registry string, began time.Time, err error) {
	if t == nil || registry == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	known, throttled := t.of[registry], errors.Is(err, docker.ErrThrottled)
	switch {
	case known == nil && throttled:
		known = &throttle{pauses: backoff.NewExponentialBackOff()}
		known.pauses.InitialInterval, known.pauses.MaxInterval, known.pauses.Multiplier = firstPause, longestPause, 2
		t.of[registry] = known
	case known == nil || began.Before(known.since):
		return
	case !throttled:
		known.until = time.Time{}
		known.pauses.Reset()
		return
	}
	known.since, known.paused = time.Now(), true
	known.until = known.since.Add(known.pauses.NextBackOff())
}
