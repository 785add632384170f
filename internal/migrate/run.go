// Package migrate runs a migration: the workers and their retries, the deadline, the breaker, progress and events. It runs
// verifications and plans, too.
package migrate

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/schedule"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// Options say what a run works with and how.
type Options struct {
	Source      transfer.Source
	Engine      transfer.Engine
	Store       image.Store       // of the engine
	Dedicated   bool              // the engine has no images but those of this run
	Namer       plan.Namer        // where repositories go
	Choice      plan.Choice       // what of the registry is wanted
	Share       plan.Share        // what of that this run copies
	Platform    *ocispec.Platform // copy this platform of every index; nil: all of it
	LeaveOut    plan.Patterns     // kinds of artifacts that are left out of indexes and of referrers
	Concurrency int               // images pulled at once, and as many pushed, at least 1
	Disk        int64             // bytes that the images of this run may take up in the engine; 0: no bound
	Deadline    Deadline          // zero: the run may take as long as it needs
	Observe     func(Event)       // called by one goroutine at a time
	// Known returns what an earlier run has left at the complete target reference, of the source's repository, where
	// that has another digest than what was copied; nil: nothing is known. It is called concurrently.
	Known func(repository, target string) (transfer.DigestChange, bool)
	// Earlier are tags that earlier runs have brought. What they left is ours to replace, and Verify asks for those that the
	// source no longer lists.
	Earlier  []Earlier
	Conflict transfer.ConflictPolicy // what happens to tags that somebody else has pushed
	// Access tries what the engine needs to pull the layer; nil: nobody does. Preview alone calls it, concurrently.
	Access func(ctx context.Context, repository image.Repository, layer digest.Digest) Access

	retries []retryRule // nil: those of the table
}

// Earlier is a tag that an earlier run has brought.
type Earlier struct {
	Repository, Tag string
	Target          string        // the complete reference
	Source          digest.Digest // as the source listed it
	Pushed          digest.Digest // as the target answered
}

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
	r.Engine = retryingEngine{Engine: traffic.Watch(options.Engine), rules: rules, observe: func(e Retrying) { r.observe(e) }}
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
	planned := Planned{Store: r.Store}
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

// unlisted are the repositories that could not be listed. They are told in every share: another job may have listed
// them, and counts on this one.
func unlisted(s plan.Survey) []transfer.Result {
	var results []transfer.Result
	for _, repository := range s.Repositories {
		if err := s.Failed[repository.Name]; err != nil {
			results = append(results, transfer.Result{Repository: repository.Name, Outcome: transfer.Failed, Err: transfer.FailedAt(transfer.StepList, repository.Name, err)})
		}
	}
	return results
}

// checkConcurrency is how many tags the target is asked for at once: such a request is cheap, and waits for the network.
const checkConcurrency = 32

// copyAll copies what the target does not have yet. As many images are pulled at once as are pushed, while the target
// is still being asked for those to come.
func (r *run) copyAll(ctx context.Context, items []*plan.Item) {
	workers := max(1, r.Concurrency)
	l := &line{run: r, schedule: schedule.New(items, 2*workers, schedule.NewDisk(r.catalog, r.Store, r.Disk)), tasks: transfer.NewCopies(items)}
	defer r.onStop(l.schedule.Stop)()
	var group errgroup.Group
	for range min(checkConcurrency, len(items)) {
		group.Go(func() error { l.checkAll(ctx); return nil })
	}
	for worker := range min(workers, len(items)) {
		group.Go(func() error { l.pullAll(ctx, worker); return nil })
		group.Go(func() error { l.pushAll(ctx, worker); return nil })
	}
	_ = group.Wait() // no function returns an error
	l.settleRest(ctx)
}

// line is what the workers of a run share: the schedule, and the copies of its items.
type line struct {
	*run
	schedule *schedule.Schedule
	tasks    map[*plan.Item]*transfer.Copy
}

