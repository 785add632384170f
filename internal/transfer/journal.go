package transfer

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// Journal keeps notes in the engine, by name.
type Journal interface {
	Notes(ctx context.Context) (map[string]string, error)
	Write(ctx context.Context, name, text string) error
	Erase(ctx context.Context, name string) error
}

// note records what a run has to leave as it was. The next run needs it if this one is killed.
type note struct {
	Run     string          `json:"run"`
	Realm   Realm           `json:"realm"`
	Alone   bool            `json:"alone"`   // the engine held nothing before
	Names   []string        `json:"names"`   // in the realm, that are the user's
	Unnamed []digest.Digest `json:"unnamed"` // images to which nothing referred
}

// noteOf returns a run's note about the engine's images.
func noteOf(realm Realm, images []image.Local) note {
	n := note{Run: strings.ToLower(rand.Text()[:10]), Realm: realm, Alone: len(images) == 0}
	for _, i := range images {
		if len(i.Names) == 0 {
			n.Unnamed = append(n.Unnamed, i.ID)
		}
		for _, name := range i.Names {
			if realm.byDigest(name) || realm.atTarget(name) {
				n.Names = append(n.Names, name)
			}
		}
	}
	return n
}

const (
	// heartbeat is how often a run writes its note anew, under another name, which shows other runs that it is alive.
	heartbeat = 2 * time.Second
	// heartbeatsMissed is how many times it has to fail to do so to count as dead.
	heartbeatsMissed = 4
	// noteLimit is the longest time for one call of a journal.
	noteLimit = 10 * time.Second
)

// keptNote is a run's own note in a journal, which it keeps writing anew.
type keptNote struct {
	journal Journal
	note    note
	beats   int
	names   []string // by which the note may be in the journal
	stop    chan struct{}
	stopped chan struct{}
}

// keepNote writes the note, and keeps doing so until end.
func keepNote(ctx context.Context, journal Journal, n note) (*keptNote, error) {
	k := &keptNote{journal: journal, note: n, stop: make(chan struct{}), stopped: make(chan struct{})}
	ctx = context.WithoutCancel(ctx) // the engine may write a note whose call is canceled
	err := k.beat(ctx)
	go k.keep(ctx)
	return k, err
}

func (k *keptNote) keep(ctx context.Context) {
	defer close(k.stopped)
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-k.stop:
			return
		case <-ticker.C:
			_ = k.beat(ctx) // the next may succeed
		}
	}
}

// beat writes the note under a new name, and erases the one before.
func (k *keptNote) beat(ctx context.Context) error {
	text, err := json.Marshal(k.note)
	if err != nil {
		return err
	}
	before := k.names
	name := fmt.Sprintf("ecr2gitlab-%s-%d", k.note.Run, k.beats)
	k.beats++
	k.names = append(k.names, name)
	writing, cancel := context.WithTimeout(ctx, noteLimit)
	defer cancel()
	if err := k.journal.Write(writing, name, string(text)); err != nil {
		return err
	}
	k.names = append(k.erase(ctx, before), name)
	return nil
}

// erase returns the names of the notes that it could not erase.
func (k *keptNote) erase(ctx context.Context, names []string) (left []string) {
	ctx, cancel := context.WithTimeout(ctx, noteLimit)
	defer cancel()
	for _, name := range names {
		if err := k.journal.Erase(ctx, name); err != nil {
			left = append(left, name)
		}
	}
	return left
}

// end stops writing. If the run has left everything as it was (tidy), nobody needs the note any more.
func (k *keptNote) end(ctx context.Context, tidy bool) {
	close(k.stop)
	<-k.stopped
	if tidy {
		k.erase(ctx, k.names) // or else the next run does
	}
}

// readNotes returns the notes of other runs by their name in the journal.
func readNotes(ctx context.Context, journal Journal) (map[string]note, error) {
	ctx, cancel := context.WithTimeout(ctx, noteLimit)
	defer cancel()
	texts, err := journal.Notes(ctx)
	if err != nil {
		return nil, err
	}
	notes := map[string]note{}
	for name, text := range texts {
		var n note
		if err := json.Unmarshal([]byte(text), &n); err != nil {
			return nil, fmt.Errorf("the volume %s, in which an earlier run has kept its notes: %w", name, err)
		}
		notes[name] = n
	}
	return notes, nil
}

// anotherIsAlive waits, and reports whether another run has written notes meanwhile. It returns the notes that are there
// at the end.
func anotherIsAlive(ctx context.Context, journal Journal, before map[string]note) (alive bool, now map[string]note, err error) {
	for range heartbeatsMissed {
		select {
		case <-ctx.Done():
			return false, nil, context.Cause(ctx)
		case <-time.After(heartbeat):
		}
		if now, err = readNotes(ctx, journal); err != nil {
			return false, nil, err
		}
		for name := range now {
			if _, known := before[name]; !known {
				return true, now, nil
			}
		}
	}
	return false, now, nil
}
