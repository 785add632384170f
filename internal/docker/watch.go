package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Progress is what an engine says of one blob that it transfers or unpacks.
type Progress struct {
	Blob           string // as the engine names it
	Phase          Phase
	Over           bool
	Current, Total int64 // bytes, where the engine counts those
}

// Phase is what an engine does with a blob.
type Phase string

// The phases of a pull and a push.
const (
	Downloading Phase = "downloading"
	Extracting  Phase = "extracting"
	Pushing     Phase = "pushing"
)

// phases is what an engine says of a blob that it transfers, whatever its store: the phase, and whether it is over.
// Whatever else it says is about blobs that wait, or that have been there before.
var phases = map[string]Progress{
	"Downloading":          {Phase: Downloading},
	"Download complete":    {Phase: Downloading, Over: true},
	"Extracting":           {Phase: Extracting},
	"Pull complete":        {Phase: Extracting, Over: true},
	"Pushing":              {Phase: Pushing},
	"Pushed":               {Phase: Pushing, Over: true},
	"Layer already exists": {Phase: Pushing, Over: true},
	"Mounted":              {Phase: Pushing, Over: true},
}

// progress is what the message says of a transfer, if it is about one.
func (m Message) progress() (Progress, bool) {
	status, _, _ := strings.Cut(m.Status, " from ") // another repository
	progress, known := phases[status]
	progress.Blob = m.ID
	if m.Progress.Units == "" { // bytes; the containerd store counts the seconds that it unpacks
		progress.Current, progress.Total = m.Progress.Current, m.Progress.Total
	}
	return progress, known
}

// Watch looks at what a call says of its progress.
type Watch struct {
	last   map[string]string // by what a message is about: what it said last
	moving func()            // hears that there is progress
	tell   func(Progress)    // hears which; nil: nobody does
}

// Watched makes a call, classifies its error, and ends it with ErrStalled when it has made no progress for the time of
// stall; 0 is for ever. tell, unless it is nil, hears of each transfer.
func Watched(ctx context.Context, stall time.Duration, tell func(Progress), call func(context.Context, *Watch) error) error {
	w := &Watch{last: map[string]string{}, moving: func() {}, tell: tell}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if stall > 0 {
		timer := time.AfterFunc(stall, func() { cancel(ErrStalled) })
		defer timer.Stop()
		w.moving = func() { timer.Reset(stall) }
	}
	err := call(ctx, w)
	if err != nil && errors.Is(context.Cause(ctx), ErrStalled) {
		return Failure(fmt.Sprintf("no progress for %s, by MIGRATE_STALL", stall), ErrStalled)
	}
	return Classify(err)
}

// See takes a message for progress if it says something new: engines repeat themselves ten times a second.
func (w *Watch) See(m Message) {
	news := fmt.Sprint(m.Status, m.Progress.Current)
	if w.last[m.ID] == news {
		return
	}
	w.last[m.ID] = news
	w.moving()
	if progress, ok := m.progress(); ok && w.tell != nil {
		w.tell(progress)
	}
}

// Arrivals are layers that a pull is to bring.
type Arrivals map[string]bool // by the name that an engine gives them

// AwaitLayers begins to wait for the layers of these names.
func AwaitLayers(names []string) Arrivals {
	waiting := Arrivals{}
	for _, name := range names {
		waiting[name] = true
	}
	return waiting
}

// arrivedStatuses are what an engine says of a layer once it has all of it.
var arrivedStatuses = map[string]bool{"Already exists": true, "Download complete": true, "Extracting": true, "Pull complete": true}

// See takes a message of the pull, and reports whether all layers have arrived.
func (a Arrivals) See(m Message) bool {
	if arrivedStatuses[m.Status] {
		delete(a, m.ID)
	}
	return len(a) == 0
}
