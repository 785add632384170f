package migrate

import (
	"context"
	"sync"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
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

// cutPushes are images whose push was cut off by the end of a run, by their IDs.
type cutPushes struct {
	mu  sync.Mutex
	ids []string
}

func (p *cutPushes) note(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ids = append(p.ids, id)
}

// cutPushLooks is how often it is looked whether pushes that were cut off have ended, a registrationDelay apart.
const cutPushLooks = 3

// endCutPushes takes away what pushes that were cut off may leave: the classic engine can end them all the same, and then
// keeps an image under the digest that it has pushed, which nobody knows. An ID removes what has one name at most, so it
// works once the copies have given back theirs.
func (c *copier) endCutPushes(ctx context.Context) {
	if c.store != image.ClassicStore || len(c.cutPushes.ids) == 0 {
		return
	}
	ctx, cancel := afterwards(ctx)
	defer cancel()
	for range cutPushLooks {
		time.Sleep(registrationDelay)
		for _, id := range c.cutPushes.ids {
			_ = c.engine.Remove(ctx, id)
		}
	}
}
