package migrate

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
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

// memoryEngine is an engine, with the source it pulls from and the target it pushes to, in memory.
type memoryEngine struct {
	source *testkit.Registry
	store  image.Store

	mu        sync.Mutex
	calls     []string                         // "pull ref", in their order
	local     map[string]digest.Digest         // by reference
	manifests map[digest.Digest]image.Manifest // that the engine has seen
	content   map[digest.Digest]bool           // blobs that it has
	blobs     map[string]digest.Digest         // pulled by themselves, by reference
	noBlobs   bool                             // it, or the registry, does not pull blobs by themselves
	pinned    map[digest.Digest]bool           // blobs of pulls that were cut off
	hasty     map[digest.Digest]bool           // pulls that are cut off before all has arrived
	tags      map[string]digest.Digest         // of the target, by reference
	arrived   map[string]bool                  // digest references of the target, manifests and blobs
	before    func(call string)                // sees every call before it is made, unlocked
	fails     map[string]error                 // by call
	arrives   map[string]bool                  // pulls that fail after all has arrived
	answers   map[string]digest.Digest         // what a push of the reference says it pushed
	stands    map[string]digest.Digest         // what the target answers for a reference in truth's stead
	rivals    map[digest.Digest]digest.Digest  // pulled while the engine holds the other one, the first comes incomplete
	broken    map[digest.Digest]bool           // always pulled incomplete
	lost      map[string]bool                  // pushes that end well and bring nothing
	platforms map[digest.Digest]ocispec.Platform
}

func newEngine(source *testkit.Registry) *memoryEngine {
	return &memoryEngine{
		source: source, store: image.ContainerdStore,
		local: map[string]digest.Digest{}, manifests: map[digest.Digest]image.Manifest{}, content: map[digest.Digest]bool{},
		blobs: map[string]digest.Digest{}, pinned: map[digest.Digest]bool{}, hasty: map[digest.Digest]bool{},
		tags: map[string]digest.Digest{}, arrived: map[string]bool{}, before: func(string) {},
		fails: map[string]error{}, arrives: map[string]bool{}, answers: map[string]digest.Digest{},
		stands: map[string]digest.Digest{}, rivals: map[digest.Digest]digest.Digest{}, broken: map[digest.Digest]bool{},
		lost: map[string]bool{}, platforms: map[digest.Digest]ocispec.Platform{},
	}
}

// begin notes the call, and returns the error it is to end with. The engine is locked afterwards.
func (e *memoryEngine) begin(ctx context.Context, call string) error {
	e.before(call)
	e.mu.Lock()
	e.calls = append(e.calls, call)
	if err := ctx.Err(); err != nil {
		return err
	}
	return e.fails[call]
}

// fail has a call end with an error from now on.
func (e *memoryEngine) fail(call string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fails[call] = err
}

func (e *memoryEngine) Pull(ctx context.Context, ref string, _ docker.Listener) error {
	err := e.begin(ctx, "pull "+ref)
	defer e.mu.Unlock()
	if err != nil && !e.arrives[ref] {
		return err
	}
	m, ok := e.listed(ref)
	if !ok {
		m, ok = e.stored(ref)
	}
	if !ok {
		return e.pullBlob(ref)
	}
	rival, rivalled := e.rivals[m.Digest]
	spoilt := e.broken[m.Digest] || rivalled && e.hasBlobs(e.manifests[rival])
	e.local[ref] = m.Digest
	e.manifests[m.Digest] = m
	for _, blob := range m.Blobs() {
		e.content[blob.Digest] = e.content[blob.Digest] || !spoilt
	}
	return err
}

// PullIndex makes an image of the index, with one of its own at most.
func (e *memoryEngine) PullIndex(ctx context.Context, ref string, _ ocispec.Platform, _ docker.Listener) error {
	err := e.begin(ctx, "index "+ref)
	defer e.mu.Unlock()
	if err != nil {
		return err
	}
	m, ok := e.listed(ref)
	if !ok {
		return fmt.Errorf("%s: %w", ref, ErrNotFound)
	}
	e.local[ref], e.manifests[m.Digest] = m.Digest, m
	return nil
}

// PullContent brings an image's blobs, which stay until Sweep, and no image.
func (e *memoryEngine) PullContent(ctx context.Context, ref string, _ []digest.Digest, _ docker.Listener) error {
	err := e.begin(ctx, "cut "+ref)
	defer e.mu.Unlock()
	if err != nil {
		return err
	}
	m, ok := e.listed(ref)
	if !ok {
		return fmt.Errorf("%s: %w", ref, docker.ErrNotFound)
	}
	for _, blob := range m.Blobs() {
		arrived := !e.hasty[m.Digest]
		e.content[blob.Digest], e.pinned[blob.Digest] = arrived || e.content[blob.Digest], arrived
	}
	return nil
}

