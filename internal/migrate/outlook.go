package migrate

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
)

// Outlook is what a migration would do, as things are.
type Outlook struct {
	Listed Listed
	Store  Store

	Present   int // tags that a migration would leave alone
	Pending   int // tags that it would copy
	Replaced  int // of these: GitLab has another image under them
	Images    int // of the pending tags
	Referrers int // to be brought with their images
	Left      int // referrers of what MIGRATE_PLATFORM leaves behind

	Blobs    int   // layers and configs to be fetched, each once
	Fetched  int64 // bytes of them
	Unshared int64 // bytes that they would be if no image shared any
	Added    int64 // bytes that the target's storage grows by

	Largest      string // the image that takes up most room in the engine
	LargestBytes int64  // that it takes up there, an estimate

	Pace   Pace      // by which the times are estimated
	Times  []JobTime // of 1, 2, 4 … jobs; none where nothing is to be copied
	Enough int       // jobs that copy everything within the time that there is; 0: no number of them does

	Denied  []Denial
	Results []Result // of what would not arrive: refused, failed in the planning, or not to be asked for
}

// Denial is something that the migration needs of the source, and that the source does not let it do.
type Denial struct {
	Action       string   // "ecr:GetDownloadUrlForLayer"
	Repositories []string // sorted
	Err          error    // of the first of them
}

// Troubles counts what has to be seen to before everything can arrive.
func (o Outlook) Troubles() int { return len(o.Results) + len(o.Denied) }

// Preview finds out what Run would do, all jobs together, and copies nothing.
func Preview(ctx context.Context, options Options, pace Pace) (Outlook, error) {
	options.Share = Share{}
	ctx, r, end := startRun(ctx, options)
	defer end()
	found, err := r.begin()
	if err != nil {
		return Outlook{}, err
	}
	p := &preview{run: r, denied: map[string]map[string]error{}}
	p.Results = found.unlisted()
	unasked := each(r, found.tasks, func(t *task) { p.ask(ctx, t) })
	p.tryAccess(ctx, found.tasks)
	if len(unasked) > 0 || r.starting.Err() != nil {
		return Outlook{}, r.cause()
	}
	p.Listed, p.Store, p.Pace, p.Denied = found.listed, r.Store, pace.on(r.Store), p.denials()
	slices.SortFunc(p.Results, func(a, b Result) int {
		return cmp.Or(cmp.Compare(a.Repository, b.Repository), cmp.Compare(a.Tag, b.Tag))
	})
	p.measure(found.tasks, r.copier.catalog)
	return p.Outlook, nil
}

// preview is an Outlook in the making.
type preview struct {
	Outlook
	run *run

	mu     sync.Mutex                  // guards the Outlook's counts and results, and
	denied map[string]map[string]error // by action and repository
}

// ask finds out what the target has of the image.
func (p *preview) ask(ctx context.Context, t *task) {
	results := t.hopeless()
	if len(results) == 0 {
		results = append(p.run.copier.compareTags(ctx, t), p.run.copier.compareReferrers(ctx, t)...)
		if stopped := p.run.breaker.note(results); stopped != nil {
			p.run.giveUp(stopped)
		}
		t.pending = nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, result := range results {
		switch {
		case t.refusal != nil:
			p.Results = append(p.Results, result)
		case result.Referrers > 0:
			p.takeReferrers(result)
		default:
			p.takeTag(t, result)
		}
	}
	if len(t.pending) > 0 {
		p.Images++
	}
}

// takeTag decides as a migration does: only on the classic store it lets digests be that an earlier run has changed.
func (p *preview) takeTag(t *task, result Result) {
	if result.Pushed == t.root || p.run.Store == ClassicStore && result.Outcome.Arrived() {
		p.Present++
		t.present = append(t.present, result)
		return
	}
	p.Pending++
	t.pending = append(t.pending, result.Tag)
	switch result.Outcome {
	case Failed:
		p.Results = append(p.Results, result)
	case Missing:
	default:
		p.Replaced++
	}
}

func (p *preview) takeReferrers(result Result) {
	switch {
	case result.Outcome == Exact:
	case result.Outcome == Missing && p.run.Store == ClassicStore:
		p.Results = append(p.Results, result.onClassic())
	case result.Outcome == Missing:
		p.Referrers += result.Referrers
	default:
		p.Results = append(p.Results, result)
	}
}

// tryAccess asks the source for one layer of each repository. A policy can be for some of them.
func (p *preview) tryAccess(ctx context.Context, tasks []*task) {
	if p.run.Access == nil {
		return
	}
	var samples []*task
	for _, ofOne := range byRepository(tasks) {
		if i := slices.IndexFunc(ofOne, func(t *task) bool { return len(t.pending) > 0 && len(t.blobs) > 0 }); i >= 0 {
			samples = append(samples, ofOne[i])
		}
	}
	each(p.run, samples, func(t *task) {
		refused := p.run.Access(ctx, t.image.Repository, p.run.copier.catalog.digest(t.blobs[0]))
		p.mu.Lock()
		defer p.mu.Unlock()
		for action, err := range refused {
			if p.denied[action] == nil {
				p.denied[action] = map[string]error{}
			}
			p.denied[action][t.image.Repository.Name] = err
		}
	})
}

func (p *preview) denials() []Denial {
	var denials []Denial
	for _, action := range slices.Sorted(maps.Keys(p.denied)) {
		names := slices.Sorted(maps.Keys(p.denied[action]))
		denials = append(denials, Denial{Action: action, Repositories: names, Err: p.denied[action][names[0]]})
	}
	return denials
}

// measure counts what is to be moved.
func (p *preview) measure(tasks []*task, blobs *catalog) {
	work := newWorkload(tasks, blobs, p.Store)
	all := work.of(tasks)
	p.Blobs, p.Fetched = all.blobs, all.bytes
	if all.tags > 0 {
		p.Times = work.times(p.Pace)
	}
	if p.Pace.Within > 0 {
		p.Enough = work.enough(p.Pace)
	}
	atTarget, space := make([]bool, blobs.len()), newDisk(blobs, p.Store, 0)
	for _, t := range tasks {
		p.Left += t.left
		for _, id := range t.blobs {
			atTarget[id] = atTarget[id] || len(t.present) > 0
		}
	}
	for _, t := range tasks {
		if len(t.pending) == 0 {
			continue
		}
		for _, id := range t.blobs {
			p.Unshared += blobs.size(id)
			if !atTarget[id] {
				atTarget[id] = true
				p.Added += blobs.size(id)
			}
		}
		if need := space.need(t.blobs); need > p.LargestBytes {
			p.Largest, p.LargestBytes = t.result(t.pending[0]).Name(), need
		}
	}
}
