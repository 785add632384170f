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

// Deliver pushes pending tags, one after the other, until one has arrived: the target has all blobs of the item then.
// DeliverRest has to follow.
func (c *Copier) Deliver(ctx context.Context, t *Copy, progress docker.Listener) []Result {
	t.work.progress = progress
	var results []Result
	for _, tag := range t.Pending {
		result, settled := c.pushTag(ctx, t, tag)
		result = c.completed(ctx, t, result, settled)
		results = append(results, result)
		if result.Outcome.Arrived() && !settled {
			break
		}
	}
	return results
}

// DeliverRest pushes the pending tags that follow those of the results, all at once, and returns all results. Then it
// removes the names of all pending tags from the engine. References that the schedule keeps stay.
func (c *Copier) DeliverRest(ctx context.Context, t *Copy, results []Result) []Result {
	tags := t.Pending[len(results):]
	rest, settled := make([]Result, len(tags)), make([]bool, len(tags))
	var group errgroup.Group
	for i, tag := range tags {
		group.Go(func() error { rest[i], settled[i] = c.pushTag(ctx, t, tag); return nil })
	}
	_ = group.Wait() // no function returns an error
	for i := range rest {
		rest[i] = c.completed(ctx, t, rest[i], settled[i])
	}
	t.work.clear(ctx)
	if ctx.Err() != nil {
		c.cutPushes.note(t.work.id)
	}
	return append(results, rest...)
}

// completed pushes a tag once more, with everything, if the engine has lacked something, and returns the final result.
// settled is that of pushTag.
func (c *Copier) completed(ctx context.Context, t *Copy, result Result, settled bool) Result {
	if !settled && result.Outcome == Failed && ctx.Err() == nil && t.work.lacking(result.Err) {
		result = c.pushAgain(ctx, t, result)
	}
	c.nameLargestLayer(t.Item, result.Err)
	return t.withRefusal(result)
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
func (c *Copier) pushAgain(ctx context.Context, t *Copy, failed Result) Result {
	tree, err := t.remaining(), error(nil)
	if t.List == nil {
		tree, err = c.open(ctx, t.Item)
	}
	if err != nil {
		return failed
	}
	t.work.present, t.work.doubtful = nil, true
	if err := t.work.bring(ctx, tree, t.Targets(t.Pending)); err != nil {
		return failed.FailedWith(crowded(err))
	}
	result, _ := c.pushTag(ctx, t, failed.Tag)
	return result
}

// pushTag pushes what has to be at the target before the root, and then the tag. settled reports that the target's answer
// right before the push has made it pointless, or that ctx had ended before.
func (c *Copier) pushTag(ctx context.Context, t *Copy, tag string) (result Result, settled bool) {
	result = ResultOf(t.Item, tag)
	if c.pushes.Acquire(ctx, 1) != nil {
		result.Outcome, result.Err = NotStarted, context.Cause(ctx)
		return result, true
	}
	defer c.pushes.Release(1)
	if err := t.work.refused.known(t.Item); err != nil && t.List == nil { // which lists what is left
		return result.FailedWith(withLeaveOut(t.Item, err)), false
	}
	for w := t.work; len(w.first) > 0; w.first = w.first[1:] {
		if err := w.pushDigest(ctx, w.first[0]); err != nil {
			return result.FailedWith(withLeaveOut(t.Item, err)), false
		}
	}
	pushed, err := t.work.tryPush(ctx, result.Target, c.asking(t, tag))
	if answered := new(settledError); errors.As(err, &answered) {
		return answered.result, true
	}
	result.Replaced = t.answers.of(tag)
	result = t.work.pushed(ctx, result, pushed, err, t.pushes(), arrivedAs(t.Item, Exact))
	if result.Outcome.Arrived() && t.List == nil {
		t.work.refused.take(t.Unknown...)
	}
	return result, false
}

// pushed records that the push of the result's target has ended, and verifies it. The outcome is good if the digest is the
// wanted one.
func (w *workspace) pushed(ctx context.Context, result Result, pushed digest.Digest, err error, want digest.Digest, good Outcome) Result {
	if err != nil {
		w.refused.note(err)
		return result.FailedWith(FailedAt(StepPush, result.Target, err))
	}
	return w.verify(ctx, result, pushed, want, good)
}

// verify sets the outcome by the target registry's answer, which must be the digest that the engine reports. On the classic
// store that differs from the source's.
func (b *workbench) verify(ctx context.Context, result Result, pushed, want digest.Digest, good Outcome) Result {
	if pushed != want {
		if b.store != image.ClassicStore {
			return result.FailedWith(FailedAt(StepPush, result.Target, fmt.Errorf("the engine pushed %s instead of %s", pushed, want)))
		}
		if good != OnePlatform { // which says more: the other platforms are missing
			good = Changed
		}
	}
	resolved, err := b.engine.Resolve(ctx, result.Target)
	if err != nil {
		return result.FailedWith(FailedAt(StepVerify, result.Target, err))
	}
	if resolved.Digest != pushed {
		return result.FailedWith(FailedAt(StepVerify, result.Target,
			fmt.Errorf("the target answers with %s instead of %s", resolved.Digest, pushed)))
	}
	result.Pushed, result.Outcome = pushed, good
	return result
}
