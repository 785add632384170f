package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Progress is what an engine reports about one blob that it transfers or unpacks.
type Progress struct {
	Blob           string // as the engine names it
	Phase          Phase
	Over           bool
	Current, Total int64 // in bytes, if the engine counts bytes
}

// Phase is what an engine does with a blob.
type Phase string

// The phases of a pull and a push.
const (
	Downloading Phase = "downloading"
	Extracting  Phase = "extracting"
	Pushing     Phase = "pushing"
)

// phases maps the statuses of both stores to a phase, and whether it is over. All other statuses are about blobs that wait
// or that the engine had before.
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

// progress returns what the message reports about a transfer, if it is about one.
func (m Message) progress() (Progress, bool) {
	status, _, _ := strings.Cut(m.Status, " from ") // another repository
	progress, known := phases[status]
	progress.Blob = m.ID
	if m.Progress.Units == "" { // bytes; the containerd store counts the seconds that it unpacks
		progress.Current, progress.Total = m.Progress.Current, m.Progress.Total
	}
	return progress, known
}

// How long an engine may take to unpack a layer. The containerd store reports only that it has not finished.
const (
	unpackRate    = 2 << 20          // bytes of the compressed layer a second, at least
	unpackUnknown = 30 * time.Minute // for a layer of unknown size
)

// Watch follows the progress of a call.
type Watch struct {
	last     map[string]string    // the latest news by message ID
	sizes    map[string]int64     // of blobs, in bytes, as reported by downloads
	unpacked map[string]time.Time // the time limits of the blobs that are being unpacked
	patience time.Duration        // how long the call may go without progress
	moving   func(time.Duration)  // is called on progress with the new patience
	tell     func(Progress)       // is called on progress of a blob; may be nil
	stall    time.Duration
}

// Watched makes a call and classifies its error. A call that goes without progress for the duration of stall is canceled
// and fails with ErrStalled; 0 means no limit. tell is called for each transfer, unless it is nil.
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

// See counts a message as progress if it differs from the last one: engines repeat messages ten times a second.
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

// isProgress reports whether the message means progress. Of the messages that count the seconds of an unpack, only the
// first does: it starts the time limit of its layer.
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

// unpackTime returns how long the unpack of a layer may take; a size of 0 is unknown.
func unpackTime(size int64) time.Duration {
	if size == 0 {
		return unpackUnknown
	}
	return time.Duration(size/unpackRate) * time.Second
}

// due returns how long the call may go without progress from now on: stall, after the layers that are being unpacked.
func (w *Watch) due() time.Duration {
	longest := time.Duration(0)
	for _, end := range w.unpacked {
		longest = max(longest, time.Until(end))
	}
	return longest + w.stall
}
