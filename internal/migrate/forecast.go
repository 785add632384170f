package migrate

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/schedule"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// Forecast says what a migration would do at the moment.
type Forecast struct {
	Listed Listed
	Store  image.Store

	Present   int // tags that a migration would leave alone
	Pending   int // tags that it would copy
	Replaced  int // of these: GitLab has another image under them, which a migration replaces
	Images    int // of the pending tags
	Referrers int // to be brought with their images
	Left      int // referrers of what MIGRATE_PLATFORM leaves behind

	Manifests int // that were read to find all this out

	Blobs    int   // layers and configs to be fetched, each once
	Fetched  int64 // bytes of them
	Unshared int64 // bytes that they would be if no image shared any
	Added    int64 // bytes that the target's storage grows by

	Largest      string // the image that takes up most room in the engine
	LargestBytes int64  // that it takes up there, an estimate

	Pace   plan.Pace      // by which the times are estimated
	Times  []plan.JobTime // of 1, 2, 4 … jobs; none where nothing is to be copied
	Enough int            // jobs that copy everything within the time that there is; 0: no number of them does

	Unknown []plan.UnknownType // media types of what is to be copied that GitLab is not known to take
	Renamed []Renaming         // repositories that are not written to a path of their own name, sorted
	Denied  []Denial
	Buckets []string          // hosts that this program can read layers from, sorted
	Results []transfer.Result // of what would not arrive: refused, failed in the planning, or not to be asked for
	// Conflicts are the pending tags under which GitLab has an image that is somebody else's, unless an engine has made it of
	// ECR's, which only a pull can tell. They are sorted.
	Conflicts []transfer.Result
}

// Access is what came of trying all that the pull of a layer needs.
type Access struct {
	Refused map[string]error // by action
	Bucket  string           // the host that keeps the layer; empty where nobody has come so far
}

// Renaming is a repository with the path that it is written to, host included.
type Renaming struct{ Repository, Target string }

// Denial is something that the migration needs of the source, and that the source does not let it do.
type Denial struct {
	Action       string   // "ecr:GetDownloadUrlForLayer"
	Repositories []string // sorted
	Err          error    // of the first of them
}

// Troubles counts the problems to solve before everything can arrive.
func (o Forecast) Troubles() int { return len(o.Results) + len(o.Denied) }

// Plan forecasts what Run would do, for all jobs together. It copies nothing.
func Plan(ctx context.Context, options Options, pace plan.Pace) (Forecast, error) {
	options.Share = plan.Share{}
	ctx, r, end := startRun(ctx, options)
	defer end()
	found, err := r.begin()
	if err != nil {
		return Forecast{}, err
	}
	p := &forecaster{run: r, found: map[*plan.Item]plan.TargetState{}, denied: map[string]map[string]error{}, buckets: map[string]bool{}}
	p.Results = unlisted(found)
	unasked := each(r, found.Items, func(i *plan.Item) { p.ask(ctx, i) })
	p.tryAccess(ctx, found.Items)
	if len(unasked) > 0 || r.starting.Err() != nil {
		return Forecast{}, r.cause()
	}
	p.Listed, p.Store, p.Pace, p.Denied = Listed(found.Listed), r.Store, pace.On(r.Store), p.denials()
	p.Manifests, p.Renamed = found.Manifests, renamed(found.Items, r.Namer.Base)
	p.Buckets = slices.Sorted(maps.Keys(p.buckets))
	slices.SortFunc(p.Results, byName)
	slices.SortFunc(p.Conflicts, byName)
	p.Unknown = r.unknownTypes(found.Items, func(i *plan.Item) int { return p.found[i].Pending })
	p.measure(found.Items, r.catalog)
	return p.Forecast, nil
}

func byName(a, b transfer.Result) int {
	return cmp.Or(cmp.Compare(a.Repository, b.Repository), cmp.Compare(a.Tag, b.Tag))
}

// renamed returns the repositories that have another name below the target project, or are written to another one.
func renamed(items []*plan.Item, base string) []Renaming {
	var all []Renaming
	for _, i := range items { // by repository
		renaming := Renaming{Repository: i.Image.Repository.Name, Target: i.Target}
		if i.Target != "" && i.Target != base+"/"+renaming.Repository && !slices.Contains(all[max(0, len(all)-1):], renaming) {
			all = append(all, renaming)
		}
	}
	return all
}

// forecaster makes a Forecast.
type forecaster struct {
	Forecast
	run *run

	mu      sync.Mutex // guards the Forecast's counts and results, and
	found   map[*plan.Item]plan.TargetState
	denied  map[string]map[string]error // by action and repository
	buckets map[string]bool             // that can be read
}

