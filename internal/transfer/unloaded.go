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

// loads records whether the engine still completes loads. Each load writes its index under the same name,
// "tar-index.json", in containerd's content store (containerd, core/images/archive/importer.go). If the disk is too full to
// record that the write has begun, containerd leaves the name locked until it restarts (core/metadata/content.go, Writer),
// and every later load waits for the lock forever.
type loads struct{ stuck atomic.Int32 }

// enoughStuck is the number of stuck loads in a row after which loads are no longer tried.
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

// errStuck says that loads no longer complete.
var errStuck = fmt.Errorf("%w: the engine does not finish loading a few kilobytes, on which containerd can hang once its disk "+
	"has been full: restart the engine, give it a larger disk, and run again", docker.ErrStalled)

// loadArchive retries a stuck load, unless other loads were stuck, too.
func (b *workbench) loadArchive(ctx context.Context, archive []byte) (err error) {
	for !b.loads.over() {
		err = b.engine.Load(ctx, archive)
		if b.loads.note(err); !errors.Is(err, docker.ErrStalled) {
			return err
		}
	}
	return errStuck
}

// bringUnloaded is bring without a load. It pulls and unpacks each image of the tree, and then pulls an index for one of its
// platforms, which creates a complete image of it.
func (w *workspace) bringUnloaded(ctx context.Context, tree image.Tree, targets []string) error {
	if w.homemade {
		return FailedAt(StepTag, targets[0], errStuck)
	}
	w.Release(ctx, w.handOver()) // these the load would have created
	w.first = nil                // and these it would have named
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

// pullIndex pulls the index of a tree after its images.
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

// firstPlatform returns the first platform that the tree lists, or the zero platform.
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
