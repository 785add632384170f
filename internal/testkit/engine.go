package testkit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// Engine is an engine, with the source it pulls from and the target it pushes to, in memory.
type Engine struct {
	From *Registry
	Kind image.Store

	Mu        sync.Mutex
	Calls     []string                         // "pull ref", in their order
	local     map[string]digest.Digest         // by reference
	Unnamed   map[digest.Digest]bool           // images to which nothing refers
	Manifests map[digest.Digest]image.Manifest // that the engine has seen
	Content   map[digest.Digest]bool           // blobs that it has
	blobs     map[string]digest.Digest         // pulled by themselves, by reference
	NoBlobs   bool                             // it, or the registry, does not pull blobs by themselves
	pinned    map[digest.Digest]bool           // blobs of pulls that were cut off
	Hasty     map[digest.Digest]bool           // pulls that are cut off before all has arrived
	Tags      map[string]digest.Digest         // of the target, by reference
	Arrived   map[string]bool                  // digest references of the target, manifests and blobs
	Before    func(call string)                // sees every call before it is made, unlocked
	Stops     func() error                     // an error of every call, instead of what it does; nil: none
	Fails     map[string]error                 // by call
	Arrives   map[string]bool                  // pulls that fail after all has arrived
	Answers   map[string]digest.Digest         // what a push of the reference says it pushed
	Stands    map[string]digest.Digest         // what the target answers for a reference in truth's stead
	Rivals    map[digest.Digest]digest.Digest  // pulled while the engine holds the other one, the first comes incomplete
	Broken    map[digest.Digest]bool           // always pulled incomplete
	Lost      map[string]bool                  // pushes that end well and bring nothing
	Platforms map[digest.Digest]ocispec.Platform
}

// NewEngine returns an engine with the containerd store that pulls from the source.
func NewEngine(source *Registry) *Engine {
	return &Engine{
		From: source, Kind: image.ContainerdStore,
		local: map[string]digest.Digest{}, Unnamed: map[digest.Digest]bool{}, Manifests: map[digest.Digest]image.Manifest{}, Content: map[digest.Digest]bool{},
		blobs: map[string]digest.Digest{}, pinned: map[digest.Digest]bool{}, Hasty: map[digest.Digest]bool{},
		Tags: map[string]digest.Digest{}, Arrived: map[string]bool{}, Before: func(string) {},
		Fails: map[string]error{}, Arrives: map[string]bool{}, Answers: map[string]digest.Digest{},
		Stands: map[string]digest.Digest{}, Rivals: map[digest.Digest]digest.Digest{}, Broken: map[digest.Digest]bool{},
		Lost: map[string]bool{}, Platforms: map[digest.Digest]ocispec.Platform{},
	}
}

// begin notes the call, and returns the error it is to end with. The engine is locked afterwards.
func (e *Engine) begin(ctx context.Context, call string) error {
	e.Before(call)
	e.Mu.Lock()
	if e.Stops != nil {
		if err := e.Stops(); err != nil {
			return err
		}
	}
	e.Calls = append(e.Calls, call)
	if err := ctx.Err(); err != nil {
		return err
	}
	return e.Fails[call]
}

// Fail has a call end with an error from now on.
func (e *Engine) Fail(call string, err error) {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	e.Fails[call] = err
}

// Pull implements that method of transfer.Engine.
func (e *Engine) Pull(ctx context.Context, ref string, _ docker.Listener) error {
	err := e.begin(ctx, "pull "+ref)
	defer e.Mu.Unlock()
	if err != nil && !e.Arrives[ref] {
		return err
	}
	m, ok := e.listed(ref)
	if !ok {
		m, ok = e.stored(ref)
	}
	if !ok {
		return e.pullBlob(ref)
	}
	rival, rivalled := e.Rivals[m.Digest]
	spoilt := e.Broken[m.Digest] || rivalled && e.hasBlobs(e.Manifests[rival])
	e.Manifests[m.Digest] = m
	e.name(ref, m.Digest)
	for _, blob := range m.Blobs() {
		e.Content[blob.Digest] = e.Content[blob.Digest] || !spoilt
	}
	return err
}

// PullIndex makes an image of the index, with one of its own at most.
func (e *Engine) PullIndex(ctx context.Context, ref string, _ ocispec.Platform, _ docker.Listener) error {
	err := e.begin(ctx, "index "+ref)
	defer e.Mu.Unlock()
	if err != nil {
		return err
	}
	m, ok := e.listed(ref)
	if !ok {
		return fmt.Errorf("%s: %w", ref, docker.ErrNotFound)
	}
	e.Manifests[m.Digest] = m
	e.name(ref, m.Digest)
	return nil
}

// PullContent brings an image's blobs, which stay until Sweep, and no image. What is to be unpacked never is.
func (e *Engine) PullContent(ctx context.Context, ref string, cut docker.Cut, _ docker.Listener) error {
	if err := e.pullContent(ctx, ref); err != nil || len(cut.Unpack) == 0 {
		return err
	}
	cut.Arrived()
	<-ctx.Done()
	return nil
}

func (e *Engine) pullContent(ctx context.Context, ref string) error {
	err := e.begin(ctx, "cut "+ref)
	defer e.Mu.Unlock()
	if err != nil {
		return err
	}
	m, ok := e.listed(ref)
	if !ok {
		return fmt.Errorf("%s: %w", ref, docker.ErrNotFound)
	}
	for _, blob := range m.Blobs() {
		arrived := !e.Hasty[m.Digest]
		e.Content[blob.Digest], e.pinned[blob.Digest] = arrived || e.Content[blob.Digest], arrived
	}
	return nil
}

