// Package migrate runs migrations, verifications, and plans: the workers, retries, the deadline, the breaker, progress, and
// events.
package migrate

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// Summary is the result of a run.
type Summary struct {
	Results []transfer.Result // one per tag, in the order in which they were settled
	Pulled  int               // tags that a verification has pulled from the target
}

// Incomplete counts the tags and referrers that are not at the target.
func (s Summary) Incomplete() int {
	n := 0
	for _, result := range s.Results {
		if !result.Outcome.Accepted() {
			n++
		}
	}
	return n
}

// run is one migration, verification, or plan in progress.
type run struct {
	Options
	catalog  *plan.Catalog
	copier   *transfer.Copier
	meter    *meter
	breaker  breaker
	starting context.Context // canceled, with the cause, when no more copies are to start
	stop     context.CancelCauseFunc
	stopping sync.Once // reports that once

	mu       sync.Mutex // guards the fields below, and calls of Observe
	results  []transfer.Result
	deferred []*transfer.Copy // to be copied on their own at the end
	over     bool             // something was not copied because the run ended
	pulled   int              // tags that were pulled back
}

// newRun returns a run whose engine retries its calls.
func newRun(ctx context.Context, options Options, cleanup transfer.Cleanup) *run {
	r := &run{Options: options, catalog: plan.NewCatalog()}
	rules := options.retries
	if rules == nil {
		rules = retries
	}
	traffic := transfer.NewTraffic()
	engine := retryingEngine{Engine: traffic.Watch(options.Engine), rules: rules, outage: &outage{}, busy: newThrottles(), observe: func(e Retrying) { r.observe(e) }}
	r.Engine = engine
	r.copier = transfer.New(transfer.Setup{
		Source: r.Source, Engine: r.Engine, Store: r.Store, Dedicated: r.Dedicated, Platform: r.Platform, Known: r.Known,
		Earlier: leftAt(r.Earlier), Conflicts: r.Conflict,
		Pushes: r.Concurrency, Retry: engine.try, Catalog: r.catalog, Traffic: traffic, Cleanup: cleanup,
	})
	r.meter = newMeter(r.catalog, r.observe)
	r.starting, r.stop = context.WithCancelCause(ctx)
	return r
}

// startRun returns a run and its context, which ends at the deadline. The caller must call end when the run is over.
func startRun(ctx context.Context, options Options) (_ context.Context, r *run, end func()) {
	ctx, cancel := options.Deadline.bound(ctx)
	cleanup, release := transfer.NewCleanup(ctx)
	r = newRun(ctx, options, cleanup)
	keepOn := r.stopAt(options.Deadline.LastStart)
	return ctx, r, func() {
		keepOn()
		r.stop(nil)
		release()
		cancel()
	}
}

// Run migrates everything that the source lists. Failures of single tags are in the summary, not in the error. If the
// run ends early, the tags that it did not get to are NotStarted, and the error is the reason: the context's cause,
// ErrDeadline, or a *StoppedError. An error with an empty summary means that the run could not start.
func Run(ctx context.Context, options Options) (Summary, error) {
	ctx, r, end := startRun(ctx, options)
	defer end()
	found, err := r.begin()
	if err != nil {
		return Summary{}, err
	}
	r.announce(ctx, found)
	if err := r.enter(ctx, found); err != nil {
		return Summary{}, err
	}
	r.copyAndRecover(ctx, plan.Copies(found.Items))
	r.copier.EndInterrupted(ctx)
	if r.Dedicated {
		r.copier.Sweep(ctx)
	}
	r.copier.Leave(ctx)
	return r.summary()
}

// copyAndRecover copies the items, then those that have to be copied on their own, and then the referrers of those.
func (r *run) copyAndRecover(ctx context.Context, items []*plan.Item) {
	var left []*plan.Item
	for len(items) > 0 {
		left = append(left, r.copyAll(ctx, items)...)
		items, left = following(left, r.recoverAll(ctx))
	}
	r.meter.drop(left)
}

// following returns the lists of referrers that can follow the items that have arrived, directly or one after the other, and
// the rest of them.
func following(lists, arrived []*plan.Item) (next, rest []*plan.Item) {
	there := map[*plan.Item]bool{}
	for _, i := range arrived {
		there[i] = true
	}
	for before := -1; before < len(there); {
		before = len(there)
		for _, i := range lists {
			if slices.ContainsFunc(i.After, func(subject *plan.Item) bool { return there[subject] }) {
				there[i] = true
			}
		}
	}
	for _, i := range lists {
		if there[i] {
			next = append(next, i)
		} else {
			rest = append(rest, i)
		}
	}
	return next, rest
}

// summary returns the results, and the reason why the run ended if it ended early.
func (r *run) summary() (Summary, error) {
	summary := Summary{Results: r.results, Pulled: r.pulled}
	if r.over || transfer.EndsRun(r.cause()) {
		return summary, r.cause()
	}
	return summary, nil
}

