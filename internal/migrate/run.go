package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// Options say what a run works with and how.
type Options struct {
	Source      Source
	Engine      Engine
	Store       Store             // of the engine
	Namer       Namer             // where repositories go
	Platform    *ocispec.Platform // copy this platform of every index; nil: all of it
	Concurrency int               // images pulled at once, and as many pushed, at least 1
	Observe     func(Event)       // called by one goroutine at a time
}

// Summary is what a run leaves.
type Summary struct {
	Results []Result // one a tag, in the order of their ends
}

// Incomplete counts the tags and referrers that are not at the target.
func (s Summary) Incomplete() int {
	n := 0
	for _, result := range s.Results {
		if !result.Outcome.Arrived() {
			n++
		}
	}
	return n
}

func newCopier(o Options) *copier {
	return &copier{
		engine: o.Engine, store: o.Store, platform: o.Platform, renew: o.Source.Renew, held: newReferences(o.Engine),
	}
}

// run is one migration under way.
type run struct {
	Options
	copier *copier

	mu      sync.Mutex // guards what follows, and calls of Observe
	results []Result
	aside   []*task // to be copied alone, at the end
}

// Run migrates all that the source lists. Its error means that nothing could be done; what could not be done for
// single tags is in the summary. An interrupted run returns its summary, where all that did not happen is NotStarted
// or Failed, and the context's error.
func Run(ctx context.Context, options Options) (Summary, error) {
	r := &run{Options: options, copier: newCopier(options)}
	found, err := list(ctx, options.Source)
	if err != nil {
		return Summary{}, err
	}
	r.observe(found.summary())
	p := &planner{source: options.Source, engine: options.Engine, store: options.Store,
		platform: options.Platform, namer: options.Namer, listing: found}
	tasks, err := p.plan(ctx)
	if err != nil {
		return Summary{}, err
	}
	r.announce(found, tasks)
	for _, wave := range waves(tasks) {
		r.copyAll(ctx, wave)
	}
	r.recoverAll(ctx)
	return Summary{Results: r.results}, ctx.Err()
}

// announce tells what is planned, and settles all that is refused or has failed before anything is copied.
func (r *run) announce(found listing, tasks []*task) {
	planned := Planned{Store: r.Store}
	var failed []Result
	for _, t := range tasks {
		planned.Tags += len(t.image.Tags)
		planned.LeftReferrers += t.leftReferrers()
		var step *StepError
		switch {
		case errors.As(t.refusal, &step):
			failed = append(failed, t.settle(t.image.Tags, Failed, t.refusal)...)
		case t.refusal != nil:
			planned.Refused = append(planned.Refused, t.settle(t.image.Tags, Refused, t.refusal)...)
		}
	}
	r.observe(planned)
	for _, repository := range found.repositories {
		if err := found.failed[repository.Name]; err != nil {
			r.finish(Result{Repository: repository.Name, Outcome: Failed, Err: err})
		}
	}
	r.finish(planned.Refused...)
	r.finish(failed...)
}

// leftReferrers counts what refers to manifests of the image that the user does not want to have copied.
func (t *task) leftReferrers() int {
	n := 0
	for _, d := range t.left {
		n += t.referrers[d].count
	}
	return n
}

// checkConcurrency is how many tags the target is asked for at once: such a request is cheap, and waits for the network.
const checkConcurrency = 16

// copyAll copies what the target does not have yet. As many images are pulled at once as are pushed.
func (r *run) copyAll(ctx context.Context, tasks []*task) {
	workers := max(1, r.Concurrency)
	s := newSchedule(r.missing(ctx, tasks), 2*workers)
	var group errgroup.Group
	for range workers {
		group.Go(func() error { r.pullAll(ctx, s); return nil })
		group.Go(func() error { r.pushAll(ctx, s); return nil })
	}
	_ = group.Wait() // no function returns an error
	r.interrupted(ctx, s)
}

// missing asks the target what it has, and returns the tasks with tags that it does not have.
func (r *run) missing(ctx context.Context, tasks []*task) []*task {
	var group errgroup.Group
	group.SetLimit(checkConcurrency)
	for _, t := range tasks {
		group.Go(func() error {
			t.present = r.copier.missingTags(ctx, t)
			if len(t.pending) == 0 {
				r.finish(r.copier.withReferrers(ctx, t, t.present)...)
			}
			return nil
		})
	}
	_ = group.Wait() // no function returns an error
	return slices.DeleteFunc(slices.Clone(tasks), func(t *task) bool { return len(t.pending) == 0 })
}

