package migrate

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/schedule"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// lateShare is the part of MIGRATE_DISK, a fifth, that holds what the engine has removed and not yet deleted. Measured with
// sixteen images at once: up to 17% of a budget of 277 MB.
const lateShare = 5

// pushersPerPull is how many workers push for each that pulls. About half of the time, they wait for the target's answers. The
// copier bounds the pushes themselves.
const pushersPerPull = 2

// copyAll copies what the target does not have yet. As many images are pulled at once as are pushed, while the target
// is still being asked for those to come. It returns the lists of referrers whose subject is not at the target, so far.
func (r *run) copyAll(ctx context.Context, items []*plan.Item) (left []*plan.Item) {
	l := r.newLine(items)
	l.copyAll(ctx, len(items))
	return l.schedule.Unoffered()
}

// line is what the workers of a run share: the schedule, and the copies of its items.
type line struct {
	*run
	workers  int // that pull
	schedule *schedule.Schedule
	copies   *copies
}

func (r *run) newLine(items []*plan.Item) *line {
	workers := max(1, r.Concurrency)
	disk := schedule.NewDisk(r.catalog, r.Store, r.Disk-r.Disk/lateShare)
	l := &line{run: r, workers: workers, schedule: schedule.New(items, 2*workers, disk), copies: newCopies()}
	if !r.breaker.hasArrived() {
		l.schedule.Untried()
	}
	l.schedule.Tried(r.copier.Tried())
	return l
}

// copyAll copies the items of the schedule. More workers than items would have nothing to do.
func (l *line) copyAll(ctx context.Context, items int) {
	defer l.onStop(l.schedule.Stop)()
	var group errgroup.Group
	for range min(transfer.MaxQuestions, items) {
		group.Go(func() error { l.checkAll(ctx); return nil })
	}
	for worker := range min(l.workers, items) {
		group.Go(func() error { l.pullAll(ctx, worker); return nil })
	}
	for worker := range min(pushersPerPull*l.workers, items) {
		group.Go(func() error { l.pushAll(ctx, worker); return nil })
	}
	_ = group.Wait() // no function returns an error
	l.settleRest(ctx)
}

// checkAll asks the target which tags it has.
func (l *line) checkAll(ctx context.Context) {
	for g := l.schedule.NextCheck(ctx); g != nil; g = l.schedule.NextCheck(ctx) {
		t := l.copies.of(g.Item)
		t.Present = l.copier.Ask(ctx, t)
		if ctx.Err() != nil {
			return
		}
		done := len(t.Pending) == 0
		if done {
			l.finishItem(ctx, g, t.Present)
		}
		l.release(ctx, l.schedule.Answered(g, anyArrived(t.Present), !done))
	}
}

// finishItem records the results of all tags of an item, and forgets its copy. The item's referrers can follow if one of the
// tags has arrived. A failed list of referrers may have copied some of them.
func (l *line) finishItem(ctx context.Context, g *schedule.Grant, results []transfer.Result) {
	l.finish(ctx, results...)
	l.copies.forget(g.Item)
	if g.List != nil || anyArrived(results) {
		l.schedule.Arrived(g)
	}
}

// release removes references from the engine that the schedule has returned for release.
func (l *line) release(ctx context.Context, holds []schedule.HeldRef) {
	l.copier.Release(ctx, holds)
	l.schedule.Released(holds)
}

// pullAll pulls images into the engine until there are none left.
func (l *line) pullAll(ctx context.Context, worker int) {
	for {
		if l.starting.Err() != nil {
			l.schedule.Stop() // at once: what waits for the context's end comes a little later
		}
		g, room, more := l.schedule.NextPull(ctx)
		l.release(ctx, room.Evicted)
		if room.Sweep {
			l.schedule.Swept(l.copier.Sweep(ctx))
		}
		if !more {
			return
		}
		if g != nil {
			l.pull(ctx, g, worker)
		}
	}
}

