package migrate

import (
	"context"
	"time"
)

const (
	// tidyingLimit bounds how long an engine that does not answer can hold up a run each time something is tidied up.
	tidyingLimit = time.Minute
	// graceLimit bounds all the tidying up of a run that has been ended: whoever ended it is waiting.
	graceLimit = 15 * time.Second
)

// graceKey is the key of the context that tidying up after the end goes by.
type graceKey struct{}

// withGrace has all that is tidied up after the end of the context share one limit.
func withGrace(ctx context.Context) (context.Context, context.CancelFunc) {
	grace, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(graceLimit, cancel) })
	return context.WithValue(ctx, graceKey{}, grace), func() { stop(); cancel() }
}

// afterwards is the context for tidying up, which an interruption does not end.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	if grace, ok := ctx.Value(graceKey{}).(context.Context); ok {
		return context.WithTimeout(grace, tidyingLimit)
	}
	return context.WithTimeout(context.WithoutCancel(ctx), tidyingLimit)
}
