package transfer

import (
	"context"
	"slices"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/schedule"
)

// Recover copies an item of which the engine has skipped layers (ErrIncomplete), while nothing else is being copied: without
// the images that hold the same files, a pull brings everything. Two children of an index can conflict, too, so each is
// pulled, pushed by digest and removed before the next. The index is pushed last, when the target has all that it lists.
func (c *Copier) Recover(ctx context.Context, t *Copy, progress docker.Listener) []Result {
	present := c.Ask(ctx, t)
	if len(t.Pending) == 0 {
		return present
	}
	defer t.Clear(ctx)
	if err := c.passOn(ctx, t, progress); err != nil {
		return append(present, SettleFailed(t.Item, t.Pending, err)...)
	}
	c.Deliver(ctx, t, progress)
	return append(present, c.DeliverRest(ctx, t)...)
}

// passOn leaves the item in the engine, ready for the push of its tags.
func (c *Copier) passOn(ctx context.Context, t *Copy, progress docker.Listener) error {
	tree, err := c.open(ctx, t.Item)
	if err != nil {
		return err
	}
	if !tree.Root.IsIndex() || t.List != nil {
		if err := c.Try(ctx, t, schedule.Alone(t.Item), progress); err != nil {
			return err
		}
		return c.Bring(ctx, t)
	}
	first := c.firstOf(tree)
	for _, leaf := range leavesAfter(first, tree) {
		if err := c.passLeaf(ctx, t, leaf, progress); err != nil {
			return err
		}
	}
	t.work = c.workspace(t.Image.Repository, progress)
	t.work.target, t.work.first = t.Target, slices.DeleteFunc(first, func(m image.Manifest) bool { return !m.IsIndex() })
	return t.work.load(ctx, t.Targets(t.Pending), tree)
}

// passLeaf copies one manifest by digest.
func (c *Copier) passLeaf(ctx context.Context, t *Copy, leaf image.Manifest, progress docker.Listener) error {
	w := c.workspace(t.Image.Repository, progress)
	defer w.clear(ctx)
	if err := w.pull(ctx, leaf); err != nil {
		return err
	}
	w.target = t.Target
	target := w.digestReference(leaf)
	if err := w.load(ctx, []string{target}, image.NewTree(leaf, nil)); err != nil {
		return err
	}
	if err := w.check(ctx, target); err != nil {
		return err
	}
	return w.pushDigest(ctx, leaf)
}
