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

// PullContent brings an image's blobs, which stay until Sweep, and no image.
func (e *Engine) PullContent(ctx context.Context, ref string, _ []digest.Digest, _ docker.Listener) error {
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

// stored finds what the target has for a digest reference.
func (e *Engine) stored(ref string) (image.Manifest, bool) {
	_, d, _ := strings.Cut(ref, "@")
	return e.Manifests[digest.Digest(d)], e.Arrived[ref]
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

// Tag implements that method of transfer.Engine.
func (e *Engine) Tag(ctx context.Context, source, target string) error {
	err := e.begin(ctx, "tag "+target)
	defer e.Mu.Unlock()
	if err != nil {
		return err
	}
	d, ok := e.local[source]
	if !ok {
		d, ok = e.byID(source)
	}
	if !ok {
		return fmt.Errorf("no such image: %s: %w", source, docker.ErrNotFound)
	}
	e.name(target, d)
	return nil
}

// name gives a reference to an image. The image that loses it stays, even if nothing else refers to it.
func (e *Engine) name(ref string, d digest.Digest) {
	old, moved := e.local[ref]
	e.local[ref] = d
	delete(e.Unnamed, d)
	if moved && old != d && len(e.references(old)) == 0 {
		e.Unnamed[old] = true
	}
}

// references returns the references to an image.
func (e *Engine) references(d digest.Digest) []string {
	var refs []string
	for ref, other := range e.local {
		if other == d {
			refs = append(refs, ref)
		}
	}
	slices.Sort(refs)
	return refs
}

// Keep gives references to an image, which is the user's own.
func (e *Engine) Keep(m image.Manifest, refs ...string) {
	e.Manifests[m.Digest] = m
	for _, blob := range m.Blobs() {
		e.Content[blob.Digest] = true
	}
	if len(refs) == 0 {
		e.Unnamed[m.Digest] = true
	}
	for _, ref := range refs {
		e.local[ref] = m.Digest
	}
}

// Holdings lists the images, each with its references, "digest: reference reference".
func (e *Engine) Holdings() []string {
	var list []string
	for d := range e.Manifests {
		if refs := e.references(d); len(refs) > 0 || e.Unnamed[d] {
			list = append(list, d.String()+": "+strings.Join(refs, " "))
		}
	}
	slices.Sort(list)
	return list
}

// id is what the engine calls an image's ID.
func (e *Engine) id(d digest.Digest) digest.Digest {
	if e.Kind == image.ClassicStore {
		return e.Manifests[d].Config.Digest
	}
	return d
}

// Local implements that method of transfer.Engine.
func (e *Engine) Local(ctx context.Context) ([]image.Local, error) {
	err := e.begin(ctx, "list")
	defer e.Mu.Unlock()
	var images []image.Local
	for d := range e.Manifests {
		if refs := e.references(d); len(refs) > 0 || e.Unnamed[d] {
			images = append(images, image.Local{ID: e.id(d), Names: refs})
		}
	}
	return images, err
}

// Find implements that method of transfer.Engine.
func (e *Engine) Find(ctx context.Context, ref string) (image.Local, error) {
	err := e.begin(ctx, "find "+ref)
	defer e.Mu.Unlock()
	if err != nil {
		return image.Local{}, err
	}
	d, ok := e.local[ref]
	if !ok {
		d, ok = e.byID(ref)
	}
	if !ok {
		return image.Local{}, fmt.Errorf("no such image: %s: %w", ref, docker.ErrNotFound)
	}
	return image.Local{ID: e.id(d), Names: e.references(d)}, nil
}

func (e *Engine) byID(id string) (digest.Digest, bool) {
	for d := range e.Manifests {
		if e.id(d).String() == id && (e.Unnamed[d] || len(e.references(d)) > 0) {
			return d, true
		}
	}
	return "", false
}

// Push implements that method of transfer.Engine.
func (e *Engine) Push(ctx context.Context, ref string, _ docker.Listener) (digest.Digest, error) {
	err := e.begin(ctx, "push "+ref)
	defer e.Mu.Unlock()
	if err != nil {
		return "", err
	}
	tree, err := e.tree(ref)
	if err != nil {
		return "", err
	}
	for _, blob := range tree.Blobs() {
		if !e.Content[blob.Digest] && !e.Arrived[repositoryOf(ref)+"@"+blob.Digest.String()] {
			return "", fmt.Errorf("content digest %s: not found", blob.Digest)
		}
	}
	pushed := e.pushedDigest(ref, tree.Root.Digest)
	if !e.Lost[ref] {
		e.arrive(ref, pushed, tree)
	}
	if strings.Contains(ref, "@") {
		return "", nil
	}
	if e.Kind == image.ClassicStore {
		e.name(repositoryOf(ref)+"@"+pushed.String(), e.local[ref])
	}
	return pushed, nil
}

// pushedDigest is the image's own, unless the classic store has compressed its layers again.
func (e *Engine) pushedDigest(ref string, d digest.Digest) digest.Digest {
	switch answer := e.Answers[ref]; {
	case answer != "":
		return answer
	case e.Kind == image.ClassicStore:
		return Recompressed(d)
	}
	return d
}

// Recompressed is the digest that the classic store pushes in place of another.
func Recompressed(d digest.Digest) digest.Digest {
	return digest.FromString("compressed again: " + d.String())
}

func (e *Engine) arrive(ref string, pushed digest.Digest, tree image.Tree) {
	e.Tags[ref] = pushed
	for _, m := range tree.Manifests() {
		e.Arrived[repositoryOf(ref)+"@"+m.Digest.String()] = true
		for _, blob := range m.Blobs() {
			e.Arrived[repositoryOf(ref)+"@"+blob.Digest.String()] = true
		}
	}
}

// repositoryOf takes tag or digest off a reference of the target, whose host has no port.
func repositoryOf(ref string) string {
	repository, _, _ := strings.Cut(ref, "@")
	repository, _, _ = strings.Cut(repository, ":")
	return repository
}

// Resolve implements that method of transfer.Engine.
func (e *Engine) Resolve(ctx context.Context, ref string) (image.Resolved, error) {
	err := e.begin(ctx, "resolve "+ref)
	defer e.Mu.Unlock()
	if err != nil {
		return image.Resolved{}, err
	}
	if m, ok := e.listed(ref); ok {
		return image.Resolved{Digest: m.Digest, Platforms: []ocispec.Platform{e.Platforms[m.Digest]}}, nil
	}
	if d, ok := e.Stands[ref]; ok && e.Tags[ref] != "" {
		return image.Resolved{Digest: d}, nil
	}
	if d, ok := e.Tags[ref]; ok {
		return image.Resolved{Digest: d}, nil
	}
	return image.Resolved{}, fmt.Errorf("manifest unknown: %w", docker.ErrNotFound)
}

// Remove takes a reference away, and the blobs that no other reference needs.
func (e *Engine) Remove(ctx context.Context, ref string) error {
	err := e.begin(ctx, "remove "+ref)
	defer e.Mu.Unlock()
	if err != nil {
		return err
	}
	for _, removed := range e.removedWith(ref) {
		delete(e.local, removed)
	}
	delete(e.blobs, ref)
	e.prune()
	return nil
}

// Holds reports whether the engine has the reference.
func (e *Engine) Holds(ref string) bool {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	return e.local[ref] != "" || e.blobs[ref] != ""
}

// removedWith returns what an engine removes with a reference, or with an image by its ID: with the last tag of a repository
// its digest references to the image, and, in the containerd store, with a digest reference the repository's other
// references.
func (e *Engine) removedWith(ref string) []string {
	d, ok := e.local[ref]
	if !ok {
		d, _ = e.byID(ref)
		return e.references(d)
	}
	var same []string
	tags := 0
	for _, other := range e.references(d) {
		if repositoryOf(other) == repositoryOf(ref) && other != ref {
			same = append(same, other)
			if !strings.Contains(other, "@") {
				tags++
			}
		}
	}
	byDigest := strings.Contains(ref, "@")
	if byDigest && e.Kind == image.ClassicStore || !byDigest && tags > 0 {
		return []string{ref}
	}
	return append(same, ref)
}

// Vanish takes a reference away, as the classic store does if another caller removes the image at that moment.
func (e *Engine) Vanish(ref string) {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	delete(e.local, ref)
}

// prune drops the blobs that nothing needs.
func (e *Engine) prune() {
	needed := maps.Clone(e.pinned)
	for _, d := range e.blobs {
		needed[d] = true
	}
	for _, d := range slices.Concat(slices.Collect(maps.Values(e.local)), slices.Collect(maps.Keys(e.Unnamed))) {
		for _, blob := range image.NewTree(e.Manifests[d], e.Manifests).Blobs() {
			needed[blob.Digest] = true
		}
	}
	maps.DeleteFunc(e.Content, func(d digest.Digest, _ bool) bool { return !needed[d] })
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
