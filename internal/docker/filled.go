package docker

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Filled remembers that a pull has found the engine's disk full.
type Filled struct {
	Locks  bool // the engine's store is containerd's, which may leave locks then
	filled atomic.Bool
}

// filledStall is how long a pull may go without progress once the engine's disk has been full. containerd may then have
// left the write of a layer locked, for which every later pull of it waits until containerd restarts.
const filledStall = time.Minute

// WatchedPull is Watched for a pull.
func WatchedPull(ctx context.Context, stall time.Duration, f *Filled, tell func(Progress), call func(context.Context, *Watch) error) error {
	filled := f.Locks && f.filled.Load()
	if filled && stall > 0 {
		stall = min(stall, filledStall)
	}
	err := Watched(ctx, stall, tell, call)
	switch {
	case errors.Is(err, ErrNoSpace):
		f.filled.Store(true)
	case filled && errors.Is(err, ErrStalled):
		return Failure(fmt.Sprintf("no progress for %s after the engine's disk had been full, as if containerd had left a lock: restart "+
			"the engine, give it a larger disk, and run again", stall), ErrStalled)
	}
	return err
}
