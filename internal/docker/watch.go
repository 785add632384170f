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

// What an engine is given for unpacking a layer, of which the containerd store tells only that it goes on.
const (
	unpackRate    = 2 << 20          // bytes of the compressed layer a second, at least
	unpackUnknown = 30 * time.Minute // for a layer whose size the engine has not told
)

// Watch looks at what a call says of its progress.
type Watch struct {
	last     map[string]string    // by what a message is about: what it said last
	sizes    map[string]int64     // of blobs, in bytes, as downloads tell
	unpacked map[string]time.Time // when a blob has to be unpacked that is being unpacked now
	patience time.Duration        // for which there may be no progress from the last one on
	moving   func(time.Duration)  // hears that there is progress, and for how long there may be none
	tell     func(Progress)       // hears which; nil: nobody does
	stall    time.Duration
}

// Watched makes a call, classifies its error, and ends it with ErrStalled when it has made no progress for the time of
// stall; 0 is for ever. tell, unless it is nil, hears of each transfer.
func Watched(ctx context.Context, stall time.Duration, tell func(Progress), call func(context.Context, *Watch) error) error {
	w := &Watch{
		last: map[string]string{}, sizes: map[string]int64{}, unpacked: map[string]time.Time{},
		moving: func(time.Duration) {}, tell: tell, stall: stall, patience: stall,
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if stall > 0 {
		timer := time.AfterFunc(stall, func() { cancel(ErrStalled) })
		defer timer.Stop()
		w.moving = func(patience time.Duration) { timer.Reset(patience) }
	}
	err := call(ctx, w)
	if err != nil && errors.Is(context.Cause(ctx), ErrStalled) {
		return Failure(fmt.Sprintf("no progress for %s, by MIGRATE_STALL", w.patience.Round(time.Millisecond)), ErrStalled)
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
	progress, ok := m.progress()
	if w.isProgress(m, progress) {
		w.patience = w.due()
		w.moving(w.patience)
	}
	if ok && w.tell != nil {
		w.tell(progress)
	}
}

// isProgress reports whether the message stands for progress. One that counts the seconds of unpacking does not, but
// for the first of its layer, which gives it time by its size.
func (w *Watch) isProgress(m Message, p Progress) bool {
	switch {
	case p.Phase == Downloading && p.Total > 0:
		w.sizes[m.ID] = p.Total
	case p.Phase == Extracting && p.Over:
		delete(w.unpacked, m.ID)
	case p.Phase == Extracting && m.Progress.Units != "":
		if _, known := w.unpacked[m.ID]; known {
			return false
		}
		w.unpacked[m.ID] = time.Now().Add(unpackTime(w.sizes[m.ID]))
	}
	return true
}

// unpackTime is how long the unpacking of a layer may take, whose size is 0 if it is not known.
func unpackTime(size int64) time.Duration {
	if size == 0 {
		return unpackUnknown
	}
	return time.Duration(size/unpackRate) * time.Second
}

// due is how long there may be no progress from now on: as long as the slowest layer that is being unpacked.
func (w *Watch) due() time.Duration {
	longest := time.Duration(0)
	for _, end := range w.unpacked {
		longest = max(longest, time.Until(end))
	}
	return longest + w.stall
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
