package transfer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

// litteredEngine keeps what failed pulls have left until an image is removed.
type litteredEngine struct {
	*testkit.Engine
	littered bool
	pulls    func(ctx context.Context, progress docker.Listener) error // in place of the engine's
}

func (e *litteredEngine) Pull(ctx context.Context, ref string, progress docker.Listener) error {
	if e.pulls != nil {
		if err := e.pulls(ctx, progress); err != nil {
			return err
		}
	}
	_ = e.Engine.Pull(ctx, ref, progress) // a single blob has arrived when its pull fails
	return nil
}

func (e *litteredEngine) Remove(ctx context.Context, ref string) error {
	e.littered = e.littered && !e.Holds(ref)
	return e.Engine.Remove(ctx, ref)
}

// littered returns a workspace on such an engine, and an image that it can pull.
func littered(t *testing.T, store image.Store) (*litteredEngine, *workspace, image.Manifest) {
	t.Helper()
	img, source := testkit.Image(t, "app"), testkit.NewRegistry()
	source.Push("app", img, "1")
	engine := &litteredEngine{Engine: testkit.NewEngine(source), littered: true}
	engine.Kind = store
	copier := New(Setup{Source: source, Engine: engine, Store: store, Catalog: plan.NewCatalog(), Traffic: NewTraffic()})
	return engine, copier.workspace(testkit.Repository("app"), nil), img
}

// After an image has found the disk full, a sweep has containerd delete what failed pulls have left.
func TestSweepCollects(t *testing.T) {
	full := func(times int) func(context.Context, docker.Listener) error {
		return func(context.Context, docker.Listener) error {
			if times--; times < 0 {
				return nil
			}
			return docker.ErrNoSpace
		}
	}
	for _, test := range []struct {
		name  string
		store image.Store
		pulls func(context.Context, docker.Listener) error
		left  bool
	}{
		{name: "containerd", store: image.ContainerdStore},
		{name: "no room for a blob at first", store: image.ContainerdStore, pulls: full(2)},
		{name: "no room for a blob", store: image.ContainerdStore, pulls: full(1000), left: true},
		{name: "a blob that is locked", store: image.ContainerdStore, pulls: func(ctx context.Context, _ docker.Listener) error { return hang(ctx) }, left: true},
		{name: "classic", store: image.ClassicStore, left: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				engine, w, img := littered(t, test.store)
				engine.pulls = test.pulls
				w.small = w.smallest(image.NewTree(img, nil))
				copied := &Copy{work: w}
				copied.MakeRoom(t.Context())
				began := time.Now()
				if !w.Sweep(t.Context()) || engine.littered != test.left {
					t.Errorf("littered: %v", engine.littered)
				}
				if took := time.Since(began); took > collectPatience {
					t.Errorf("took %s", took)
				}
				if again := time.Now(); !w.Sweep(t.Context()) || time.Since(again) > 0 {
					t.Error("the blob was tried again, after it had failed")
				}
				engine.ExpectEmpty(t)
			})
		})
	}
}

// The pull of a single blob ends when it has told of no progress for too long, and only then.
func TestBlobIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, w, img := littered(t, image.ContainerdStore)
		engine.pulls = func(ctx context.Context, progress docker.Listener) error {
			for range 3 {
				time.Sleep(blobPatience - time.Second)
				progress(docker.Progress{})
			}
			return hang(ctx)
		}
		began := time.Now()
		err := w.holdBlob(t.Context(), w.blobReference(img.Config))
		if took := time.Since(began); !errors.Is(err, docker.ErrStalled) || took != 4*blobPatience-3*time.Second {
			t.Errorf("after %s: %v", took, err)
		}
	})
}

// A foreign layer that is stuck by itself is left to the pull of its image.
func TestForeignBlobIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, w, _ := littered(t, image.ContainerdStore)
		engine.pulls = func(ctx context.Context, _ docker.Listener) error { return hang(ctx) }
		d := testkit.ImageDocument("foreign")
		d.Layers[0] = testkit.Blob(image.MediaTypeDockerForeignLayer, "layer")
		d.Layers[0].URLs = []string{"https://layers.example.com/layer"}
		began := time.Now()
		w.pullForeign(t.Context(), image.NewTree(d.Manifest(t), nil))
		if took := time.Since(began); took != blobPatience || w.present[d.Layers[0].Digest] || len(w.pulled) > 0 {
			t.Errorf("after %s: present %t, pulled %v", took, w.present[d.Layers[0].Digest], w.pulled)
		}
	})
}
