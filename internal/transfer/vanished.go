package transfer

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
)

// vanishedTries is how often an image is pulled that has vanished from the engine before it was used. The classic store
// deletes an image with its last name, even if a pull under another name has just found it there: that pull succeeds, and
// its reference leads nowhere. Two repositories often contain the same image.
const vanishedTries = 3

// imageID pulls a reference of the target, and returns the digest of its config, which is empty for an index.
func (b *workbench) imageID(ctx context.Context, ref string) (id digest.Digest, err error) {
	for range vanishedTries {
		id, err = b.pulledID(ctx, ref)
		if !errors.Is(err, docker.ErrNotFound) {
			break
		}
	}
	return id, err
}

func (b *workbench) pulledID(ctx context.Context, ref string) (digest.Digest, error) {
	err := b.hold(ctx, ref, nil)
	defer func() { _ = b.held.release(ctx, ref) }() // what is left does no harm
	if err != nil {
		return "", fmt.Errorf("pull what GitLab has under the tag: %w", err)
	}
	return b.engine.ImageID(ctx, ref)
}

// tagPulled gives a pulled image another name.
func (w *workspace) tagPulled(ctx context.Context, pulled, name string) error {
	err := w.engine.Tag(ctx, pulled, name)
	for try := 1; try < vanishedTries && errors.Is(err, docker.ErrNotFound); try++ {
		if err := w.fetch(ctx, pulled, w.progress); err != nil {
			return err
		}
		err = w.engine.Tag(ctx, pulled, name)
	}
	return err
}
