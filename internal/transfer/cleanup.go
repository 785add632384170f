package transfer

import (
	"context"
	"sync"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

const (
	// tidyingLimit is the longest time that one cleanup waits for an engine that does not answer.
	tidyingLimit = time.Minute
	// graceLimit is the longest time for all cleanup after a run was interrupted, when somebody is waiting for it to exit.
	graceLimit = 15 * time.Second
)

// Cleanup limits the time for cleaning up the engine. The zero value limits each cleanup, but not their total.
type Cleanup struct {
	grace context.Context // ends graceLimit after the run's context
}

// NewCleanup returns a Cleanup whose total time is limited once the run's context has ended. The returned function
// releases it.
func NewCleanup(run context.Context) (Cleanup, context.CancelFunc) {
	grace, cancel := context.WithCancel(context.WithoutCancel(run))
	stop := context.AfterFunc(run, func() { time.AfterFunc(graceLimit, cancel) })
	return Cleanup{grace}, func() { stop(); cancel() }
}

// context returns a context for one cleanup, which ctx does not cancel.
func (c Cleanup) context(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyingLimit)
	if c.grace == nil {
		return ctx, cancel
	}
	stop := context.AfterFunc(c.grace, cancel)
	return ctx, func() { stop(); cancel() }
}

// cutPushes are the IDs of images whose push was interrupted by the end of the run.
type cutPushes struct {
	mu  sync.Mutex
	ids []string
}

func (p *cutPushes) note(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ids = append(p.ids, id)
}

// cutPushLooks is the number of attempts to remove what interrupted pushes leave, a registrationDelay apart.
const cutPushLooks = 3

// EndInterrupted removes what interrupted calls may still have brought into the engine.
func (c *Copier) EndInterrupted(ctx context.Context) {
	c.held.endCut(ctx)
	c.endCutPushes(ctx)
}

// endCutPushes removes what interrupted pushes may leave. The classic engine may complete them, and then keeps an image under
// the digest that it pushed, which is not known here. Removing an image by ID works once it has a single name, so after the
// copies have removed theirs.
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
