package transfer

import (
	"context"
	"slices"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// leftovers are what killed runs have left in an engine.
type leftovers struct {
	*guest
	images   []image.Local
	byName   map[string]digest.Digest
	notes    map[string]note
	removed  int // references
	restored int // names that the user's images have again
}

// findLeftovers distinguishes what killed runs have left from what is the user's. A digest reference is theirs if it is in
// their realm, and was not there before. A tag is theirs if it names the same image as their own mark for it, or the empty
// image: an image that the user has built under that tag since keeps it. In an engine that
// held nothing before, the tags of the target need no second name.
func findLeftovers(engine Engine, store image.Store, notes map[string]note, images []image.Local) *leftovers {
	l := &leftovers{guest: newGuest(engine, store), images: images, byName: map[string]digest.Digest{}, notes: notes}
	for _, n := range notes {
		l.realms = append(l.realms, n.Realm)
		for _, name := range n.Names {
			l.names[name] = true
		}
		for _, id := range n.Unnamed {
			l.unnamed[id] = true
		}
	}
	for _, i := range images {
		l.guest.images[i.ID] = true
		for _, name := range i.Names {
			l.byName[name] = i.ID
		}
	}
	l.findTags()
	return l
}

func (l *leftovers) findTags() {
	for name, id := range l.byName {
		switch ref, marked := namedBy(markPrefix, name); {
		case l.isBlank(id):
			l.taken[name] = !isOwn(name) && !isDigestReference(name)
		case marked && l.byName[ref] == id:
			l.taken[ref] = true
		case name == anchorOf(id):
			l.anchored[id], l.unnamed[id] = true, true
		default:
			l.findOthers(name)
		}
	}
}

func (l *leftovers) findOthers(name string) {
	if ref, parked := namedBy(parkedPrefix, name); parked {
		l.parked[ref] = true
	}
	for _, n := range l.notes {
		if n.Alone && n.Realm.atTarget(name) && !isDigestReference(name) {
			l.taken[name] = true
		}
	}
}

// isBlank reports whether the image is the empty one, to which a reference moves only to be removed.
func (l *leftovers) isBlank(id digest.Digest) bool { return l.byName[blankName] == id }

// some reports whether there are any leftovers.
func (l *leftovers) some() bool {
	return len(l.notes) > 0 || slices.ContainsFunc(l.images, func(i image.Local) bool { return slices.ContainsFunc(i.Names, isOwn) })
}

// clear leaves the engine as it was before those runs.
func (l *leftovers) clear(ctx context.Context) error {
	for _, step := range []func(context.Context) error{l.anchorAll, l.removeAll, l.putBackAll, l.removeOwn, l.releaseAnchored} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return l.Engine.Remove(ctx, blankName)
}

// anchorAll holds the images to which only the killed runs refer.
func (l *leftovers) anchorAll(ctx context.Context) error {
	for _, i := range l.images {
		if len(i.Names) == 0 {
			continue
		}
		if err := l.anchor(ctx, i.ID); err != nil {
			return err
		}
	}
	return nil
}

// removeAll removes the references outside the program's own domain. It gives tags back to the user's images.
func (l *leftovers) removeAll(ctx context.Context) error {
	for name := range l.byName {
		if isOwn(name) || !l.isOurs(name) {
			continue
		}
		parked := l.parked[name]
		if err := l.remove(ctx, name); err != nil {
			return err
		}
		l.removed++
		if parked {
			l.restored++
		}
	}
	return nil
}

// putBackAll gives the tags back that the killed run had not given to its own images yet. Where the user has another image
// under the tag by now, the parked one has lost it, as it would have without the run.
func (l *leftovers) putBackAll(ctx context.Context) error {
	for ref := range l.parked {
		parked, _ := ownName(parkedPrefix, ref)
		current, used := l.byName[ref]
		if used && current != l.byName[parked] {
			if err := l.discard(ctx, parked); err != nil {
				return err
			}
			continue
		}
		if err := l.putBack(ctx, ref); err != nil {
			return err
		}
		if !used {
			l.restored++
		}
	}
	return nil
}

// removeOwn removes the names in the program's own domain, except those of parked and anchored images, and of the empty one.
func (l *leftovers) removeOwn(ctx context.Context) error {
	for name, id := range l.byName {
		_, parked := namedBy(parkedPrefix, name)
		holds := !l.isBlank(id) && (parked || name == anchorOf(id))
		if !isOwn(name) || name == blankName || holds {
			continue
		}
		if err := l.Engine.Remove(ctx, name); err != nil {
			return err
		}
	}
	return nil
}