// checkAll asks the target which tags it has.
func (l *line) checkAll(ctx context.Context) {
	for g := l.schedule.NextCheck(ctx); g != nil; g = l.schedule.NextCheck(ctx) {
		t := l.tasks[g.Item]
		t.Present = l.copier.Ask(ctx, t)
		if ctx.Err() != nil {
			return
		}
		done := len(t.Pending) == 0
		l.copier.Release(ctx, l.schedule.Answered(g, anyArrived(t.Present), !done))
		if done {
			l.finish(ctx, l.copier.WithReferrers(ctx, t, t.Present)...)
		}
	}
}

// pullAll brings images into the engine as long as there are any.
func (l *line) pullAll(ctx context.Context, worker int) {
	for {
		g, room, more := l.schedule.NextPull(ctx)
		l.copier.Release(ctx, room.Evicted)
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

// pull brings one image into the engine.
func (l *line) pull(ctx context.Context, g *schedule.Grant, worker int) {
	t := l.tasks[g.Item]
	l.observe(Started{Image: g.Image})
	through := l.working(transfer.StepPull, worker, g.Image)
	progress, end := l.meter.follow(g, inbound)
	err := l.copier.Bring(ctx, t, g, progress)
	end(err == nil)
	through(g.Bring, err == nil)
	switch {
	case err == nil:
		l.copier.Release(ctx, l.schedule.Pulled(g, t.HandOver(), t.Interrupted()))
	case errors.Is(err, docker.ErrNoSpace) && !g.Alone:
		t.Clear(ctx)
		l.copier.Release(ctx, l.schedule.Postpone(g, t.Interrupted()))
	default:
		t.Clear(ctx)
		l.notPulled(ctx, t, err)
		l.copier.Release(ctx, l.schedule.Dropped(g, t.Interrupted()))
	}
}

// notPulled puts aside what can be copied alone, at the end, and settles the rest.
func (r *run) notPulled(ctx context.Context, t *transfer.Copy, err error) {
	if errors.Is(err, transfer.ErrIncomplete) {
		r.deferCopy(t)
		return
	}
	r.finish(ctx, r.copier.WithReferrers(ctx, t, append(t.Present, transfer.Settle(t.Item, t.Pending, transfer.Failed, err)...))...)
}

// pushAll delivers what has been pulled until nothing more will be.
func (l *line) pushAll(ctx context.Context, worker int) {
	for g := l.schedule.NextPush(ctx); g != nil; g = l.schedule.NextPush(ctx) {
		t := l.tasks[g.Item]
		through := l.working(transfer.StepPush, worker, g.Image)
		progress, end := l.meter.follow(g, outbound)
		results := l.copier.Deliver(ctx, t, progress)
		end(true)
		arrived := allArrived(results)
		through(g.Upload, arrived)
		l.schedule.Pushed(g, arrived)
		l.finish(ctx, l.copier.WithReferrers(ctx, t, append(t.Present, results...))...)
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
		l.tasks[g.Item].Clear(ctx)
	}
	l.copier.Release(ctx, kept)
	for _, g := range append(unstarted, unpushed...) {
		t := l.tasks[g.Item]
		l.finish(ctx, append(t.Present, transfer.Settle(t.Item, t.Pending, transfer.NotStarted, l.cause())...)...)
	}
}

func (r *run) deferCopy(t *transfer.Copy) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deferred = append(r.deferred, t)
}

// recoverAll copies the images that the engine did not hold whole, one by one, now that all others are gone from it.
func (r *run) recoverAll(ctx context.Context) {
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
	}
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

// working notes that a worker begins with an image. What it returns tells that the worker is through with it, and which
// blobs were moved, if all went well.
func (r *run) working(step transfer.Step, worker int, img image.Image) (through func(moved []plan.BlobID, well bool)) {
	began := time.Now()
	return func(moved []plan.BlobID, well bool) {
		e := Worked{Step: step, Worker: worker, Image: img, Began: began, Well: well}
		if well {
			for _, id := range moved {
				e.Bytes += r.catalog.Size(id)
			}
		}
		r.observe(e)
	}
}

// leftAt returns what earlier runs have left at each target reference.
func leftAt(earlier []Earlier) map[string][]digest.Digest {
	left := make(map[string][]digest.Digest, len(earlier))
	for _, e := range earlier {
		left[e.Target] = append(left[e.Target], e.Pushed)
	}
	return left
}
