package transfer

import (
	"context"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// pullContent pulls a manifest's image until its layers are there. They are held by the image's names, and those that later
// items need by keep. If some are worth unpacking, that goes on while the image is pushed.
func (w *workspace) pullContent(ctx context.Context, m image.Manifest) error {
	missing := w.missing(m)
	w.cut = append(w.cut, w.catalog.Add(missing)...)
	ctx, cancel := context.WithCancel(ctx)
	arrived, ended := make(chan bool), make(chan error, 1)
	var cut docker.Cut
	for _, blob := range missing {
		if blob.Digest != m.Config.Digest {
			cut.Layers = append(cut.Layers, blob.Digest)
		}
		if w.unpack[blob.Digest] {
			cut.Unpack = append(cut.Unpack, blob.Digest)
		}
	}
	if len(cut.Unpack) > 0 {
		cut.Arrived = func() { close(arrived) }
	}
	go func() { ended <- w.pullCut(ctx, w.repository.Reference(m), cut) }()
	select {
	case <-arrived:
		w.unpacking = append(w.unpacking, unpacking{cancel, ended})
		return nil
	case err := <-ended:
		cancel()
		return err
	}
}

// pullCut pulls until the cut.
func (w *workspace) pullCut(ctx context.Context, ref string, cut docker.Cut) error {
	pull := func(ctx context.Context) error { return w.engine.PullContent(ctx, ref, cut, w.progress) }
	err := withFreshCredentials(ctx, w.source, pull)
	// A pull that completed before it was interrupted has left an image.
	tidy, cancel := w.cleanup.context(ctx)
	defer cancel()
	_ = w.engine.Remove(tidy, ref)
	if err != nil {
		return FailedAt(StepPull, ref, err)
	}
	return nil
}

// unpacking is a pull whose layers have arrived, and that goes on to unpack some of them.
type unpacking struct {
	cancel context.CancelFunc
	ended  <-chan error
}

// endUnpacking cuts off the pulls that are still unpacking.
func (w *workspace) endUnpacking() {
	for _, u := range w.unpacking {
		u.cancel()
		<-u.ended //nolint:errcheck // the layers have arrived, whatever became of the rest
	}
	w.unpacking = nil
}
