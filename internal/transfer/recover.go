package transfer

import (
	"context"
	"errors"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/schedule"
)

// Recover copies an image whose layers the engine had skipped, when nothing else is being copied: with the images
// gone that held the same files, a pull brings everything. Within an index two children can stand in each other's
// way, so each is pulled, pushed by its digest and removed before the next; the index itself is pushed last, and the
// engine finds all that it lists at the target.
func (c *Copier) Recover(ctx context.Context, t *Copy, progress docker.Listener) []Result {
	present := c.Ask(ctx, t)
	if len(t.Pending) == 0 {
		return c.WithReferrers(ctx, t, present)
	}
	defer t.Clear(ctx)
	if err := c.passOn(ctx, t, progress); err != nil {
		return c.WithReferrers(ctx, t, append(present, Settle(t.Item, t.Pending, Failed, err)...))
	}
	return c.WithReferrers(ctx, t, append(present, c.Deliver(ctx, t, progress)...))
}

// passOn leaves the image in the engine ready for the push of its tags.
func (c *Copier) passOn(ctx context.Context, t *Copy, progress docker.Listener) error {
	tree, err := c.open(ctx, t.Item)
	if err != nil {
		return err
	}
	if !tree.Root.IsIndex() {
		return c.Bring(ctx, t, schedule.Alone(t.Item), progress)
	}
	for _, leaf := range tree.Leaves() {
		if err := c.passLeaf(ctx, t, leaf, progress); err != nil {
			return err
		}
	}
	t.work = c.workspace(t.Image.Repository, progress)
	return t.work.load(ctx, t.Targets(t.Pending), tree)
}

// passLeaf copies one manifest without any tag.
func (c *Copier) passLeaf(ctx context.Context, t *Copy, leaf image.Manifest, progress docker.Listener) error {
	w := c.workspace(t.Image.Repository, progress)
	defer w.clear(ctx)
	if err := w.pull(ctx, leaf); err != nil {
		return err
	}
	target := t.Target + "@" + leaf.Digest.String()
	if err := w.load(ctx, []string{target}, image.NewTree(leaf, nil)); err != nil {
		return err
	}
	if err := w.check(ctx, target); err != nil {
		return err
	}
	if _, err := c.engine.Push(ctx, target, progress); err != nil {
		return FailedAt(StepPush, target, err)
	}
	// The engine names no digest for such a push: whether it was complete, the target alone can say.
	resolved, err := c.engine.Resolve(ctx, target)
	if err == nil && resolved.Digest != leaf.Digest {
		err = errors.New("the target answers with " + resolved.Digest.String())
	}
	if err != nil {
		return FailedAt(StepVerify, target, err)
	}
	return nil
}
