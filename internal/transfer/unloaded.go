package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/schedule"
)

// loads is what is known of whether the engine still takes loads. All of them write their index under one name in
// containerd's content store, "tar-index.json" (containerd, core/images/archive/importer.go). Where containerd finds no
// room to note that such a write has begun, it leaves the name locked until it is started again
// (core/metadata/content.go, Writer), and every later load waits for the lock and never ends.
type loads struct{ stuck atomic.Int32 }

// enoughStuck is how many loads in a row have to be stuck until no other is tried.
const enoughStuck = 2

func (l *loads) over() bool { return l.stuck.Load() >= enoughStuck }

func (l *loads) note(err error) {
	switch {
	case err == nil:
		l.stuck.Store(0)
	case errors.Is(err, docker.ErrStalled):
		l.stuck.Add(1)
	}
}

// errStuck: no load ends any more, as far as one can see.
var errStuck = fmt.Errorf("%w: the engine does not end the load of a few kilobytes, which containerd does not do any more once its "+
	"disk was full: restart the engine, give it more room, and run again", docker.ErrStalled)

// bringUnloaded is bring without a load: each image is pulled, and unpacked, as any other, and an index once for one of
// its platforms, which makes an image of it that lacks nothing.
func (w *workspace) bringUnloaded(ctx context.Context, tree image.Tree, targets []string) error {
	if w.homemade {
		return FailedAt(StepTag, targets[0], errStuck)
	}
	w.Release(ctx, w.handOver()) // the load was to bring them
	for _, leaf := range tree.Leaves() {
		if err := w.pull(ctx, leaf); err != nil {
			return err
		}
	}
	if tree.Root.IsIndex() {
		if err := w.pullIndex(ctx, tree); err != nil {
			return err
		}
	}
	if err := w.tag(ctx, tree.Root, targets); err != nil {
		return err
	}
	return w.check(ctx, targets[0])
}

// pullIndex pulls the index of a tree whose images are there.
func (w *workspace) pullIndex(ctx context.Context, tree image.Tree) error {
	ref := w.repository.Reference(tree.Root)
	w.held.adopt(ref)
	w.pulled = append(w.pulled, schedule.HeldRef{Ref: ref})
	err := withFreshCredentials(ctx, w.source, func(ctx context.Context) error {
		return w.engine.PullIndex(ctx, ref, firstPlatform(tree), w.progress)
	})
	if err != nil && (ctx.Err() != nil || w.check(ctx, ref) != nil) { // see fetch
		return FailedAt(StepPull, ref, err)
	}
	return nil
}

// firstPlatform is the first that the tree lists, or none.
func firstPlatform(t image.Tree) ocispec.Platform {
	for _, manifest := range t.Manifests() {
		for _, child := range manifest.Children {
			if child.Platform != nil {
				return *child.Platform
			}
		}
	}
	return ocispec.Platform{}
}