// ask asks what the target has of the item.
func (p *forecaster) ask(ctx context.Context, i *plan.Item) {
	results := transfer.Rejections(i)
	if len(results) == 0 {
		results = append(p.run.copier.CompareTags(ctx, i), p.run.copier.CompareReferrers(ctx, i)...)
		if stopped := p.run.breaker.note(results); stopped != nil {
			p.run.giveUp(stopped)
		}
	} else if stopped := sourceEnds(results); stopped != nil {
		p.run.giveUp(stopped)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, result := range results {
		switch {
		case i.Rejected():
			p.Results = append(p.Results, result)
		case result.Referrers > 0:
			p.takeReferrers(result)
		default:
			p.takeTag(i, result)
		}
	}
	if p.found[i].Pending > 0 {
		p.Images++
	}
}

// takeTag decides as a migration does. Digests that an earlier run has changed count as present on the classic store only.
func (p *forecaster) takeTag(i *plan.Item, result transfer.Result) {
	has := p.found[i]
	defer func() { p.found[i] = has }()
	if result.Pushed == i.Root || p.run.Store == image.ClassicStore && result.Outcome.Arrived() {
		p.Present++
		has.Present = true
		return
	}
	p.Pending++
	has.Pending++
	switch result.Outcome {
	case transfer.Failed:
		p.Results = append(p.Results, result)
	case transfer.Missing:
	case transfer.Conflict, transfer.Kept:
		p.Conflicts = append(p.Conflicts, result)
	default:
		p.Replaced++
	}
}

func (p *forecaster) takeReferrers(result transfer.Result) {
	switch {
	case result.Outcome == transfer.Exact:
	case result.Outcome == transfer.Missing && p.run.Store == image.ClassicStore:
		p.Results = append(p.Results, result.OnClassic())
	case result.Outcome == transfer.Missing:
		p.Referrers += result.Referrers
	default:
		p.Results = append(p.Results, result)
	}
}

// tryAccess tries one layer of each repository, because a policy may allow some repositories only.
func (p *forecaster) tryAccess(ctx context.Context, items []*plan.Item) {
	if p.run.Access == nil {
		return
	}
	var samples []*plan.Item
	for _, ofOne := range plan.ByRepository(items) {
		if at := slices.IndexFunc(ofOne, func(i *plan.Item) bool { return p.found[i].Pending > 0 && len(i.Blobs) > 0 }); at >= 0 {
			samples = append(samples, ofOne[at])
		}
	}
	each(p.run, samples, func(i *plan.Item) {
		access := p.run.Access(ctx, i.Image.Repository, p.run.catalog.Digest(i.Blobs[0]))
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(access.Refused) == 0 && access.Bucket != "" {
			p.buckets[access.Bucket] = true
		}
		for action, err := range access.Refused {
			if p.denied[action] == nil {
				p.denied[action] = map[string]error{}
			}
			p.denied[action][i.Image.Repository.Name] = err
		}
	})
}

func (p *forecaster) denials() []Denial {
	var denials []Denial
	for _, action := range slices.Sorted(maps.Keys(p.denied)) {
		names := slices.Sorted(maps.Keys(p.denied[action]))
		denials = append(denials, Denial{Action: action, Repositories: names, Err: p.denied[action][names[0]]})
	}
	return denials
}

// measure counts what has to be moved.
func (p *forecaster) measure(items []*plan.Item, blobs *plan.Catalog) {
	work := plan.NewWorkload(items, p.found, blobs, p.Store)
	all := work.Of(items)
	p.Blobs, p.Fetched = all.Blobs, all.Bytes
	if all.Tags > 0 {
		p.Times = work.Times(p.Pace)
	}
	if p.Pace.Within > 0 {
		now := time.Now() // a run keeps the end of its time for what is under way
		p.Enough = work.Enough(p.Pace, DeadlineAt(now.Add(p.Pace.Within), now).LastStart.Sub(now))
	}
	atTarget, space := make([]bool, blobs.Len()), schedule.NewDisk(blobs, p.Store, 0)
	for _, i := range items {
		p.Left += i.Left
		for _, id := range i.Blobs {
			atTarget[id] = atTarget[id] || p.found[i].Present
		}
	}
	for _, i := range items {
		if p.found[i].Pending == 0 {
			continue
		}
		for _, id := range i.Blobs {
			p.Unshared += blobs.Size(id)
			if !atTarget[id] {
				atTarget[id] = true
				p.Added += blobs.Size(id)
			}
		}
		if need := space.Need(i.Blobs); need > p.LargestBytes {
			p.Largest, p.LargestBytes = transfer.ResultOf(i, i.Image.Tags[0]).Name(), need
		}
	}
}