func (e *memoryEngine) Sweep(ctx context.Context) error {
	err := e.begin(ctx, "sweep")
	defer e.mu.Unlock()
	clear(e.pinned)
	e.prune()
	return err
}

// pullBlob fetches a single blob, as an engine with the containerd store does: all of it arrives, and the pull fails.
func (e *memoryEngine) pullBlob(ref string) error {
	name, d, _ := strings.Cut(strings.TrimPrefix(ref, testkit.SourceHost+"/"), "@")
	for _, m := range e.source.Held[name] {
		for _, blob := range m.Blobs() {
			if blob.Digest.String() == d && blob.Size <= image.MaxBlobPull && e.store == image.ContainerdStore && !e.noBlobs {
				e.blobs[ref], e.content[blob.Digest] = blob.Digest, true
				return errors.New("failed to unpack image: unexpected media type application/octet-stream")
			}
		}
	}
	return fmt.Errorf("%s: %w", ref, docker.ErrNotFound)
}

// listed finds what the source has for a digest reference.
func (e *memoryEngine) listed(ref string) (image.Manifest, bool) {
	name, d, _ := strings.Cut(strings.TrimPrefix(ref, testkit.SourceHost+"/"), "@")
	m, ok := e.source.Held[name][digest.Digest(d)]
	return m, ok
}

// stored finds what the target has for a digest reference.
func (e *memoryEngine) stored(ref string) (image.Manifest, bool) {
	_, d, _ := strings.Cut(ref, "@")
	return e.manifests[digest.Digest(d)], e.arrived[ref]
}

func (e *memoryEngine) Load(ctx context.Context, archive []byte) error {
	files, err := testkit.ReadLayout(bytes.NewReader(archive))
	if err != nil {
		return err
	}
	err = e.begin(ctx, "load "+files.Names[0])
	defer e.mu.Unlock()
	if err != nil {
		return err
	}
	for _, m := range files.Manifests {
		e.manifests[m.Digest] = m
	}
	maps.Copy(e.local, files.Roots)
	return nil
}

func (e *memoryEngine) Missing(ctx context.Context, ref string) ([]digest.Digest, error) {
	err := e.begin(ctx, "missing "+ref)
	defer e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	tree, err := e.tree(ref)
	if err != nil {
		return nil, err
	}
	return e.incomplete(tree), nil
}

func (e *memoryEngine) tree(ref string) (image.Tree, error) {
	d, ok := e.local[ref]
	if _, isBlob := e.blobs[ref]; isBlob {
		return image.Tree{}, nil
	}
	if !ok {
		return image.Tree{}, fmt.Errorf("no such image: %s: %w", ref, docker.ErrNotFound)
	}
	return image.NewTree(e.manifests[d], e.manifests), nil
}

func (e *memoryEngine) incomplete(tree image.Tree) []digest.Digest {
	var missing []digest.Digest
	for _, leaf := range tree.Leaves() {
		if !e.hasBlobs(leaf) {
			missing = append(missing, leaf.Digest)
		}
	}
	return missing
}

// hasBlobs reports whether all of an image's blobs are there. It has none of an image that it has never seen.
func (e *memoryEngine) hasBlobs(m image.Manifest) bool {
	return m.Raw != nil && !slices.ContainsFunc(m.Blobs(), func(blob ocispec.Descriptor) bool { return !e.content[blob.Digest] })
}

func (e *memoryEngine) Platform(ctx context.Context, ref string) (ocispec.Platform, error) {
	err := e.begin(ctx, "platform "+ref)
	defer e.mu.Unlock()
	return e.platforms[e.local[ref]], err
}

func (e *memoryEngine) ImageID(ctx context.Context, ref string) (digest.Digest, error) {
	err := e.begin(ctx, "imageID "+ref)
	defer e.mu.Unlock()
	return e.manifests[e.local[ref]].Config.Digest, err
}

func (e *memoryEngine) Tag(ctx context.Context, source, target string) error {
	err := e.begin(ctx, "tag "+target)
	defer e.mu.Unlock()
	if err != nil {
		return err
	}
	if _, err := e.tree(source); err != nil {
		return err
	}
	e.local[target] = e.local[source]
	return nil
}

