package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/schedule"
)

// blobConcurrency is the number of blobs of one image that are pulled at once.
const blobConcurrency = 4

// blobPulls records whether pulling single blobs works. The engine asks the registry for the digest as a manifest, and then as
// a blob, which not every registry may answer.
type blobPulls struct {
	worked   atomic.Bool
	failures atomic.Int32
}

// enoughFailures is the number of failures, before any success, after which blobs are no longer pulled by digest.
const enoughFailures = 3

func (b *blobPulls) rejected() bool { return !b.worked.Load() && b.failures.Load() >= enoughFailures }

func (b *blobPulls) note(err error) {
	if err == nil {
		b.worked.Store(true)
	} else {
		b.failures.Add(1)
	}
}

// pullStrategy is a way to get the blobs of a manifest into the engine. Unpacking is most of the work of a pull, and a push
// does not require it.
type pullStrategy int

const (
	asImage     pullStrategy = iota // pull the image, and unpack it
	byBlob                          // pull each blob by digest
	interrupted                     // pull the image, and interrupt the pull when the blobs are there
)

// strategy chooses by what the engine lacks of the manifest. It interrupts pulls only in a dedicated engine, because sweeping
// what they leave sweeps what anybody's interrupted pulls have left.
func (w *workspace) strategy(m image.Manifest) pullStrategy {
	missing := w.missing(m)
	some := func(is func(ocispec.Descriptor) bool) bool { return slices.ContainsFunc(missing, is) }
	switch {
	case w.store == image.ClassicStore, some(isForeign):
		return asImage
	case !w.blobs.rejected() && !some(isLarge):
		return byBlob
	case w.dedicated && some(isLarge):
		return interrupted
	}
	return asImage
}

func isLarge(blob ocispec.Descriptor) bool { return blob.Size > image.MaxBlobPull }

// content gets the missing blobs of a manifest into the engine.
func (w *workspace) content(ctx context.Context, m image.Manifest) error {
	var err error
	switch w.strategy(m) {
	case byBlob:
		err = w.pullBlobs(ctx, w.missing(m))
		if errors.Is(err, docker.ErrStalled) && w.dedicated { // a full disk has room for the layers, but not unpacked
			w.fellBack = true
			err = w.pullContent(ctx, m)
		}
	case interrupted:
		err = w.pullContent(ctx, m)
	default:
		return w.pull(ctx, m)
	}
	if err == nil || ctx.Err() != nil || errors.Is(err, docker.ErrNoSpace) {
		return err
	}
	w.fellBack = true
	return w.pull(ctx, m)
}

// missing returns the blobs of the manifest that have to be pulled, each once.
func (w *workspace) missing(m image.Manifest) []ocispec.Descriptor {
	var blobs []ocispec.Descriptor
	seen := map[digest.Digest]bool{}
	for _, blob := range m.Blobs() {
		if !seen[blob.Digest] && !w.present[blob.Digest] {
			seen[blob.Digest] = true
			blobs = append(blobs, blob)
		}
	}
	return blobs
}

// arrived records that the engine has the blob.
func (w *workspace) arrived(blob ocispec.Descriptor) {
	if w.present == nil {
		w.present = map[digest.Digest]bool{}
	}
	w.present[blob.Digest] = true
}

// pullBlobs pulls each blob by digest. Blobs that have arrived stay if others fail.
func (w *workspace) pullBlobs(ctx context.Context, blobs []ocispec.Descriptor) error {
	errs := make([]error, len(blobs))
	var group errgroup.Group
	group.SetLimit(blobConcurrency)
	for i, blob := range blobs {
		group.Go(func() error {
			errs[i] = w.holdBlob(ctx, w.blobReference(blob))
			w.blobs.note(errs[i])
			return nil
		})
	}
	_ = group.Wait() // no function returns an error
	for i, blob := range blobs {
		errs[i] = w.takeOver(ctx, blob, errs[i])
	}
	return errors.Join(errs...)
}

// takeOver makes the blob one that the copy has pulled, or lets go of it if its pull has failed.
func (w *workspace) takeOver(ctx context.Context, blob ocispec.Descriptor, err error) error {
	h := schedule.HeldRef{Ref: w.blobReference(blob), Blobs: w.catalog.Add([]ocispec.Descriptor{blob})}
	if err != nil {
		w.Release(ctx, []schedule.HeldRef{h})
		return FailedAt(StepPull, h.Ref, err)
	}
	w.pulled = append(w.pulled, h)
	return nil
}

// blobPatience is how long the pull of a single blob may go without progress. containerd writes it under a name of its own,
// "unknown-<digest>", which a disk without space can leave locked until containerd restarts (core/metadata/content.go,
// Writer): every pull of that blob then waits forever, but that of its image writes under another name. A sweep holds up
// pulls for no longer than this.
const blobPatience = time.Minute

// holdBlob is hold for a single blob. A pull without progress ends with docker.ErrStalled.
func (w *workspace) holdBlob(ctx context.Context, ref string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(blobPatience, func() { cancel(fmt.Errorf("%w of a single blob for %s", docker.ErrStalled, blobPatience)) })
	defer timer.Stop()
	err := w.hold(ctx, ref, func(transfer docker.Progress) {
		timer.Reset(blobPatience)
		if w.progress != nil {
			w.progress(transfer)
		}
	})
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, docker.ErrStalled) {
		return cause
	}
	return err
}

func (w *workspace) blobReference(blob ocispec.Descriptor) string {
	return w.repository.URI + "@" + blob.Digest.String()
}

// keep pins each blob that later items need, by adding an artifact of its own to the layout.
func (w *workspace) keep(l *image.Layout, blobs []ocispec.Descriptor) {
	for _, blob := range blobs {
		if !w.shared[blob.Digest] {
			continue
		}
		pin, empty := pinOf(blob)
		name := pinName + ":" + blob.Digest.Encoded()
		l.Add([]string{name}, pin, empty)
		w.held.adopt(name)
		w.pulled = append(w.pulled, schedule.HeldRef{Ref: name, Blobs: w.catalog.Add([]ocispec.Descriptor{blob})})
	}
}

// pinOf returns an artifact that holds one blob, and its config.
func pinOf(blob ocispec.Descriptor) (pin, config image.Manifest) {
	return image.Artifact("application/vnd.ecr2gitlab.kept",
		ocispec.Descriptor{MediaType: "application/octet-stream", Digest: blob.Digest, Size: blob.Size})
}

// pull pulls one manifest with its blobs, as an image.
func (w *workspace) pull(ctx context.Context, m image.Manifest) error {
	ref := w.repository.Reference(m)
	w.pulled = append(w.pulled, schedule.HeldRef{Ref: ref, Blobs: w.catalog.Add(m.Blobs())})
	if err := w.hold(withForeignHosts(ctx, m), ref, w.progress); err != nil {
		return FailedAt(StepPull, ref, err)
	}
	return nil
}