// Sweep implements that method of transfer.Engine.
func (e *Engine) Sweep(ctx context.Context) error {
	err := e.begin(ctx, "sweep")
	defer e.Mu.Unlock()
	if err != nil {
		return err
	}
	clear(e.pinned)
	e.prune()
	return nil
}

// pullBlob fetches a single blob, as an engine with the containerd store does: all of it arrives, and the pull fails.
func (e *Engine) pullBlob(ref string) error {
	name, d, _ := strings.Cut(strings.TrimPrefix(ref, SourceHost+"/"), "@")
	for _, m := range e.From.Held[name] {
		for _, blob := range m.Blobs() {
			if blob.Digest.String() == d && blob.Size <= image.MaxBlobPull && e.Kind == image.ContainerdStore && !e.NoBlobs {
				e.blobs[ref], e.Content[blob.Digest] = blob.Digest, true
				return errors.New("failed to unpack image: unexpected media type application/octet-stream")
			}
		}
	}
	return fmt.Errorf("%s: %w", ref, docker.ErrNotFound)
}

// listed finds what the source has for a digest reference.
func (e *Engine) listed(ref string) (image.Manifest, bool) {
	name, d, _ := strings.Cut(strings.TrimPrefix(ref, SourceHost+"/"), "@")
	m, ok := e.From.Held[name][digest.Digest(d)]
	return m, ok
}

// Load implements that method of transfer.Engine.
func (e *Engine) Load(ctx context.Context, archive []byte) error {
	files, err := ReadLayout(bytes.NewReader(archive))
	if err != nil {
		return err
	}
	err = e.begin(ctx, "load "+files.Names[0])
	defer e.Mu.Unlock()
	if err != nil {
		return err
	}
	for _, m := range files.Manifests {
		e.Manifests[m.Digest] = m
	}
	for ref, d := range files.Roots {
		e.name(ref, d)
	}
	return nil
}

// Missing implements that method of transfer.Engine.
func (e *Engine) Missing(ctx context.Context, ref string) ([]digest.Digest, error) {
	err := e.begin(ctx, "missing "+ref)
	defer e.Mu.Unlock()
	if err != nil {
		return nil, err
	}
	tree, err := e.tree(ref)
	if err != nil {
		return nil, err
	}
	return e.incomplete(tree), nil
}

func (e *Engine) tree(ref string) (image.Tree, error) {
	d, ok := e.local[ref]
	if _, isBlob := e.blobs[ref]; isBlob {
		return image.Tree{}, nil
	}
	if !ok {
		return image.Tree{}, fmt.Errorf("no such image: %s: %w", ref, docker.ErrNotFound)
	}
	return image.NewTree(e.Manifests[d], e.Manifests), nil
}

func (e *Engine) incomplete(tree image.Tree) []digest.Digest {
	var missing []digest.Digest
	for _, leaf := range tree.Leaves() {
		if !e.hasBlobs(leaf) {
			missing = append(missing, leaf.Digest)
		}
	}
	return missing
}

// hasBlobs reports whether all of an image's blobs are there. It has none of an image that it has never seen.
func (e *Engine) hasBlobs(m image.Manifest) bool {
	return m.Raw != nil && !slices.ContainsFunc(m.Blobs(), func(blob ocispec.Descriptor) bool { return !e.Content[blob.Digest] })
}

// Platform implements that method of transfer.Engine.
func (e *Engine) Platform(ctx context.Context, ref string) (ocispec.Platform, error) {
	err := e.begin(ctx, "platform "+ref)
	defer e.Mu.Unlock()
	return e.Platforms[e.local[ref]], err
}

// ImageID implements that method of transfer.Engine.
func (e *Engine) ImageID(ctx context.Context, ref string) (digest.Digest, error) {
	err := e.begin(ctx, "imageID "+ref)
	defer e.Mu.Unlock()
	if err != nil {
		return "", err
	}
	tree, err := e.tree(ref)
	return tree.Root.Config.Digest, err
}

// Count tells how often a call was made.
func (e *Engine) Count(call string) int {
	n := 0
	for _, c := range e.Calls {
		if c == call {
			n++
		}
	}
	return n
}

// Of returns the calls of the kinds, without what all references of a side begin with.
func (e *Engine) Of(kinds ...string) []string {
	var found []string
	for _, call := range e.Calls {
		if kind, ref, _ := strings.Cut(call, " "); slices.Contains(kinds, kind) {
			ref = strings.TrimPrefix(strings.TrimPrefix(ref, TargetBase+"/"), SourceHost+"/")
			found = append(found, kind+" "+ref)
		}
	}
	return found
}

// ExpectEmpty fails the test where the engine still has something of the migration.
func (e *Engine) ExpectEmpty(t *testing.T) {
	t.Helper()
	if len(e.local)+len(e.Unnamed)+len(e.blobs)+len(e.pinned) > 0 {
		t.Errorf("left in the engine: %q, %q, %q and %d pinned blobs",
			slices.Sorted(maps.Keys(e.local)), slices.Sorted(maps.Keys(e.Unnamed)), slices.Sorted(maps.Keys(e.blobs)), len(e.pinned))
	}
}
