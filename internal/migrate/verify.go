package migrate

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// Verify compares everything that the source lists with the target, and copies nothing. The engine pulls up to pulls of the
// tags back from the target. A job verifies the same share that Run migrates. The outcomes include Missing and Different.
func Verify(ctx context.Context, options Options, pulls int) (Summary, error) {
	ctx, r, end := startRun(ctx, options)
	defer end()
	found, err := r.begin()
	if err != nil {
		return Summary{}, err
	}
	if pulls > 0 {
		if err := r.enter(ctx, found); err != nil {
			return Summary{}, err
		}
		defer r.copier.Leave(ctx)
	}
	r.compareAll(ctx, found, pulls)
	return r.summary()
}

// compared is a tag that is at the target.
type compared struct {
	item   *plan.Item
	result transfer.Result
}

// compareAll compares every tag and the referrers of every image. The results of what is there are reported after tags to pull
// back have been chosen among them.
func (r *run) compareAll(ctx context.Context, found plan.Survey, pulls int) {
	comparing := Comparing{Store: r.Store}
	for _, i := range found.Items {
		comparing.Tags += len(i.Image.Tags)
	}
	r.observe(comparing)
	for _, result := range unlisted(found) {
		r.finish(ctx, result)
	}
	var mu sync.Mutex
	var there []compared
	unasked := each(r, found.Items, func(i *plan.Item) {
		results := r.copier.Compare(ctx, i)
		if pulls > 0 {
			mu.Lock()
			there, results = hold(i, there, results)
			mu.Unlock()
		}
		r.finish(ctx, results...)
	})
	r.pullBack(ctx, there, pulls)
	r.lookForExtra(ctx, found)
	for _, i := range unasked {
		r.finish(ctx, transfer.Settle(i, i.Image.Tags, transfer.NotStarted, r.cause())...)
	}
}

// hold adds those of the item's tags that are at the target to others, and returns the rest of the results.
func hold(i *plan.Item, others []compared, results []transfer.Result) (there []compared, rest []transfer.Result) {
	for _, result := range results {
		if result.Referrers == 0 && result.Outcome.Arrived() {
			others = append(others, compared{i, result})
		} else {
			rest = append(rest, result)
		}
	}
	return others, rest
}

// lookForExtra asks the target for what earlier runs have copied and the source no longer lists. It does nothing if only a
// part of the source was listed.
func (r *run) lookForExtra(ctx context.Context, found plan.Survey) {
	if !r.Choice.Everything() || r.Share.Total > 1 {
		return
	}
	listed := map[string]bool{}
	for _, i := range found.Items {
		for _, tag := range i.Image.Tags {
			listed[i.Image.Repository.Name+":"+tag] = true
		}
	}
	gone := slices.DeleteFunc(slices.Clone(r.Earlier), func(e Earlier) bool {
		return listed[e.Repository+":"+e.Tag] || found.Failed[e.Repository] != nil
	})
	each(r, gone, func(e Earlier) {
		result := transfer.Result{Repository: e.Repository, Tag: e.Tag, Source: e.Source, Root: e.Source, Target: e.Target, Outcome: transfer.Extra}
		resolved, err := r.Engine.Resolve(ctx, e.Target)
		switch result.Pushed = resolved.Digest; {
		case errors.Is(err, docker.ErrNotFound):
			return
		case err != nil:
			result = result.FailedWith(transfer.FailedAt(transfer.StepVerify, e.Target, err))
		}
		r.finish(ctx, result)
	})
}

// each calls do for the items, as many at a time as it asks for tags, and returns those that were left when the run stopped.
func each[T any](r *run, items []T, do func(T)) (left []T) {
	var group errgroup.Group
	group.SetLimit(transfer.MaxQuestions)
	for i, item := range items {
		if r.starting.Err() != nil {
			left = items[i:]
			break
		}
		group.Go(func() error { do(item); return nil })
	}
	_ = group.Wait() // no function returns an error
	return left
}

// pullBack has the engine pull some of the tags from the target, one by one, and reports the results of all of them.
func (r *run) pullBack(ctx context.Context, there []compared, pulls int) {
	chosen, rest := sample(there, pulls)
	for _, c := range rest {
		r.finish(ctx, c.result)
	}
	for _, c := range chosen {
		if r.starting.Err() != nil {
			r.finish(ctx, c.result) // which it has, pulled or not
			continue
		}
		if err := r.copier.PullBack(ctx, c.item, c.result.Pushed); err != nil {
			r.finish(ctx, c.result.FailedWith(err))
			continue
		}
		r.pulled++
		r.observe(PulledBack{Result: c.result})
		r.finish(ctx, c.result)
	}
}

// sample chooses n tags, spread over the repositories: from each in turn the newest image that is not chosen yet. It does not
// choose what the engine could not hold.
func sample(there []compared, n int) (chosen, rest []compared) {
	slices.SortFunc(there, newestFirst)
	picked := map[int]bool{}
	for _, turn := range turns(there) {
		for _, i := range spread(turn, n-len(picked)) {
			picked[i] = true
		}
	}
	for i, c := range there {
		if picked[i] {
			chosen = append(chosen, c)
		} else {
			rest = append(rest, c)
		}
	}
	return chosen, rest
}

// newestFirst sorts tags by repository, and within a repository from the newest image to the oldest.
func newestFirst(a, b compared) int {
	return cmp.Or(
		cmp.Compare(a.result.Repository, b.result.Repository),
		b.item.Image.PushedAt.Compare(a.item.Image.PushedAt),
		cmp.Compare(a.result.Source, b.result.Source),
		cmp.Compare(a.result.Tag, b.result.Tag),
	)
}

// turns returns the places of tags: each turn has one tag of a further image of each repository that has one.
func turns(sorted []compared) [][]int {
	var all [][]int
	var last *plan.Item
	turn := 0
	for i, c := range sorted {
		switch {
		case c.item.Rejected() || c.item == last:
			continue
		case last == nil || last.Image.Repository.Name != c.item.Image.Repository.Name:
			turn = 0
		default:
			turn++
		}
		if last = c.item; turn == len(all) {
			all = append(all, nil)
		}
		all[turn] = append(all[turn], i)
	}
	return all
}

// spread takes at most n of the places, evenly.
func spread(places []int, n int) []int {
	if n >= len(places) {
		return places
	}
	taken := make([]int, max(0, n))
	for k := range taken {
		taken[k] = places[k*len(places)/n]
	}
	return taken
}

// unlisted are the repositories that could not be listed. Every share reports them: another job may have listed
// them, and relies on this one.
func unlisted(s plan.Survey) []transfer.Result {
	var results []transfer.Result
	for _, repository := range s.Repositories {
		if err := s.Failed[repository.Name]; err != nil {
			results = append(results, transfer.Result{Repository: repository.Name, Outcome: transfer.Failed, Err: transfer.FailedAt(transfer.StepList, repository.Name, err)})
		}
	}
	return results
}
