package transfer

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// collectPatience is how long collect tries to pull a blob of a few kilobytes.
const collectPatience = 20 * time.Second

// MakeRoom removes everything of a copy from the engine whose disk was full. The next sweep removes the rest.
func (t *Copy) MakeRoom(ctx context.Context) {
	if t.work != nil && t.work.small != "" {
		t.work.litter.Store(&t.work.small)
	}
	t.Clear(ctx)
}

// smallest returns the reference of the tree's smallest blob, or "" if it has none or the store needs none for collect.
func (w *workspace) smallest(tree image.Tree) string {
	blobs := tree.Blobs()
	if w.store != image.ContainerdStore || len(blobs) == 0 {
		return ""
	}
	return w.blobReference(slices.MinFunc(blobs, func(a, b ocispec.Descriptor) int { return cmp.Compare(a.Size, b.Size) }))
}

// collect has containerd delete what failed pulls have left on the disk, and waits for it. containerd does so at once when
// an image is removed, but after a failed pull only when it next collects garbage: since it spends no more than a
// fiftieth of its time on that, seconds later on a busy machine (containerd, plugins/gc/scheduler.go). Until then, pull
// after pull finds the disk full. So collect pulls a small blob, which makes an image of it, and removes it. It does not
// load an image: if there is no space even for that, it might be the last load (see loads).
func (b *workbench) collect(ctx context.Context) {
	blob := b.litter.Load()
	if blob == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, collectPatience)
	defer cancel()
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := b.hold(ctx, *blob, nil)
		_ = b.held.release(ctx, *blob) // what is left does no harm
		if err != nil && !errors.Is(err, docker.ErrNoSpace) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	})
	if err != nil { // this blob may be locked; the next image that finds the disk full provides another
		b.litter.CompareAndSwap(blob, nil)
	}
}
