package transfer

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

// Cleanup is the time that there is for tidying up in an engine. The zero value knows no run that ends.
type Cleanup struct {
	grace context.Context // ends some time after the run's context
}

// NewCleanup has all tidying up after the end of the run's context share one limit. The returned function ends it.
func NewCleanup(run context.Context) (Cleanup, context.CancelFunc) {
	grace, cancel := context.WithCancel(context.WithoutCancel(run))
	stop := context.AfterFunc(run, func() { time.AfterFunc(graceLimit, cancel) })
	return Cleanup{grace}, func() { stop(); cancel() }
}

// context returns a context for tidying up, which the end of ctx does not end.
func (c Cleanup) context(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyingLimit)
	if c.grace == nil {
		return ctx, cancel
	}
	stop := context.AfterFunc(c.grace, cancel)
	return ctx, func() { stop(); cancel() }
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

// EndInterrupted removes what calls that the end of the run has interrupted may still have brought into the engine.
func (c *Copier) EndInterrupted(ctx context.Context) {
	c.held.endCut(ctx)
	c.endCutPushes(ctx)
}

// endCutPushes takes away what pushes that were cut off may leave: the classic engine can end them all the same, and then
// keeps an image under the digest that it has pushed, which nobody knows. An ID removes what has one name at most, so it
// works once the copies have given back theirs.
func (c *Copier) endCutPushes(ctx context.Context) {
	if c.store != image.ClassicStore || len(c.cutPushes.ids) == 0 {
		return
	}
	ctx, cancel := c.cleanup.context(ctx)
	defer cancel()
	for range cutPushLooks {
		time.Sleep(registrationDelay)
		for _, id := range c.cutPushes.ids {
			_ = c.engine.Remove(ctx, id)
		}
	}
}