// pull pulls one image into the engine.
func (l *line) pull(ctx context.Context, g *schedule.Grant, worker int) {
	t := l.copies.of(g.Item)
	l.observe(Started{Image: g.Image})
	through := l.working(transfer.StepPull, worker, g.Image)
	progress, end := l.meter.follow(g, inbound)
	err := l.copier.Try(ctx, t, g, progress)
	l.schedule.Tried(l.copier.Tried())
	if err == nil {
		err = l.copier.Bring(ctx, t)
	}
	end(err == nil)
	through(g.Bring, err == nil)
	switch {
	case err == nil:
		l.release(ctx, l.schedule.Pulled(g, t.HandOver(), t.Interrupted()))
	case errors.Is(err, docker.ErrNoSpace) && !g.Alone:
		t.MakeRoom(ctx)
		l.release(ctx, l.schedule.Postpone(g, t.Interrupted()))
	default:
		t.Clear(ctx)
		l.notPulled(ctx, g, err)
		l.release(ctx, l.schedule.Dropped(g, t.Interrupted()))
	}
}

// notPulled defers what can be copied on its own at the end, and settles the rest.
func (l *line) notPulled(ctx context.Context, g *schedule.Grant, err error) {
	t := l.copies.of(g.Item)
	if errors.Is(err, transfer.ErrIncomplete) {
		l.deferCopy(t)
		l.copies.forget(t.Item)
		return
	}
	l.finishItem(ctx, g, append(t.Present, transfer.SettleFailed(t.Item, t.Pending, err)...))
}

// pushAll pushes what has been pulled, until nothing more will be pulled.
func (l *line) pushAll(ctx context.Context, worker int) {
	for g := l.schedule.NextPush(ctx); g != nil; g = l.schedule.NextPush(ctx) {
		t := l.copies.of(g.Item)
		through := l.working(transfer.StepPush, worker, g.Image)
		progress, end := l.meter.follow(g, outbound)
		if l.copier.Deliver(ctx, t, progress) {
			l.schedule.Uploaded(g)
		}
		results := l.copier.DeliverRest(ctx, t)
		l.schedule.Tried(l.copier.Tried())
		end(true)
		arrived := allArrived(results)
		through(g.Upload, arrived)
		l.finishItem(ctx, g, append(t.Present, results...))
		l.schedule.Pushed(g, arrived)
	}
}

func anyArrived(results []transfer.Result) bool {
	return slices.ContainsFunc(results, func(r transfer.Result) bool { return r.Outcome.Arrived() })
}

func allArrived(results []transfer.Result) bool {
	return !slices.ContainsFunc(results, func(r transfer.Result) bool { return !r.Outcome.Arrived() })
}

// settleRest settles what the workers have left, which is nothing unless the run has to end.
func (l *line) settleRest(ctx context.Context) {
	unstarted, unpushed, kept := l.schedule.Rest()
	for _, g := range unpushed {
		l.copies.of(g.Item).Clear(ctx)
	}
	l.copier.Release(ctx, kept)
	for _, g := range append(unstarted, unpushed...) {
		t := l.copies.of(g.Item)
		l.finish(ctx, append(t.Present, transfer.Settle(t.Item, t.Pending, transfer.NotStarted, l.cause())...)...)
		l.copies.forget(g.Item)
	}
}

func (r *run) deferCopy(t *transfer.Copy) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deferred = append(r.deferred, t)
}

// recoverAll copies the images that the engine did not hold whole, one by one, now that it has no others. It returns
// the items whose referrers can follow.
func (r *run) recoverAll(ctx context.Context) (arrived []*plan.Item) {
	if len(r.deferred) > 0 && r.starting.Err() == nil {
		r.observe(Recovering{Images: len(r.deferred)})
	}
	for _, t := range r.deferred {
		if r.starting.Err() != nil {
			r.finish(ctx, append(t.Present, transfer.Settle(t.Item, t.Pending, transfer.NotStarted, r.cause())...)...)
			continue
		}
		r.observe(Started{Image: t.Image})
		through := r.working("", 0, t.Image)
		progress, end := r.meter.follow(schedule.Alone(t.Item), inbound)
		results := r.copier.Recover(ctx, t, progress)
		end(false)
		through(t.Blobs, allArrived(results))
		r.finish(ctx, results...)
		if t.List != nil || anyArrived(results) {
			arrived = append(arrived, t.Item)
		}
	}
	r.deferred = nil
	return arrived
}

// working notes that a worker starts on an image. The returned function reports that the worker is done, with the blobs
// that it moved and whether it succeeded.
func (r *run) working(step transfer.Step, worker int, img image.Image) (through func(moved []plan.BlobID, well bool)) {
	began := time.Now()
	return func(moved []plan.BlobID, well bool) {
		e := Worked{Step: step, Worker: worker, Image: img, Began: began, Well: well}
		if well {
			e.Bytes = r.catalog.Bytes(moved)
		}
		r.observe(e)
	}
}
