package migrate

import (
	"context"
)

// recover copies an image whose layers the engine had skipped, when nothing else is being copied: with the images
// gone that held the same files, a pull brings everything. Within an index two children can stand in each other's
// way, so each is pulled, pushed by its digest and removed before the next; the index itself is pushed last, and the
// engine finds all that it lists at the target.
func (c *copier) recover(ctx context.Context, t *task) []Result {
	pending, results := c.missingTags(ctx, t)
	w := c.workspace(t.image.Repository)
	defer w.clear(ctx)
	if err := w.passOn(ctx, t, pending); err != nil {
		return append(results, t.settle(pending, Failed, err)...)
	}
	return append(results, c.deliver(ctx, t, pending)...)
}

// passOn leaves the image in the engine ready for the push of its tags.
func (w *workspace) passOn(ctx context.Context, t *task, tags []string) error {
	targets := t.targets(tags)
	if !t.tree.Root.IsIndex() {
		return w.bring(ctx, t.tree, targets)
	}
	for _, leaf := range t.tree.Leaves() {
		if err := w.copier.passLeaf(ctx, t, leaf); err != nil {
			return err
		}
	}
	w.named = append(w.named, targets...)
	return w.load(ctx, targets, t.tree)
}

// passLeaf copies one manifest without any tag.
func (c *copier) passLeaf(ctx context.Context, t *task, leaf Manifest) error {
	w := c.workspace(t.image.Repository)
	defer w.clear(ctx)
	if err := w.pull(ctx, leaf); err != nil {
		return err
	}
	target := t.target + "@" + leaf.Digest.String()
	w.named = append(w.named, target)
	if err := w.load(ctx, []string{target}, NewTree(leaf, nil)); err != nil {
		return err
	}
	if err := w.check(ctx, target); err != nil {
		return err
	}
	if _, err := c.engine.Push(ctx, target); err != nil {
		return failedAt(StepPush, target, err)
	}
	return nil
}