func (e *memoryEngine) Push(ctx context.Context, ref string, _ docker.Listener) (digest.Digest, error) {
	err := e.begin(ctx, "push "+ref)
	defer e.mu.Unlock()
	if err != nil {
		return "", err
	}
	tree, err := e.tree(ref)
	if err != nil {
		return "", err
	}
	for _, blob := range tree.Blobs() {
		if !e.content[blob.Digest] && !e.arrived[repositoryOf(ref)+"@"+blob.Digest.String()] {
			return "", fmt.Errorf("content digest %s: not found", blob.Digest)
		}
	}
	pushed := e.pushedDigest(ref, tree.Root.Digest)
	if !e.lost[ref] {
		e.arrive(ref, pushed, tree)
	}
	if strings.Contains(ref, "@") {
		return "", nil
	}
	return pushed, nil
}

// pushedDigest is the image's own, unless the classic store has compressed its layers again.
func (e *memoryEngine) pushedDigest(ref string, d digest.Digest) digest.Digest {
	switch answer := e.answers[ref]; {
	case answer != "":
		return answer
	case e.store == image.ClassicStore:
		return recompressed(d)
	}
	return d
}

func recompressed(d digest.Digest) digest.Digest {
	return digest.FromString("compressed again: " + d.String())
}

func (e *memoryEngine) arrive(ref string, pushed digest.Digest, tree image.Tree) {
	e.tags[ref] = pushed
	for _, m := range tree.Manifests() {
		e.arrived[repositoryOf(ref)+"@"+m.Digest.String()] = true
		for _, blob := range m.Blobs() {
			e.arrived[repositoryOf(ref)+"@"+blob.Digest.String()] = true
		}
	}
}

// repositoryOf takes tag or digest off a reference of the target, whose host has no port.
func repositoryOf(ref string) string {
	repository, _, _ := strings.Cut(ref, "@")
	repository, _, _ = strings.Cut(repository, ":")
	return repository
}

func (e *memoryEngine) Resolve(ctx context.Context, ref string) (image.Resolved, error) {
	err := e.begin(ctx, "resolve "+ref)
	defer e.mu.Unlock()
	if err != nil {
		return image.Resolved{}, err
	}
	if m, ok := e.listed(ref); ok {
		return image.Resolved{Digest: m.Digest, Platforms: []ocispec.Platform{e.platforms[m.Digest]}}, nil
	}
	if d, ok := e.stands[ref]; ok && e.tags[ref] != "" {
		return image.Resolved{Digest: d}, nil
	}
	if d, ok := e.tags[ref]; ok {
		return image.Resolved{Digest: d}, nil
	}
	return image.Resolved{}, fmt.Errorf("manifest unknown: %w", docker.ErrNotFound)
}

// Remove takes a reference away, and the blobs that no other reference needs.
func (e *memoryEngine) Remove(ctx context.Context, ref string) error {
	err := e.begin(ctx, "remove "+ref)
	defer e.mu.Unlock()
	if err != nil {
		return err
	}
	delete(e.local, ref)
	delete(e.blobs, ref)
	e.prune()
	return nil
}

// prune drops the blobs that nothing needs.
func (e *memoryEngine) prune() {
	needed := maps.Clone(e.pinned)
	for _, d := range e.blobs {
		needed[d] = true
	}
	for _, d := range e.local {
		for _, blob := range image.NewTree(e.manifests[d], e.manifests).Blobs() {
			needed[blob.Digest] = true
		}
	}
	maps.DeleteFunc(e.content, func(d digest.Digest, _ bool) bool { return !needed[d] })
}

// count tells how often a call was made.
func (e *memoryEngine) count(call string) int {
	n := 0
	for _, c := range e.calls {
		if c == call {
			n++
		}
	}
	return n
}

// of returns the calls of the kinds, without what all references of a side begin with.
func (e *memoryEngine) of(kinds ...string) []string {
	var found []string
	for _, call := range e.calls {
		if kind, ref, _ := strings.Cut(call, " "); slices.Contains(kinds, kind) {
			ref = strings.TrimPrefix(strings.TrimPrefix(ref, testkit.TargetBase+"/"), testkit.SourceHost+"/")
			found = append(found, kind+" "+ref)
		}
	}
	return found
}

// expectEmpty fails the test where the engine still has something of the migration.
func (e *memoryEngine) expectEmpty(t *testing.T) {
	t.Helper()
	if len(e.local)+len(e.blobs)+len(e.pinned) > 0 {
		t.Errorf("left in the engine: %q, %q and %d pinned blobs",
			slices.Sorted(maps.Keys(e.local)), slices.Sorted(maps.Keys(e.blobs)), len(e.pinned))
	}
}
