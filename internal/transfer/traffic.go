package transfer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
)

// sweepPatience is how long a sweep holds up new pulls and loads until those under way have ended.
const sweepPatience = 30 * time.Second

// Traffic tracks the pulls and loads under way, during which no sweep may run: a prune of images deletes the leases of
// all of them (moby, daemon/containerd/image_prune.go), so that containerd drops what they have brought so far, and
// refuses what they still bring: "lease does not exist". Pushes hold no lease.
type Traffic struct {
	patience time.Duration

	mu       sync.Mutex
	calls    map[*underWay]bool // whether a sweep may cut them off
	sweeping bool               // calls wait until it is over
	changed  chan struct{}      // closed, and made anew, whenever one of these has changed
}

// underWay is one pull or load.
type underWay struct {
	cancel context.CancelCauseFunc
	moved  time.Time // when it last made progress; guarded by traffic.mu
}

// errSwept ends a call for a sweep.
var errSwept = errors.New("disk space in the engine is being reclaimed")

// NewTraffic returns traffic with nothing under way.
func NewTraffic() *Traffic {
	return &Traffic{patience: sweepPatience, calls: map[*underWay]bool{}, changed: make(chan struct{})}
}

// announce wakes all waiters. The caller holds the lock.
func (t *Traffic) announce() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// call makes a pull or a load when no sweep is waiting or under way. A call that a sweep has cut off ends with
// docker.ErrStalled.
func (t *Traffic) call(ctx context.Context, progress docker.Listener, call func(context.Context, docker.Listener) error) error {
	return t.callUntil(ctx, progress, func(ctx context.Context, progress docker.Listener, _ func()) error { return call(ctx, progress) })
}

// callUntil is call for what a sweep may cut off at once after it has called done.
func (t *Traffic) callUntil(
	ctx context.Context, progress docker.Listener, call func(_ context.Context, _ docker.Listener, done func()) error,
) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c := &underWay{cancel: cancel}
	if err := t.enter(ctx, c); err != nil {
		return err
	}
	defer t.leave(c)
	err := call(ctx, func(transfer docker.Progress) {
		t.move(c)
		if progress != nil {
			progress(transfer)
		}
	}, func() { t.spare(c) })
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, docker.ErrStalled) {
		return cause
	}
	return err
}

func (t *Traffic) enter(ctx context.Context, c *underWay) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.sweeping {
		if err := t.wait(ctx); err != nil {
			return err
		}
	}
	c.moved = time.Now()
	t.calls[c] = false
	return nil
}

// wait waits for a change, and releases the lock meanwhile.
func (t *Traffic) wait(ctx context.Context) error {
	changed := t.changed
	t.mu.Unlock()
	defer t.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (t *Traffic) leave(c *underWay) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.calls, c)
	t.announce()
}

// spare lets a sweep cut the call off.
func (t *Traffic) spare(c *underWay) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls[c] = true
	if t.sweeping {
		c.cancel(errSwept)
	}
}

func (t *Traffic) move(c *underWay) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.moved = time.Now()
}

// sweep has prune called when no pull and no load is under way, and reports whether it was. It holds up new ones while
// it waits. Those that have not moved at all by the end of its patience it cuts off; where others still move it gives up.
func (t *Traffic) sweep(ctx context.Context, prune func()) bool {
	if !t.begin() {
		return false
	}
	defer t.end()
	if !t.idle(ctx) {
		return false
	}
	prune()
	return true
}

// begin reports whether no other sweep has begun.
func (t *Traffic) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	begun := !t.sweeping
	t.sweeping = true
	for c, spare := range t.calls {
		if spare {
			c.cancel(errSwept)
		}
	}
	return begun
}

func (t *Traffic) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweeping = false
	t.announce()
}

// idle waits until nothing is under way, and reports whether that is so.
func (t *Traffic) idle(ctx context.Context) bool {
	began := time.Now()
	patient, cancel := context.WithTimeout(ctx, t.patience)
	defer cancel()
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.calls) > 0 {
		if t.wait(patient) == nil {
			continue
		}
		if ctx.Err() != nil || !t.cutOff(began) {
			return false
		}
		patient = ctx // what has been cut off ends
	}
	return true
}

// cutOff ends the calls that have not moved since, and reports whether there are no others. The traffic is locked.
func (t *Traffic) cutOff(since time.Time) bool {
	calls := slices.Collect(maps.Keys(t.calls))
	if slices.ContainsFunc(calls, func(c *underWay) bool { return c.moved.After(since) }) {
		return false
	}
	for _, c := range calls {
		c.cancel(fmt.Errorf("%w for %s, while disk space in the engine was to be reclaimed", docker.ErrStalled, t.patience))
	}
	return true
}

// Watch returns the engine with pulls and loads that the traffic tracks.
func (t *Traffic) Watch(engine Engine) Engine { return watchedEngine{engine, t} }

// watchedEngine is an engine whose pulls and loads the traffic tracks.
type watchedEngine struct {
	Engine
	traffic *Traffic
}

func (e watchedEngine) Pull(ctx context.Context, ref string, progress docker.Listener) error {
	err := e.traffic.call(ctx, progress, func(ctx context.Context, progress docker.Listener) error { return e.Engine.Pull(ctx, ref, progress) })
	return unlessForeign(ctx, err)
}

func (e watchedEngine) PullIndex(ctx context.Context, ref string, platform ocispec.Platform, progress docker.Listener) error {
	return e.traffic.call(ctx, progress, func(ctx context.Context, progress docker.Listener) error {
		return e.Engine.PullIndex(ctx, ref, platform, progress)
	})
}

func (e watchedEngine) PullContent(ctx context.Context, ref string, cut docker.Cut, progress docker.Listener) error {
	return e.traffic.callUntil(ctx, progress, func(ctx context.Context, progress docker.Listener, done func()) error {
		if arrived := cut.Arrived; arrived != nil {
			cut.Arrived = func() { done(); arrived() }
		}
		return e.Engine.PullContent(ctx, ref, cut, progress)
	})
}

func (e watchedEngine) Load(ctx context.Context, archive []byte) error {
	return e.traffic.call(ctx, nil, func(ctx context.Context, _ docker.Listener) error { return e.Engine.Load(ctx, archive) })
}
