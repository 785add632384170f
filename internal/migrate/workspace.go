package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// workspace is what one copy has in the engine: manifests pulled from one repository, and names for the target.
type workspace struct {
	*copier
	repository Repository
	pulled     []string
	named      []string
}

func (c *copier) workspace(repository Repository) *workspace {
	return &workspace{copier: c, repository: repository}
}

// bring pulls all manifests of the tree into the engine, names the root by the targets, and checks that all is there.
func (w *workspace) bring(ctx context.Context, tree Tree, targets []string) error {
	for _, leaf := range tree.Leaves() {
		if err := w.pull(ctx, leaf); err != nil {
			return err
		}
	}
	if err := w.name(ctx, tree, targets); err != nil {
		return err
	}
	return w.check(ctx, targets[0])
}

// pull fetches one manifest with its blobs. The containerd store ends the pull of what it cannot unpack, such as an
// attestation, with an error after all its content has arrived: then it is the content that counts.
func (w *workspace) pull(ctx context.Context, m Manifest) error {
	ref := w.repository.reference(m)
	w.pulled = append(w.pulled, ref)
	err := w.held.pull(ctx, ref)
	if errors.Is(err, ErrDenied) {
		err = w.pullAgain(ctx, ref, err)
	}
	if err == nil {
		return nil
	}
	if w.store == ContainerdStore && ctx.Err() == nil && w.check(ctx, ref) == nil {
		return nil
	}
	return failedAt(StepPull, ref, err)
}

// pullAgain tries once more with fresh credentials: the registry may have ended a token before its time.
func (w *workspace) pullAgain(ctx context.Context, ref string, refused error) error {
	err := w.renew(ctx)
	if err == nil {
		err = w.held.again(ctx, ref)
	}
	if err == nil || errors.Is(err, ErrDenied) {
		return err
	}
	return errors.Join(refused, err) // what the refused pull leaves in an engine can spoil the next one
}

// name gives the root its names at the target. An index becomes an image of the engine by its manifests alone: the
// engine's own pull of an index wants a platform, and chooses by rules of its own.
func (w *workspace) name(ctx context.Context, tree Tree, targets []string) error {
	w.named = append(w.named, targets...)
	if tree.Root.IsIndex() {
		return w.load(ctx, targets, tree)
	}
	for _, target := range targets {
		if err := w.engine.Tag(ctx, w.repository.reference(tree.Root), target); err != nil {
			return failedAt(StepTag, target, err)
		}
	}
	return nil
}

// load has the engine take the tree's manifests, and know the root by the names.
func (w *workspace) load(ctx context.Context, names []string, tree Tree) error {
	archive, err := layoutArchive(names, tree.Root, tree.Manifests()[1:])
	if err == nil {
		err = w.engine.Load(ctx, archive)
	}
	if err != nil {
		return failedAt(StepTag, names[0], err)
	}
	return nil
}

// check makes sure that the engine holds all of a reference: pushed with a manifest missing, an index would arrive
// as one platform, and with a blob missing not at all. The classic store holds an image whole or not at all.
func (w *workspace) check(ctx context.Context, ref string) error {
	if w.store == ClassicStore {
		return nil
	}
	missing, err := w.engine.Missing(ctx, ref)
	if err != nil {
		return failedAt(StepCheck, ref, err)
	}
	if len(missing) > 0 {
		return failedAt(StepCheck, ref, fmt.Errorf("%w: %d of its manifests are incomplete, the first is %s",
			errIncomplete, len(missing), missing[0]))
	}
	return nil
}

// unname takes the names for the target away again, after an interruption, too. What cannot be removed does no harm
// to the copy.
func (w *workspace) unname(ctx context.Context) {
	ctx, cancel := afterwards(ctx)
	defer cancel()
	for _, ref := range w.named {
		_ = w.engine.Remove(ctx, ref)
	}
	w.named = nil
}

// clear takes everything away from the engine again.
func (w *workspace) clear(ctx context.Context) {
	w.unname(ctx)
	for _, ref := range w.pulled {
		_ = w.held.release(ctx, ref)
	}
	w.pulled = nil
}

// tidyingLimit bounds how long an engine that does not answer can hold up the end of a run.
const tidyingLimit = time.Minute

// afterwards is the context for tidying up, which an interruption does not end.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), tidyingLimit)
}
