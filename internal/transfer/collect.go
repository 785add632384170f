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

const (
	// collectedName is the name of the image that collect removes.
	collectedName = "ecr2gitlab.invalid/collect:latest"
	// collectPatience is how long collect waits for an engine without the space of a few kilobytes.
	collectPatience = time.Minute
)

// collect has containerd delete what failed pulls have left on the disk, and waits for it. containerd does so at once when
// an image is removed, but after a failed pull only when it next collects garbage: since it spends no more than a
// fiftieth of its time on that, seconds later on a busy machine (containerd, plugins/gc/scheduler.go). Until then, pull
// after pull finds the disk full. So collect makes a small image and removes it: an empty one, or, where loads do not end,
// the blob.
func (b *workbench) collect(ctx context.Context, blob string) {
	if b.store != image.ContainerdStore {
		return
	}
	waits := backoff.NewExponentialBackOff()
	waits.MaxInterval = collectPatience / 10
	_, _ = backoff.Retry(ctx, func() (struct{}, error) { // if the disk stays full, the pull to come will say so
		err := b.passSmall(ctx, blob)
		if err != nil && !errors.Is(err, docker.ErrNoSpace) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(waits), backoff.WithMaxElapsedTime(collectPatience))
}

// passSmall brings an empty image into the engine, or else the blob, and removes it.
func (b *workbench) passSmall(ctx context.Context, blob string) error {
	defer b.drop(ctx, collectedName)
	err := b.loadEmpty(ctx)
	if errors.Is(err, docker.ErrStalled) && blob != "" {
		defer func() { _ = b.held.release(ctx, blob) }() // what is left does no harm
		return b.hold(ctx, blob, nil)
	}
	return err
}

func (b *workbench) loadEmpty(ctx context.Context) error {
	root, err := image.ParseManifest([]byte(`{"schemaVersion":2,"mediaType":"`+ocispec.MediaTypeImageIndex+`","manifests":[]}`),
		ocispec.MediaTypeImageIndex)
	if err != nil {
		return err
	}
	layout := image.NewLayout()
	layout.Add([]string{collectedName}, root)
	archive, err := layout.Archive()
	if err != nil {
		return err
	}
	return b.loadArchive(ctx, archive)
}

// smallest returns the reference of the tree's smallest blob, or "" if it has none.
func (w *workspace) smallest(tree image.Tree) string {
	blobs := tree.Blobs()
	if len(blobs) == 0 {
		return ""
	}
	return w.blobReference(slices.MinFunc(blobs, func(a, b ocispec.Descriptor) int { return cmp.Compare(a.Size, b.Size) }))
}
