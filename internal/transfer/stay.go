package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// Stay is what a run has found in the engine when it came.
type Stay struct {
	Images   int  // that are there before the run
	Removed  int  // references that runs have left that were killed, and that have been removed now
	Restored int  // tags that such runs had taken, and that the user's images have again
	Others   bool // another run is using the engine
}

// Enter cleans up what killed runs have left in the engine, and notes what it holds, so that Leave, or else the next run,
// leaves it as it was. It has to be called before anything is copied. It takes some seconds if there are notes of other
// runs, to see whether these are alive.
func (c *Copier) Enter(ctx context.Context, journal Journal, realm Realm) (Stay, error) {
	stay, images, err := c.cleanUpAfterOthers(ctx, journal)
	if err != nil && (len(images) > 0 || !errors.Is(err, errNoNotes)) {
		return Stay{}, err
	}
	stay.Images, c.dedicated = len(images), len(images) == 0
	if c.kept, err = keepNote(ctx, journal, noteOf(realm, images)); err != nil && !c.dedicated {
		c.kept.end(ctx, true)
		return Stay{}, noNotes(err)
	}
	if c.dedicated {
		c.tidy = &tidyEngine{Engine: c.engine}
		c.use(c.tidy)
		return stay, nil
	}
	c.guest = newGuest(c.engine, c.store, realm)
	c.guest.cleanup = c.cleanup
	c.guest.respect(images)
	c.use(c.guest)
	return stay, nil
}

// errNoNotes: there is no journal. An engine without images of its own needs none.
var errNoNotes = errors.New("the engine holds images of its own, and a note of them could not be kept in a volume")

func noNotes(err error) error {
	return fmt.Errorf("%w: %w\nLet the engine create volumes, or use an engine without images of its own, such as a fresh docker:dind",
		errNoNotes, err)
}

func (b *workbench) use(engine Engine) { b.engine, b.held.engine = engine, engine }

// Leave ends what Enter has begun, after an interruption, too.
func (c *Copier) Leave(ctx context.Context) {
	if c.kept == nil {
		return
	}
	ctx, cancel := c.cleanup.context(ctx)
	defer cancel()
	if c.guest != nil {
		c.guest.leave(ctx)
		c.kept.end(ctx, !c.guest.failed)
		return
	}
	c.kept.end(ctx, !c.tidy.failed.Load())
}

// cleanUpAfterOthers returns the images in the engine after that.
func (c *Copier) cleanUpAfterOthers(ctx context.Context, journal Journal) (stay Stay, images []image.Local, err error) {
	if images, err = c.engine.Local(ctx); err != nil {
		return Stay{}, nil, err
	}
	notes, err := readNotes(ctx, journal)
	if err != nil {
		return Stay{}, images, noNotes(err)
	}
	if !findLeftovers(c.engine, c.store, notes, images).some() {
		return Stay{}, images, nil
	}
	if stay.Others, notes, err = anotherIsAlive(ctx, journal, notes); err != nil {
		return Stay{}, images, noNotes(err)
	}
	if images, err = c.engine.Local(ctx); err != nil || stay.Others {
		return stay, images, err
	}
	left := findLeftovers(c.engine, c.store, notes, images)
	if err := left.clear(ctx); err != nil {
		return Stay{}, images, fmt.Errorf("clean up after a run that was killed: %w", err)
	}
	stay.Removed, stay.Restored = left.removed, left.restored
	for name := range notes {
		if err := journal.Erase(ctx, name); err != nil {
			return Stay{}, images, noNotes(err)
		}
	}
	images, err = c.engine.Local(ctx)
	return stay, images, err
}

// tidyEngine notes whether everything could be removed.
type tidyEngine struct {
	Engine
	failed atomic.Bool
}

func (e *tidyEngine) Remove(ctx context.Context, ref string) error {
	err := e.Engine.Remove(ctx, ref)
	if err != nil && !isID(ref) {
		e.failed.Store(true)
	}
	return err
}
