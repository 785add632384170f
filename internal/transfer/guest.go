package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// guest is an engine that holds the user's images. It keeps everything that was there before the run: names, digests, and
// images without a name.
//
// An engine removes more than it is asked to: with the last tag of a repository its digest references to the same image,
// and, in the containerd store, with a digest reference the tags, too. The last reference takes the image along. So if
// anything else refers to an image, the reference is first moved to an empty image, and removed from that.
type guest struct {
	Engine
	store   image.Store
	cleanup Cleanup // zero for what a killed run has left
	realms  []Realm
	names   map[string]bool        // references that are not the run's
	images  map[digest.Digest]bool // that were there before
	unnamed map[digest.Digest]bool // of these, the ones to which nothing referred

	mu       sync.Mutex
	taken    map[string]bool // tags that the run has given to images of its own
	parked   map[string]bool // of these, the ones that the user's images had
	anchored map[digest.Digest]bool
	blank    bool // the empty image is there
	failed   bool // something may be left in the engine
}

func newGuest(engine Engine, store image.Store, realms ...Realm) *guest {
	return &guest{
		Engine: engine, store: store, realms: realms,
		names: map[string]bool{}, images: map[digest.Digest]bool{}, unnamed: map[digest.Digest]bool{},
		taken: map[string]bool{}, parked: map[string]bool{}, anchored: map[digest.Digest]bool{},
	}
}

// respect records the current images as the user's.
func (g *guest) respect(images []image.Local) {
	for _, i := range images {
		g.images[i.ID] = true
		g.unnamed[i.ID] = len(i.Names) == 0
		for _, name := range i.Names {
			g.names[name] = true
		}
	}
}

// claim prepares that a tag is given to an image of the run, of that ID. If another image has the tag, it is kept under a
// name of the program's own. claim returns the name by which a later run recognizes the tag as this run's. That is empty if
// the user has given the tag to the very image, and keeps it.
func (g *guest) claim(ctx context.Context, ref string, id digest.Digest) (mark string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.taken[ref] {
		found, err := g.Find(ctx, ref)
		switch {
		case err != nil && !errors.Is(err, docker.ErrNotFound):
			return "", err
		case err == nil && found.ID == id:
			g.names[ref] = true
			return "", nil
		case err == nil:
			if err := g.park(ctx, ref); err != nil {
				return "", err
			}
		}
		g.taken[ref] = true
	}
	mark, _ = ownName(markPrefix, ref)
	return mark, nil
}

// park gives the user's image a second name. An interruption does not end that: the engine would give the name all the same,
// and this run would not know of it.
func (g *guest) park(ctx context.Context, ref string) error {
	name, ok := ownName(parkedPrefix, ref)
	if !ok {
		return errTooLong
	}
	ctx, cancel := g.cleanup.context(ctx)
	defer cancel()
	if err := g.Tag(ctx, ref, name); err != nil {
		return fmt.Errorf("keep the engine's own image of this name: %w", err)
	}
	g.parked[ref] = true
	return nil
}

// errTooLong: the user's image cannot be kept.
var errTooLong = errors.New("the engine has an image of this name, and the name is too long to keep the image under another: " +
	"use an engine without images of its own, such as a fresh docker:dind")

// Remove removes a reference that the run has brought, or an image by its ID. It leaves the user's alone.
func (g *guest) Remove(ctx context.Context, ref string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	err := g.remove(ctx, ref)
	g.failed = g.failed || err != nil && !isID(ref)
	return err
}

func (g *guest) remove(ctx context.Context, ref string) error {
	switch {
	case isID(ref):
		return g.removeImage(ctx, ref)
	case isDigestReference(ref):
		return g.removeDigest(ctx, ref)
	case g.taken[ref]:
		return g.returnTag(ctx, ref)
	case g.names[ref]:
		return g.dropStrays(ctx, ref, docker.RepositoryOf(ref))
	case isOwn(ref):
		return g.Engine.Remove(ctx, ref)
	}
	return nil
}

// removeImage removes an image by its ID, unless it is the user's.
func (g *guest) removeImage(ctx context.Context, id string) error {
	found, err := g.Find(ctx, id)
	switch {
	case errors.Is(err, docker.ErrNotFound):
		return nil
	case err != nil:
		return err
	case g.isUsers(found):
		return g.dropStrays(ctx, id, "")
	}
	return g.Engine.Remove(ctx, id)
}

func (g *guest) removeDigest(ctx context.Context, ref string) error {
	_, d, _ := strings.Cut(ref, "@")
	switch {
	case g.names[ref]:
		return nil
	case g.store == image.ContainerdStore && !g.images[digest.Digest(d)]:
		return g.Engine.Remove(ctx, ref) // spares a call for each blob
	}
	return g.withdraw(ctx, ref)
}

