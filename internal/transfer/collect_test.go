package transfer

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

// litteredEngine keeps what failed pulls have left until an image is removed.
type litteredEngine struct {
	*testkit.Engine
	littered bool
	loads    []error // what the loads end with; the next ones succeed
	pulls    func(ctx context.Context, progress docker.Listener) error
}

func (e *litteredEngine) Load(ctx context.Context, archive []byte) error {
	if len(e.loads) > 0 {
		err := e.loads[0]
		e.loads = e.loads[1:]
		return err
	}
	return e.Engine.Load(ctx, archive)
}

func (e *litteredEngine) Pull(ctx context.Context, ref string, progress docker.Listener) error {
	if e.pulls != nil {
		return e.pulls(ctx, progress)
	}
	_ = e.Engine.Pull(ctx, ref, progress) // a single blob has arrived when its pull fails
	return nil
}

func (e *litteredEngine) Remove(ctx context.Context, ref string) error {
	before := e.Holds(ref)
	err := e.Engine.Remove(ctx, ref)
	e.littered = e.littered && !before
	return err
}

// littered returns a workspace on such an engine, and a blob that it can pull.
func littered(t *testing.T, store image.Store) (*litteredEngine, *workspace, ocispec.Descriptor) {
	t.Helper()
	img, source := testkit.Image(t, "app"), testkit.NewRegistry()
	source.Push("app", img, "1")
	engine := &litteredEngine{Engine: testkit.NewEngine(source), littered: true}
	engine.Kind = store
	copier := New(Setup{Source: source, Engine: engine, Store: store, Catalog: plan.NewCatalog()})
	return engine, copier.workspace(testkit.Repository("app"), nil), img.Config
}

// Before an image is pulled on its own, containerd deletes what failed pulls have left.
func TestCollect(t *testing.T) {
	for _, test := range []struct {
		name  string
		store image.Store
		loads []error
		left  bool
	}{
		{name: "containerd"},
		{name: "no room for a load at first", loads: []error{docker.ErrNoSpace, docker.ErrNoSpace}},
		{name: "no room for a load", loads: slices.Repeat([]error{docker.ErrNoSpace}, 1000), left: true},
		{name: "loads that do not end", loads: slices.Repeat([]error{docker.ErrStalled}, enoughStuck)},
		{name: "another failure", loads: []error{docker.ErrInvalid}, left: true},
		{name: "classic", store: image.ClassicStore, left: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				engine, w, blob := littered(t, cmp.Or(test.store, image.ContainerdStore))
				engine.loads = test.loads
				began := time.Now()
				w.collect(t.Context(), w.blobReference(blob))
				if engine.littered != test.left {
					t.Errorf("littered: %v", engine.littered)
				}
				if took := time.Since(began); took > 2*collectPatience {
					t.Errorf("took %s", took)
				}
				engine.ExpectEmpty(t)
			})
		})
	}
}

// The pull of a single blob ends when it has told of no progress for too long, and only then.
func TestBlobIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, w, blob := littered(t, image.ContainerdStore)
		engine.pulls = func(ctx context.Context, progress docker.Listener) error {
			for range 3 {
				time.Sleep(blobPatience - time.Second)
				progress(docker.Progress{})
			}
			return hang(ctx)
		}
		began := time.Now()
		err := w.holdBlob(t.Context(), w.blobReference(blob))
		if took := time.Since(began); !errors.Is(err, docker.ErrStalled) || took != 4*blobPatience-3*time.Second {
			t.Errorf("after %s: %v", took, err)
		}
	})
}