// begin lists and plans what is to be migrated, reports it, and reduces it to the share of this run.
func (r *run) begin() (plan.Survey, error) {
	found, err := r.plan()
	if err != nil {
		return plan.Survey{}, err
	}
	if !r.Choice.Everything() {
		r.observe(Chosen(found.Chosen))
	}
	r.observe(Listed(found.Listed))
	found.Items = r.share(found)
	return found, nil
}

// plan lists and plans the source. If it was interrupted, the error is the cause.
func (r *run) plan() (plan.Survey, error) {
	p := &plan.Planner{Source: r.Source, Resolver: transfer.SourceResolver{Source: r.Source, Engine: r.Engine}, Store: r.Store, Platform: r.Platform,
		LeaveOut: r.LeaveOut, Namer: r.Namer, Choice: r.Choice, Catalog: r.catalog}
	found, err := p.Survey(r.starting)
	if cause := r.cause(); err != nil && cause != nil {
		return plan.Survey{}, cause
	}
	return found, err
}

// stopAt starts no more copies after the moment, unless that is zero. The returned function cancels it.
func (r *run) stopAt(moment time.Time) (cancel func()) {
	if moment.IsZero() {
		return func() {}
	}
	timer := time.AfterFunc(time.Until(moment), func() { r.giveUp(ErrDeadline) })
	return func() { timer.Stop() }
}

// cause returns the reason why no more copies start, or nil.
func (r *run) cause() error { return context.Cause(r.starting) }

// onStop calls f when no more copies are to start. The returned function cancels it.
func (r *run) onStop(f func()) (cancel func() bool) { return context.AfterFunc(r.starting, f) }

// giveUp starts no more copies, and reports the cause.
func (r *run) giveUp(cause error) {
	r.stopping.Do(func() {
		if r.starting.Err() == nil {
			r.observe(Stopping{Cause: cause})
		}
	})
	r.stop(cause)
}

// share returns the items that this run copies, and reports its share if other runs copy the rest.
func (r *run) share(found plan.Survey) []*plan.Item {
	if r.Share.Total < 2 {
		return found.Items
	}
	items := r.Share.Of(found.Items, r.catalog)
	shared := Shared{Share: r.Share, Listed: found.Listed.Tags}
	for _, i := range items {
		shared.Tags += len(i.Image.Tags)
	}
	r.observe(shared)
	return items
}

// announce reports the plan, and settles what was refused or failed in planning.
func (r *run) announce(ctx context.Context, found plan.Survey) {
	planned := Planned{Store: r.Store, Unknown: r.unknownTypes(found.Items, func(i *plan.Item) int { return len(i.Image.Tags) })}
	var failed []transfer.Result
	for _, i := range found.Items {
		planned.Tags += len(i.Image.Tags)
		planned.LeftReferrers += i.Left
		if results := transfer.Rejections(i); i.Failure != nil {
			failed = append(failed, results...)
		} else {
			planned.Refused = append(planned.Refused, results...)
		}
	}
	planned.Blobs, planned.Bytes, planned.BytesUnshared = r.catalog.Sum(found.Items)
	planned.Contents = r.catalog.Contents(found.Items)
	r.observe(planned)
	r.meter.plan(plan.Copies(found.Items))
	r.observe(r.meter.state())
	for _, result := range unlisted(found) {
		r.finish(ctx, result)
	}
	r.finish(ctx, planned.Refused...)
	r.finish(ctx, failed...)
}

// unknownTypes returns the media types of the items that GitLab may refuse. tags returns how many tags of an item count.
// There are none for the classic store, which cannot carry them: the plan refuses the items that have them.
func (r *run) unknownTypes(items []*plan.Item, tags func(*plan.Item) int) []plan.UnknownType {
	if r.Store == image.ClassicStore {
		return nil
	}
	return plan.UnknownTypes(items, tags)
}

// finish records the results of one image. A failure that the end of the run caused counts as not started. The breaker may
// stop the run.
func (r *run) finish(ctx context.Context, results ...transfer.Result) {
	for i, result := range results {
		if ctx.Err() != nil && result.Outcome == transfer.Failed && isInterruption(ctx, result.Err) {
			results[i].Outcome, results[i].Err = transfer.NotStarted, r.cause()
		}
		r.mu.Lock()
		r.over = r.over || results[i].Outcome == transfer.NotStarted
		r.results = append(r.results, results[i])
		r.mu.Unlock()
		r.observe(Finished{Result: results[i]})
	}
	if stopped := r.breaker.note(results); stopped != nil {
		r.giveUp(stopped)
	}
}

// isInterruption reports whether the end of the context caused the error.
func isInterruption(ctx context.Context, err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Cause(ctx))
}

func (r *run) observe(event Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Observe(event)
	if e, ok := event.(Finished); ok && r.meter.settle(e.Result) {
		r.Observe(r.meter.state())
	}
}
