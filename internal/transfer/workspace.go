package transfer

import (
	"context"
	"errors"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/schedule"
)

// workspace is what one copy has in the engine: what was pulled from one repository, and names for the target.
type workspace struct {
	*workbench
	progress   docker.Listener // hears what is transferred
	repository image.Repository
	present    map[digest.Digest]bool // blobs that are not to be brought: the engine has them, or need not have them
	partial    bool                   // the engine need not have all blobs
	fellBack   bool                   // blobs could not be had by themselves
	homemade   bool                   // the root is of our own making: no registry has it
	trusted    bool                   // nobody has looked whether the engine has all that a push needs
	doubtful   bool                   // a push has failed: look
	shared     map[digest.Digest]bool // blobs that images to come consist of, too
	pulled     []schedule.HeldRef
	cut        []plan.BlobID // that came by pulls which were cut off
	named      []string
	id         string // of the image in the classic store, which is its config's digest
}

func (b *workbench) workspace(repository image.Repository, progress docker.Listener) *workspace {
	return &workspace{workbench: b, progress: progress, repository: repository}
}

// bring pulls all of the tree into the engine, names the root by the targets, and checks that all is there.
func (w *workspace) bring(ctx context.Context, tree image.Tree, targets []string) error {
	way := w.strategy(tree.Root)
	if way == asImage && !tree.Root.IsIndex() {
		w.id = tree.Root.Config.Digest.String()
		if err := w.pull(ctx, tree.Root); err != nil {
			return err
		}
		if err := w.tag(ctx, tree.Root, targets); err != nil {
			return err
		}
		return w.check(ctx, targets[0])
	}
	if err := w.load(ctx, targets, tree); errors.Is(err, docker.ErrStalled) {
		return w.bringUnloaded(ctx, tree, targets)
	} else if err != nil {
		return err
	}
	for _, leaf := range tree.Leaves() {
		if err := w.content(ctx, leaf); err != nil {
			return err
		}
	}
	if w.trusted = w.trusts(tree.Root, way); w.trusted {
		return nil
	}
	err := w.check(ctx, targets[0])
	if errors.Is(err, ErrIncomplete) && len(w.cut) > 0 {
		return w.complete(ctx, tree, targets[0])
	}
	return err
}

// trusts reports whether the check, which costs an engine as much as the pull of a blob, can be left to the push: each
// blob of a single image has been pulled by itself, or the engine need not have them all. A push that finds something
// missing fails, and is made good. That of an index could replace its tag before.
func (w *workspace) trusts(root image.Manifest, way pullStrategy) bool {
	return !w.doubtful && (w.partial || way == byBlob && !root.IsIndex() && !w.fellBack)
}

// complete pulls as images what pulls that were cut off have not brought whole.
func (w *workspace) complete(ctx context.Context, tree image.Tree, target string) error {
	for _, leaf := range tree.Leaves() {
		if err := w.pull(ctx, leaf); err != nil {
			return err
		}
	}
	return w.check(ctx, target)
}

// tag gives a single image that was pulled its names at the target.
func (w *workspace) tag(ctx context.Context, m image.Manifest, targets []string) error {
	w.named = append(w.named, targets...)
	for _, target := range targets {
		if err := w.engine.Tag(ctx, w.repository.Reference(m), target); err != nil {
			return FailedAt(StepTag, target, err)
		}
	}
	return nil
}

// load has the engine take the tree's manifests, and know the root by the names. That makes an image of it whatever
// its platforms are: the engine's own pull of an index wants a platform, and chooses by rules of its own. Blobs are
// pulled afterwards: what is loaded with its blobs there the engine would unpack.
func (w *workspace) load(ctx context.Context, names []string, tree image.Tree) error {
	w.named = append(w.named, names...)
	l := image.NewLayout()
	l.Add(names, tree.Root, tree.Manifests()[1:]...)
	for _, leaf := range tree.Leaves() {
		if w.strategy(leaf) == interrupted {
			w.keep(l, w.missing(leaf))
		}
	}
	archive, err := l.Archive()
	if err == nil {
		err = w.loadArchive(ctx, archive)
	}
	if err != nil {
		return FailedAt(StepTag, names[0], err)
	}
	return nil
}

// loadArchive tries a load that is stuck once more, unless others were stuck, too.
func (w *workspace) loadArchive(ctx context.Context, archive []byte) (err error) {
	for !w.loads.over() {
		err = w.engine.Load(ctx, archive)
		if w.loads.note(err); !errors.Is(err, docker.ErrStalled) {
			return err
		}
	}
	return errStuck
}

// unname takes the names for the target away again, after an interruption, too. What cannot be removed does no harm
// to the copy.
func (w *workspace) unname(ctx context.Context) {
	ctx, cancel := w.cleanup.context(ctx)
	defer cancel()
	for _, ref := range w.named {
		_ = w.engine.Remove(ctx, ref)
	}
	w.named = nil
}

// handOver gives away what holds the blobs in the engine; the names hold them, too.
func (w *workspace) handOver() []schedule.HeldRef {
	pulled := w.pulled
	w.pulled = nil
	return pulled
}

// clear takes everything away from the engine again.
func (w *workspace) clear(ctx context.Context) {
	w.unname(ctx)
	w.Release(ctx, w.handOver())
}
