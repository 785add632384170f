package migrate

import (
	"context"
	"errors"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// recover copies an image whose layers the engine had skipped, when nothing else is being copied: with the images
// gone that held the same files, a pull brings everything. Within an index two children can stand in each other's
// way, so each is pulled, pushed by its digest and removed before the next; the index itself is pushed last, and the
// engine finds all that it lists at the target.
func (c *copier) recover(ctx context.Context, t *task, progress docker.Listener) []Result {
	present := c.missingTags(ctx, t)
	if len(t.pending) == 0 {
		return c.withReferrers(ctx, t, present)
	}
	defer t.clear(ctx)
	if err := c.passOn(ctx, t, progress); err != nil {
		return c.withReferrers(ctx, t, append(present, settle(t.Item, t.pending, Failed, err)...))
	}
	return c.withReferrers(ctx, t, append(present, c.deliver(ctx, t, progress)...))
}

// passOn leaves the image in the engine ready for the push of its tags.
func (c *copier) passOn(ctx context.Context, t *task, progress docker.Listener) error {
	tree, err := c.open(ctx, t.Item)
	if err != nil {
		return err
	}
	if !tree.Root.IsIndex() {
		return c.fetchImage(ctx, t, alone(t.Item), progress)
	}
	for _, leaf := range tree.Leaves() {
		if err := c.passLeaf(ctx, t, leaf, progress); err != nil {
			return err
		}
	}
	t.work = c.workspace(t.Image.Repository, progress)
	return t.work.load(ctx, t.Targets(t.pending), tree)
}

// passLeaf copies one manifest without any tag.
func (c *copier) passLeaf(ctx context.Context, t *task, leaf image.Manifest, progress docker.Listener) error {
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
		return failedAt(StepPush, target, err)
	}
	// The engine names no digest for such a push: whether it was complete, the target alone can say.
	resolved, err := c.engine.Resolve(ctx, target)
	if err == nil && resolved.Digest != leaf.Digest {
		err = errors.New("the target answers with " + resolved.Digest.String())
	}
	if err != nil {
		return failedAt(StepVerify, target, err)
	}
	return nil
}
