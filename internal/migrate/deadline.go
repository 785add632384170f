package migrate

import (
	"context"
	"errors"
	"time"
)

// ErrDeadline is why a run ends that has no more time: what is left is for the next.
var ErrDeadline = errors.New("out of time: run again for the rest")

const (
	// longestLastCopies is how long before its end a run begins nothing more at the latest, so that the copies under way
	// can end: or a tenth of its time, if that is less.
	longestLastCopies = 10 * time.Minute
	// longestLeave is how long before its end a run cuts off what is still under way, to clean up and to report: or a
	// fortieth of its time.
	longestLeave = time.Minute
)

// Deadline is the end of a run's time. The zero value is none.
type Deadline struct {
	LastStart time.Time // no copy is begun after it
	LastCopy  time.Time // no copy goes on after it
}

// DeadlineAt divides the time from now to the end.
func DeadlineAt(end, now time.Time) Deadline {
	if end.IsZero() {
		return Deadline{}
	}
	left := max(0, end.Sub(now))
	return Deadline{
		LastStart: end.Add(-min(longestLastCopies, left/10)),
		LastCopy:  end.Add(-min(longestLeave, left/40)),
	}
}

// bound ends the context with the last copy.
func (d Deadline) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if d.LastCopy.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadlineCause(ctx, d.LastCopy, ErrDeadline)
}