// returnTag takes a tag away from the run's image, and gives it back to the user's.
func (g *guest) returnTag(ctx context.Context, ref string) error {
	if err := g.withdraw(ctx, ref); err != nil {
		return err
	}
	if mark, ok := ownName(markPrefix, ref); ok {
		if err := g.Engine.Remove(ctx, mark); err != nil {
			return err
		}
	}
	if g.parked[ref] {
		if err := g.putBack(ctx, ref); err != nil {
			return err
		}
	}
	delete(g.taken, ref)
	return nil
}

// putBack gives a parked image its name again.
func (g *guest) putBack(ctx context.Context, ref string) error {
	name, _ := ownName(parkedPrefix, ref) // which parks the image
	err := g.Tag(ctx, name, ref)
	if err == nil {
		err = g.Engine.Remove(ctx, name)
	}
	if err == nil {
		delete(g.parked, ref)
	}
	return err
}

// withdraw removes a reference, and nothing that the engine would remove with it.
func (g *guest) withdraw(ctx context.Context, ref string) error {
	found, err := g.Find(ctx, ref)
	switch {
	case errors.Is(err, docker.ErrNotFound):
		return g.Engine.Remove(ctx, ref) // the classic store may have the reference without its image
	case err != nil:
		return err
	case !g.isUsers(found):
		return g.Engine.Remove(ctx, ref)
	}
	if err := g.anchor(ctx, found.ID); err != nil {
		return err
	}
	if !isDigestReference(ref) || g.store == image.ContainerdStore {
		if err := g.displace(ctx, ref); err != nil {
			return err
		}
	}
	if err := g.Engine.Remove(ctx, ref); err != nil || isDigestReference(ref) {
		return err
	}
	return g.dropStrays(ctx, found.ID.String(), docker.RepositoryOf(ref))
}

// isUsers reports whether anything but the run refers to the image, or nothing referred to it before the run.
func (g *guest) isUsers(i image.Local) bool {
	return g.unnamed[i.ID] || slices.ContainsFunc(i.Names, func(name string) bool { return !g.isOurs(name) })
}

// isOurs reports whether the run, or an earlier one, has brought the reference.
func (g *guest) isOurs(name string) bool {
	if g.taken[name] {
		return true
	}
	if _, parked := namedBy(parkedPrefix, name); parked || g.names[name] {
		return false
	}
	return isOwn(name) || slices.ContainsFunc(g.realms, func(r Realm) bool { return r.byDigest(name) })
}

// anchor holds an image to which nothing referred before the run, until the run's references are gone.
func (g *guest) anchor(ctx context.Context, id digest.Digest) error {
	if !g.unnamed[id] || g.anchored[id] {
		return nil
	}
	err := g.Tag(ctx, id.String(), anchorOf(id))
	g.anchored[id] = err == nil
	return err
}

// releaseAnchored ends what anchor began: the images have no name again. An engine keeps an image whose name moves to
// another one.
func (g *guest) releaseAnchored(ctx context.Context) error {
	for id := range g.anchored {
		if err := g.discard(ctx, anchorOf(id)); err != nil {
			return err
		}
		delete(g.anchored, id)
	}
	return nil
}

// discard removes one of the program's own tags, and nothing else.
func (g *guest) discard(ctx context.Context, name string) error {
	if err := g.displace(ctx, name); err != nil {
		return err
	}
	return g.Engine.Remove(ctx, name)
}

// displace moves a reference to the empty image. Only a load can move a digest reference.
func (g *guest) displace(ctx context.Context, ref string) error {
	if isDigestReference(ref) {
		return g.loadBlank(ctx, ref)
	}
	if !g.blank {
		if err := g.loadBlank(ctx, blankName); err != nil {
			return err
		}
		g.blank = true
	}
	return g.Tag(ctx, blankName, ref)
}

func (g *guest) loadBlank(ctx context.Context, name string) error {
	archive, err := image.Blank(g.store, name)
	if err != nil {
		return err
	}
	return g.Load(ctx, archive)
}

// dropStrays removes the digest references that pushes to the repository have added to an image of the user's; empty: to any
// repository. Only the classic store adds them.
func (g *guest) dropStrays(ctx context.Context, ref, repository string) error {
	if g.store != image.ClassicStore {
		return nil
	}
	found, err := g.Find(ctx, ref)
	if err != nil {
		return ignoreNotFound(err)
	}
	for _, name := range found.Names {
		if !g.isStray(name, repository) {
			continue
		}
		if err := g.Engine.Remove(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func ignoreNotFound(err error) error {
	if errors.Is(err, docker.ErrNotFound) {
		return nil
	}
	return err
}

func (g *guest) isStray(name, repository string) bool {
	if !isDigestReference(name) || g.names[name] || repository != "" && docker.RepositoryOf(name) != repository {
		return false
	}
	return slices.ContainsFunc(g.realms, func(r Realm) bool { return r.atTarget(name) })
}

// leave removes the program's own names. What was left before is not the run's.
func (g *guest) leave(ctx context.Context) {
	g.mu.Lock()
	defer g.mu.Unlock()
	err := g.releaseAnchored(ctx)
	if err == nil && g.blank {
		err = g.Engine.Remove(ctx, blankName)
	}
	g.failed = g.failed || err != nil
}
