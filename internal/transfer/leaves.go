package transfer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/schedule"
)

// firstOf returns the manifests that are pushed by their own digests before the root of the tree, each after what it
// lists or refers to. The classic store carries no index, and so has none.
func (b *workbench) firstOf(tree image.Tree) []image.Manifest {
	if b.store == image.ClassicStore {
		return nil
	}
	return tree.PushFirst(mayBeRefused)
}

func mayBeRefused(mediaType string) bool { return !plan.KnownMediaType(mediaType) }

// Try finds out whether the target takes what it may refuse of the item for its media type: it brings that alone, and
// pushes it. Bring does the rest.
func (c *Copier) Try(ctx context.Context, t *Copy, g *schedule.Grant, progress docker.Listener) error {
	if err := c.refused.known(t.Item); err != nil && t.List == nil {
		return err
	}
	tree, err := c.open(ctx, t.Item)
	if err != nil {
		return err
	}
	t.work, t.tree = c.workspace(t.Image.Repository, progress), &tree
	t.work.whereabouts(g, tree)
	t.work.partial, t.work.small = len(g.Spare) > 0, t.work.smallest(tree)
	if t.List != nil {
		return c.tryReferrers(ctx, t, tree)
	}
	return t.work.tryKinds(ctx, tree, t.Target)
}

// kindMayBeRefused reports whether the target may refuse the manifest for its artifact type or its config's type.
func kindMayBeRefused(m image.Manifest) bool {
	return mayBeRefused(m.Kind()) || mayBeRefused(m.Config.MediaType)
}

// leavesAfter returns the leaves of the tree, those among first in the order of first and before the others.
func leavesAfter(first []image.Manifest, tree image.Tree) []image.Manifest {
	var leaves []image.Manifest
	listed := map[string]bool{}
	for _, m := range slices.Concat(first, tree.Leaves()) {
		if !m.IsIndex() && !listed[m.Digest.String()] {
			listed[m.Digest.String()] = true
			leaves = append(leaves, m)
		}
	}
	return leaves
}

// tryKinds finds out what is to be pushed before the root. Manifests among them that the target may refuse for their
// media types are brought and pushed at once: when they are refused, nothing else of the image has been moved.
func (w *workspace) tryKinds(ctx context.Context, tree image.Tree, target string) error {
	w.target = target
	var later []image.Manifest
	for _, m := range w.firstOf(tree) {
		if !plan.OnTrial(m, tree) {
			later = append(later, m)
			continue
		}
		if err := w.tryKind(ctx, m); err != nil {
			return err
		}
	}
	w.first = later
	return nil
}

// tryKind brings one manifest, and pushes it.
func (w *workspace) tryKind(ctx context.Context, m image.Manifest) error {
	ref := w.digestReference(m)
	if err := w.load(ctx, []string{ref}, image.NewTree(m, nil)); err != nil {
		return err
	}
	if err := w.content(ctx, m); err != nil {
		return err
	}
	if !w.partial {
		if err := w.check(ctx, ref); err != nil {
			return err
		}
	}
	return w.pushDigest(ctx, m)
}

// digestReference names the manifest at the target.
func (w *workspace) digestReference(m image.Manifest) string {
	return w.target + "@" + m.Digest.String()
}

// nameFirst adds to the layout the digest references of the manifests that are pushed before the root.
func (w *workspace) nameFirst(l *image.Layout) {
	for _, m := range w.first {
		ref := w.digestReference(m)
		w.named = append(w.named, ref)
		l.Add([]string{ref}, m)
	}
}

// tryPush pushes a reference, and retries that. ask is called before each try, and its error ends the push; nil: nothing is.
func (w *workspace) tryPush(ctx context.Context, ref string, ask func(context.Context) error) (pushed digest.Digest, err error) {
	try := func() (err error) {
		if ask != nil {
			err = ask(ctx)
		}
		if err == nil {
			pushed, err = w.engine.Push(ctx, ref, w.progress)
		}
		return err
	}
	if w.retry == nil {
		err = try()
	} else {
		err = w.retry(ctx, StepPush, ref, try)
	}
	return pushed, err
}

// pushDigest pushes a manifest by its digest. The engine names no digest for such a push: whether it was complete, the
// target alone can say.
func (w *workspace) pushDigest(ctx context.Context, m image.Manifest) error {
	ref := w.digestReference(m)
	if _, err := w.tryPush(ctx, ref, nil); err != nil {
		w.refused.note(err)
		return FailedAt(StepPush, ref, err)
	}
	resolved, err := w.engine.Resolve(ctx, ref)
	if err == nil && !strings.HasSuffix(ref, "@"+resolved.Digest.String()) {
		err = fmt.Errorf("the target answers with %s", resolved.Digest)
	}
	if err != nil {
		return FailedAt(StepVerify, ref, err)
	}
	w.refused.take(m.ArtifactType, m.Config.MediaType)
	return nil
}
