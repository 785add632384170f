package testkit

import (
	"context"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// stored finds what the target has for a digest reference.
func (e *Engine) stored(ref string) (image.Manifest, bool) {
	_, d, _ := strings.Cut(ref, "@")
	return e.Manifests[digest.Digest(d)], e.Arrived[ref]
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
		if !e.Content[blob.Digest] && !e.Arrived[docker.RepositoryOf(ref)+"@"+blob.Digest.String()] {
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
		e.name(docker.RepositoryOf(ref)+"@"+pushed.String(), e.local[ref])
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
		e.Arrived[docker.RepositoryOf(ref)+"@"+m.Digest.String()] = true
		for _, blob := range m.Blobs() {
			e.Arrived[docker.RepositoryOf(ref)+"@"+blob.Digest.String()] = true
		}
	}
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
