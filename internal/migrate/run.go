// Package migrate runs a migration: the workers and their retries, the deadline, the breaker, progress and events. It runs
// verifications and plans, too.
package migrate

import (
	"context"
	"errors"
	"sync"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// Summary is what a run leaves.
type Summary struct {
	Results []transfer.Result // one a tag, in the order of their ends
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

// run is one migration under way.
type run struct {
	Options
	catalog  *plan.Catalog
	copier   *transfer.Copier
	meter    *meter
	breaker  breaker
	starting context.Context // ends when no further copy is to be begun, with the cause
	stop     context.CancelCauseFunc
	stopping sync.Once // tells it

	mu       sync.Mutex // guards what follows, and calls of Observe
	results  []transfer.Result
	deferred []*transfer.Copy // to be copied alone, at the end
	over     bool             // something was not copied for the end of the run
	pulled   int              // tags that were pulled back
}

// newRun has the engine's calls tried again.
func newRun(ctx context.Context, options Options, cleanup transfer.Cleanup) *run {
	r := &run{Options: options, catalog: plan.NewCatalog()}
	rules := options.retries
	if rules == nil {
		rules = retries
	}
	traffic := transfer.NewTraffic()
	r.Engine = retryingEngine{Engine: traffic.Watch(options.Engine), rules: rules, outage: &outage{}, observe: func(e Retrying) { r.observe(e) }}
	r.copier = transfer.New(transfer.Setup{
		Source: r.Source, Engine: r.Engine, Store: r.Store, Dedicated: r.Dedicated, Platform: r.Platform, Known: r.Known,
		Earlier: leftAt(r.Earlier), Conflicts: r.Conflict,
		Catalog: r.catalog, Traffic: traffic, Cleanup: cleanup,
	})
	r.meter = newMeter(r.catalog, r.observe)
	r.starting, r.stop = context.WithCancelCause(ctx)
	return r
}

// startRun makes a run whose context ends as its deadline has it. end is to be called with the run's end.
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

// Run migrates all that the source lists. Its error means that nothing could be done; what could not be done for
// single tags is in the summary. A run that ends before it is through returns its summary, where all that did not
// happen is NotStarted, and why: the context's cause, ErrDeadline, or a StoppedError.
func Run(ctx context.Context, options Options) (Summary, error) {
	ctx, r, end := startRun(ctx, options)
	defer end()
	found, err := r.begin()
	if err != nil {
		return Summary{}, err
	}
	r.announce(ctx, found)
	for _, wave := range plan.Waves(found.Items) {
		r.copyAll(ctx, wave)
	}
	r.recoverAll(ctx)
	r.copier.EndInterrupted(ctx)
	if options.Dedicated {
		r.copier.Sweep(ctx)
	}
	return r.summary()
}

// summary is what the run has left, with the cause of its end where something was not begun, or the source has ended it.
func (r *run) summary() (Summary, error) {
	summary := Summary{Results: r.results, Pulled: r.pulled}
	if r.over || transfer.EndsRun(r.cause()) {
		return summary, r.cause()
	}
	return summary, nil
}

// begin reads and plans what is wanted of the source, tells it, and leaves the run its share.
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

// plan reads and plans the source. An interruption is told by its cause.
func (r *run) plan() (plan.Survey, error) {
	p := &plan.Planner{Source: r.Source, Resolver: transfer.SourceResolver{Source: r.Source, Engine: r.Engine}, Store: r.Store, Platform: r.Platform,
		LeaveOut: r.LeaveOut, Namer: r.Namer, Choice: r.Choice, Catalog: r.catalog}
	found, err := p.Survey(r.starting)
	if cause := r.cause(); err != nil && cause != nil {
		return plan.Survey{}, cause
	}
	return found, err
}

// stopAt has no further copy begun after the moment, if it is one. What it returns takes that back.
func (r *run) stopAt(moment time.Time) (cancel func()) {
	if moment.IsZero() {
		return func() {}
	}
	timer := time.AfterFunc(time.Until(moment), func() { r.giveUp(ErrDeadline) })
	return func() { timer.Stop() }
}

// cause is why no further copy is begun, or nil.
func (r *run) cause() error { return context.Cause(r.starting) }

// onStop has f called once no further copy is begun. What it returns takes that back.
func (r *run) onStop(f func()) (cancel func() bool) { return context.AfterFunc(r.starting, f) }

// giveUp has no further copy begun.
func (r *run) giveUp(cause error) {
	r.stopping.Do(func() {
		if r.starting.Err() == nil {
			r.observe(Stopping{Cause: cause})
		}
	})
	r.stop(cause)
}

// share returns what of the registry this run copies, and tells it where that is not everything.
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

// mostShared is how many of the blobs that are shared most are told.
const mostShared = 12

// announce tells what is planned, and settles all that is refused or has failed before anything is copied.
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
	planned.Contents, planned.MostShared = r.catalog.Contents(found.Items), r.catalog.MostShared(found.Items, mostShared)
	planned.BySize, planned.ByUse = r.catalog.Classes(found.Items)
	r.observe(planned)
	r.meter.plan(found.Items)
	r.observe(r.meter.state())
	for _, result := range unlisted(found) {
		r.finish(ctx, result)
	}
	r.finish(ctx, planned.Refused...)
	r.finish(ctx, failed...)
}

// unknownTypes returns the media types that GitLab may refuse, of items with so many tags that count. The classic store
// carries none of them: what has them is refused for that.
func (r *run) unknownTypes(items []*plan.Item, tags func(*plan.Item) int) []plan.UnknownType {
	if r.Store == image.ClassicStore {
		return nil
	}
	return plan.UnknownTypes(items, tags)
}

// finish takes the results of one image, of which the end of the run may have cut some off. They may be the last that
// the run has patience for.
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

// isInterruption tells an error that comes of the context's end.
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
