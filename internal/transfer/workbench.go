package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/schedule"
)

// workbench is what all copies share: the engine, and what is known about it and held in it.
type workbench struct {
	source    Source
	engine    Engine
	retry     func(ctx context.Context, step Step, ref string, call func() error) error // see Setup
	store     image.Store
	dedicated bool   // nobody else uses the engine
	guest     *guest // the engine, unless it is dedicated
	catalog   *plan.Catalog
	held      *references
	traffic   *Traffic
	cleanup   Cleanup
	blobs     blobPulls
	loads     loads
	litter    atomic.Pointer[string] // a small blob of an image for which the engine's disk had no room; nil: it had room for all
	refused   refusedTypes
}

// check makes sure that the engine holds everything below a reference: with a manifest missing, an index would arrive as
// one platform, and with a blob missing, the push would fail. The classic store holds an image completely or not at all.
func (b *workbench) check(ctx context.Context, ref string) error {
	if b.store == image.ClassicStore {
		return nil
	}
	missing, err := b.engine.Missing(ctx, ref)
	if err != nil {
		return FailedAt(StepCheck, ref, err)
	}
	if len(missing) > 0 {
		return FailedAt(StepCheck, ref, fmt.Errorf("%w: %d of its manifests are incomplete, the first is %s",
			ErrIncomplete, len(missing), missing[0]))
	}
	return nil
}

// Release releases references that a schedule no longer keeps.
func (b *workbench) Release(ctx context.Context, holds []schedule.HeldRef) {
	for _, h := range holds {
		_ = b.held.release(ctx, h.Ref)
	}
}

// drop removes a reference from the engine. A failure does not affect the copy.
func (b *workbench) drop(ctx context.Context, ref string) {
	ctx, cancel := b.cleanup.context(ctx)
	defer cancel()
	_ = b.engine.Remove(ctx, ref)
}

// hold pulls the reference unless the engine holds it already, and holds it until it is released.
func (b *workbench) hold(ctx context.Context, ref string, progress docker.Listener) error {
	return b.held.pull(ref, func() error { return b.fetch(ctx, ref, progress) })
}

// fetch pulls a reference of the source registry.
func (b *workbench) fetch(ctx context.Context, ref string, progress docker.Listener) error {
	return withFreshCredentials(ctx, b.source, func(ctx context.Context) error { return b.fetchOnce(ctx, ref, progress) })
}

// fetchOnce pulls a reference of either registry, without renewing credentials. The containerd store fails the pull of what
// it cannot unpack, such as an attestation or a single blob, after all of its content has arrived. That is no failure here.
func (b *workbench) fetchOnce(ctx context.Context, ref string, progress docker.Listener) error {
	err := b.engine.Pull(ctx, ref, progress)
	if err != nil && b.store == image.ContainerdStore && ctx.Err() == nil && b.check(ctx, ref) == nil {
		return nil
	}
	return err
}

// credentialTries is how often a call is made with credentials that were renewed for it. A call that outlives its token
// needs another try, however slow the network is.
const credentialTries = 3

// withFreshCredentials makes a call to the source's registry, and makes it again while the registry denies it and the
// source has fresher credentials than the call can have used: a registry may revoke a token early.
func withFreshCredentials(ctx context.Context, source Source, call func(context.Context) error) error {
	var denied error
	for try := 1; ; try++ {
		began := time.Now()
		err := call(ctx)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, docker.ErrDenied) && denied == nil:
			return err
		case !errors.Is(err, docker.ErrDenied):
			return errors.Join(denied, err) // the remains of a denied pull can make the next one fail
		case try == credentialTries:
			return err
		}
		denied = err
		fresh, err := source.Renew(ctx, began)
		switch {
		case err != nil:
			return errors.Join(denied, err)
		case !fresh:
			return denied
		}
	}
}

// Sweep drops the content of interrupted pulls, and of pulls that found the disk full, from the engine. It reports whether
// that was possible. It drops only the latter where the engine is not dedicated: anything else would end the pulls of others.
func (b *workbench) Sweep(ctx context.Context) bool {
	if !b.traffic.sweep(ctx, func() {
		if !b.dedicated {
			return
		}
		ctx, cancel := b.cleanup.context(ctx)
		defer cancel()
		_ = b.engine.Sweep(ctx) // a failure does not affect the copy
	}) {
		return false
	}
	b.collect(ctx)
	return true
}

// SourceResolver resolves references of the source registry, and renews credentials that it refuses.
type SourceResolver struct {
	Source Source
	Engine plan.Resolver
}

// Resolve asks the registry, through the engine.
func (s SourceResolver) Resolve(ctx context.Context, ref string) (resolved image.Resolved, err error) {
	err = withFreshCredentials(ctx, s.Source, func(ctx context.Context) (err error) {
		resolved, err = s.Engine.Resolve(ctx, ref)
		return err
	})
	return resolved, err
}
