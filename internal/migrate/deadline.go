package migrate

import (
	"context"
	"errors"
	"time"
)

// ErrDeadline is the cause when a run has run out of time. The next run continues.
var ErrDeadline = errors.New("out of time: run again for the rest")

const (
	// longestLastCopies is the time before the deadline in which no copies are started, so that those under way can finish. It
	// is a tenth of the run's time if that is less.
	longestLastCopies = 10 * time.Minute
	// longestLeave is the time before the deadline at which copies are interrupted, to clean up and to report. It is a fortieth
	// of the run's time if that is less.
	longestLeave = time.Minute
)

// Deadline divides the last part of a run's time. The zero value is no deadline.
type Deadline struct {
	LastStart time.Time // no copy starts after it
	LastCopy  time.Time // copies are interrupted at it
}

// DeadlineAt returns the deadline of a run that starts now and has to exit at end.
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

// bound returns a context that ends at LastCopy.
func (d Deadline) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if d.LastCopy.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadlineCause(ctx, d.LastCopy, ErrDeadline)
}
