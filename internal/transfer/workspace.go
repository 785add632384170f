package transfer

import (
	"cmp"
	"context"
	"errors"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/schedule"
)

// workspace is what one copy holds in the engine: content pulled from one repository, and names for the target.
type workspace struct {
	*workbench
	progress   docker.Listener // of what is transferred
	repository image.Repository
	present    map[digest.Digest]bool // blobs that are not pulled, because the engine has them or does not need them
	partial    bool                   // the engine does not need all blobs
	fellBack   bool                   // single blobs could not be pulled
	homemade   bool                   // this program created the root: no registry has it
	trusted    bool                   // the engine has not been checked for what the push needs
	doubtful   bool                   // a push has failed, so the engine is checked
	shared     map[digest.Digest]bool // blobs that later items contain, too
	unpack     map[digest.Digest]bool // blobs that are worth unpacking: see schedule.Grant
	unpacking  []unpacking
	pulled     []schedule.HeldRef
	cut        []plan.BlobID // that came by interrupted pulls
	small      string        // reference of a small blob, for collect
	named      []string
	id         string           // of the image in the classic store: the digest of its config
	target     string           // the target repository
	first      []image.Manifest // to be pushed by their digests before the root is
}

func (b *workbench) workspace(repository image.Repository, progress docker.Listener) *workspace {
	return &workspace{workbench: b, progress: progress, repository: repository}
}

// bring pulls the tree into the engine, names its root by the targets, and checks that everything is there.
func (w *workspace) bring(ctx context.Context, tree image.Tree, targets []string) error {
	w.endUnpacking()
	w.pullForeign(ctx, tree)
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

// trusts reports whether the push may find out what is missing, since a check costs the engine as much as pulling a blob. It
// may if each blob of a single image was pulled by digest, or if the engine does not need all of them: a push that finds
// something missing fails, and is repeated. Pushing an incomplete index could replace its tag first.
func (w *workspace) trusts(root image.Manifest, way pullStrategy) bool {
	return !w.doubtful && (w.partial || way == byBlob && !root.IsIndex() && !w.fellBack)
}

// complete pulls as images what interrupted pulls have not brought completely.
func (w *workspace) complete(ctx context.Context, tree image.Tree, target string) error {
	w.endUnpacking()
	for _, leaf := range tree.Leaves() {
		if err := w.pull(ctx, leaf); err != nil {
			return err
		}
	}
	return w.check(ctx, target)
}

// tag gives a pulled single image its names at the target.
func (w *workspace) tag(ctx context.Context, m image.Manifest, targets []string) error {
	marks, err := w.claim(ctx, targets, digest.Digest(cmp.Or(w.id, m.Digest.String())))
	if err != nil {
		return err
	}
	for _, target := range append(marks, targets...) {
		if err := w.tagPulled(ctx, w.repository.Reference(m), target); err != nil {
			return FailedAt(StepTag, target, err)
		}
	}
	return nil
}

// load loads the tree's manifests into the engine, and names the root. That makes an image of any index: pulling an index
// requires a platform, which the engine may choose. Blobs are pulled later, because the engine unpacks an image that it
// loads with its blobs present.
func (w *workspace) load(ctx context.Context, names []string, tree image.Tree) error {
	marks, err := w.claim(ctx, names, tree.Root.Digest)
	if err != nil {
		return err
	}
	l := image.NewLayout()
	l.Add(append(marks, names...), tree.Root, tree.Manifests()[1:]...)
	w.nameFirst(l)
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

// claim prepares that the image of that ID gets the names, and returns the marks that it gets, too.
func (w *workspace) claim(ctx context.Context, names []string, id digest.Digest) (marks []string, err error) {
	for _, name := range names {
		if w.guest != nil && !isDigestReference(name) {
			mark, err := w.guest.claim(ctx, name, id)
			if err != nil {
				return nil, FailedAt(StepTag, name, err)
			}
			if mark != "" {
				marks = append(marks, mark)
			}
		}
		w.named = append(w.named, name)
	}
	return marks, nil
}

// unname removes the names for the target, even after an interruption. A failure does not affect the copy.
func (w *workspace) unname(ctx context.Context) {
	ctx, cancel := w.cleanup.context(ctx)
	defer cancel()
	for _, ref := range w.named {
		_ = w.engine.Remove(ctx, ref)
	}
	w.named = nil
}

// handOver returns the references that hold the blobs in the engine, and no longer owns them. The names hold the blobs, too.
func (w *workspace) handOver() []schedule.HeldRef {
	pulled := w.pulled
	w.pulled = nil
	return pulled
}

// clear removes everything of the copy from the engine.
func (w *workspace) clear(ctx context.Context) {
	w.endUnpacking()
	w.unname(ctx)
	w.Release(ctx, w.handOver())
}
