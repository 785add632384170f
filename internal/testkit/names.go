package testkit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// Tag implements that method of transfer.Engine.
func (e *Engine) Tag(ctx context.Context, source, target string) error {
	err := e.begin(ctx, "tag "+target)
	defer e.Mu.Unlock()
	if err != nil && !errors.Is(err, context.Canceled) { // an engine tags although its client is gone
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
	return err
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
		if docker.RepositoryOf(other) == docker.RepositoryOf(ref) && other != ref {
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