// pullAll brings images into the engine as long as there are any.
func (r *run) pullAll(ctx context.Context, s *schedule) {
	for t := s.nextPull(ctx); t != nil; t = s.nextPull(ctx) {
		r.observe(Started{Image: t.image})
		if err := r.copier.fetch(ctx, t); err != nil {
			t.clear(ctx)
			r.notPulled(ctx, t, err)
			r.clear(ctx, s.dropped(t))
			continue
		}
		r.clear(ctx, s.pulled(t))
	}
}

// notPulled puts aside what can be copied alone, at the end, and settles the rest.
func (r *run) notPulled(ctx context.Context, t *task, err error) {
	if errors.Is(err, errIncomplete) {
		r.setAside(t)
		return
	}
	r.finish(r.copier.withReferrers(ctx, t, append(t.present, t.settle(t.pending, Failed, err)...))...)
}

// pushAll delivers what has been pulled until nothing more will be.
func (r *run) pushAll(ctx context.Context, s *schedule) {
	for t := s.nextPush(ctx); t != nil; t = s.nextPush(ctx) {
		results := r.copier.deliver(ctx, t)
		arrived := !slices.ContainsFunc(results, func(r Result) bool { return !r.Outcome.Arrived() })
		r.finish(r.copier.withReferrers(ctx, t, append(t.present, results...))...)
		r.clear(ctx, s.pushed(t, arrived))
	}
}

func (r *run) clear(ctx context.Context, tasks []*task) {
	for _, t := range tasks {
		t.clear(ctx)
	}
}

// interrupted settles what the workers have left, which is nothing unless the context has ended.
func (r *run) interrupted(ctx context.Context, s *schedule) {
	unstarted, unpushed, kept := s.rest()
	r.clear(ctx, unpushed)
	r.clear(ctx, kept)
	for _, t := range append(unstarted, unpushed...) {
		r.finish(append(t.present, t.settle(t.pending, NotStarted, ctx.Err())...)...)
	}
}

func (r *run) setAside(t *task) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.aside = append(r.aside, t)
}

// recoverAll copies the images that the engine did not hold whole, one by one, now that all others are gone from it.
func (r *run) recoverAll(ctx context.Context) {
	if len(r.aside) > 0 && ctx.Err() == nil {
		r.observe(Recovering{Images: len(r.aside)})
	}
	for _, t := range r.aside {
		if ctx.Err() != nil {
			r.finish(t.settle(t.image.Tags, NotStarted, ctx.Err())...)
			continue
		}
		r.observe(Started{Image: t.image})
		r.finish(r.copier.recover(ctx, t)...)
	}
}

func (r *run) finish(results ...Result) {
	for _, result := range results {
		r.mu.Lock()
		r.results = append(r.results, result)
		r.mu.Unlock()
		r.observe(Finished{Result: result})
	}
}

func (r *run) observe(event Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Observe(event)
}

// waves puts what refers to an image behind that image: GitLab may refuse a manifest whose subject it does not have.
// Within a wave neighbours are of different repositories, because images of one repository share most layers, and
// two pulls that race for a layer do its work twice.
func waves(tasks []*task) [][]*task {
	depths := subjectDepths(tasks)
	var ordered [][]*task
	for _, t := range interleave(tasks) {
		depth := depths[t]
		for len(ordered) <= depth {
			ordered = append(ordered, nil)
		}
		if t.refusal == nil {
			ordered[depth] = append(ordered[depth], t)
		}
	}
	return ordered
}

// subjectDepths counts how many subjects stand before each image.
func subjectDepths(tasks []*task) map[*task]int {
	key := func(t *task, d digest.Digest) string { return fmt.Sprint(t.image.Repository.Name, "@", d) }
	byDigest := map[string]*task{}
	for _, t := range tasks {
		for _, manifest := range t.tree.Manifests() {
			byDigest[key(t, manifest.Digest)] = t
		}
	}
	for _, t := range tasks { // what has a tag of its own arrives with it
		byDigest[key(t, t.image.Digest)] = t
	}
	depths := map[*task]int{}
	for _, t := range tasks {
		for s := byDigest[key(t, t.image.Subject)]; s != nil && s != t && depths[t] < len(tasks); s = byDigest[key(s, s.image.Subject)] {
			depths[t]++
		}
	}
	return depths
}

// interleave deals the tasks out as one would cards: one of each repository in turn.
func interleave(tasks []*task) []*task {
	var names []string
	byRepository := map[string][]*task{}
	for _, t := range tasks {
		name := t.image.Repository.Name
		if byRepository[name] == nil {
			names = append(names, name)
		}
		byRepository[name] = append(byRepository[name], t)
	}
	dealt := make([]*task, 0, len(tasks))
	for round := 0; len(dealt) < len(tasks); round++ {
		for _, name := range names {
			if round < len(byRepository[name]) {
				dealt = append(dealt, byRepository[name][round])
			}
		}
	}
	return dealt
}
