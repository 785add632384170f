package transfer

import (
	"context"
	"errors"
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

// delivery is the push of one tag.
type delivery struct {
	result Result
	taken  bool // the target has taken it, and has not been asked for it since: see verified
	final  bool // it is not repeated: it has been, was pointless by the target's answer right before it, or ctx had ended before
}

// Deliver pushes pending tags, one after the other, until the target has taken one, and reports whether it has: it has all
// blobs of the item then. DeliverRest has to follow.
func (c *Copier) Deliver(ctx context.Context, t *Copy, progress docker.Listener) (taken bool) {
	t.work.progress = progress
	t.deliveries = nil
	for _, tag := range t.Pending {
		d := c.completed(ctx, t, c.pushTag(ctx, t, tag))
		t.deliveries = append(t.deliveries, d)
		if d.taken {
			return true
		}
	}
	return false
}

// DeliverRest pushes the pending tags that Deliver has left, all at once, verifies all that were pushed, and returns the
// results. Then it removes the names of all pending tags from the engine. References that the schedule keeps stay.
func (c *Copier) DeliverRest(ctx context.Context, t *Copy) []Result {
	deliveries := make([]delivery, len(t.Pending))
	begun := copy(deliveries, t.deliveries)
	var group errgroup.Group
	for i, tag := range t.Pending {
		group.Go(func() error {
			if i >= begun {
				deliveries[i] = c.pushTag(ctx, t, tag)
			}
			deliveries[i] = c.verified(ctx, deliveries[i])
			return nil
		})
	}
	_ = group.Wait() // no function returns an error
	results := make([]Result, len(deliveries))
	for i, d := range deliveries {
		results[i] = c.verified(ctx, c.completed(ctx, t, d)).result
		c.nameLargestLayer(t.Item, results[i].Err)
		results[i] = t.withRefusal(results[i])
	}
	t.work.clear(ctx)
	if ctx.Err() != nil {
		c.cutPushes.note(t.work.id)
	}
	return results
}

// completed pushes a tag once more, with everything, if the engine has lacked something.
func (c *Copier) completed(ctx context.Context, t *Copy, d delivery) delivery {
	if d.final || d.result.Outcome != Failed || ctx.Err() != nil || !t.work.lacking(d.result.Err) {
		return d
	}
	return c.pushAgain(ctx, t, d)
}

// nameLargestLayer adds the size of the image's largest layer to the remedy for a body that is too large.
func (c *Copier) nameLargestLayer(i *plan.Item, err error) {
	failed, refusal := new(StepError), new(docker.Refusal)
	if !errors.As(err, &failed) || !errors.As(err, &refusal) || refusal.Kind != docker.TooLarge {
		return
	}
	largest := int64(0)
	for _, blob := range i.Blobs {
		largest = max(largest, c.catalog.Size(blob))
	}
	failed.Remedy += "; the image's largest layer has " + humanize.Bytes(uint64(largest))
}

// lacking reports whether a push may have failed because the engine lacks content that nobody has checked, or says so. A
// refusal by a rule has other reasons, unless it is about content.
func (w *workspace) lacking(err error) bool {
	if refusal := new(docker.Refusal); errors.As(err, &refusal) && refusal.Kind != docker.BlobUnknown {
		return false
	}
	_, cause := PermanentCause(err)
	return cause == nil && (w.trusted || errors.Is(err, docker.ErrNotFound))
}

// pushAgain brings what the engine was not supposed to need, and repeats the push: the target repository may have lost it.
func (c *Copier) pushAgain(ctx context.Context, t *Copy, failed delivery) delivery {
	failed.final = true
	tree, err := t.remaining(), error(nil)
	if t.List == nil {
		tree, err = c.open(ctx, t.Item)
	}
	if err != nil {
		return failed
	}
	t.work.present, t.work.doubtful = nil, true
	if err := t.work.bring(ctx, tree, t.Targets(t.Pending)); err != nil {
		failed.result = failed.result.FailedWith(crowded(err))
		return failed
	}
	d := c.pushTag(ctx, t, failed.result.Tag)
	d.final = true
	return d
}

// pushTag pushes what has to be at the target before the root, and then the tag.
func (c *Copier) pushTag(ctx context.Context, t *Copy, tag string) delivery {
	result := ResultOf(t.Item, tag)
	if c.pushes.Acquire(ctx, 1) != nil {
		result.Outcome, result.Err = NotStarted, context.Cause(ctx)
		return delivery{result: result, final: true}
	}
	defer c.pushes.Release(1)
	if err := t.work.refused.known(t.Item); err != nil && t.List == nil { // which lists what is left
		return delivery{result: result.FailedWith(withLeaveOut(t.Item, err))}
	}
	for w := t.work; len(w.first) > 0; w.first = w.first[1:] {
		if err := w.pushDigest(ctx, w.first[0]); err != nil {
			return delivery{result: result.FailedWith(withLeaveOut(t.Item, err))}
		}
	}
	pushed, err := t.work.tryPush(ctx, result.Target, c.asking(t, tag))
	if answered := new(settledError); errors.As(err, &answered) {
		return delivery{result: answered.result, final: true}
	}
	result.Replaced = t.answers.of(tag)
	if result.Outcome, err = t.work.pushed(pushed, err, t.pushes(), arrivedAs(t.Item, Exact)); err != nil {
		return delivery{result: result.FailedWith(FailedAt(StepPush, result.Target, err))}
	}
	if t.List == nil {
		t.work.refused.take(t.Unknown...)
	}
	result.Pushed = pushed
	return delivery{result: result, taken: true}
}

// pushed judges by the digest that the engine has pushed, or its error. The outcome is good if the digest is the wanted one. On
// the classic store it is another one.
func (w *workspace) pushed(pushed digest.Digest, err error, want digest.Digest, good Outcome) (Outcome, error) {
	switch {
	case err != nil:
		w.refused.note(err)
		return Failed, err
	case pushed == want:
		return good, nil
	case w.store != image.ClassicStore:
		return Failed, fmt.Errorf("the engine pushed %s instead of %s", pushed, want)
	case good == OnePlatform: // which says more: the other platforms are missing
		return good, nil
	}
	return Changed, nil
}

// verified completes the result of a push that the target has taken: the target has to answer with the digest that the engine
// has pushed. That is found out even if the run ends meanwhile.
func (c *Copier) verified(ctx context.Context, d delivery) delivery {
	if !d.taken {
		return d
	}
	d.taken = false
	resolved, err := c.engine.Resolve(ctx, d.result.Target)
	if err != nil && ctx.Err() != nil {
		grace, cancel := c.cleanup.context(ctx)
		defer cancel()
		resolved, err = c.engine.Resolve(grace, d.result.Target)
	}
	if err == nil && resolved.Digest != d.result.Pushed {
		err = fmt.Errorf("the target answers with %s instead of %s", resolved.Digest, d.result.Pushed)
	}
	if err != nil {
		d.result.Pushed = ""
		d.result = d.result.FailedWith(FailedAt(StepVerify, d.result.Target, err))
	}
	return d
}
