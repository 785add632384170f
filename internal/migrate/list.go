package migrate

import (
	"context"
	"sort"
	"sync"

	"golang.org/x/sync/errgroup"
)

// listConcurrency is how many repositories are listed and planned at once: ECR allows far more calls a second than so
// many repositories make, and a slow one does not hold up the others.
const listConcurrency = 8

// survey is what the source has, planned: of a large account the manifests are too much to keep.
type survey struct {
	repositories []Repository
	tasks        []*task
	listed       Listed
	failed       map[string]error // repositories that could not be listed
}

// survey reads and plans the whole source, repository by repository. One that cannot be listed does not hold up the
// others.
func (p *planner) survey(ctx context.Context) (survey, error) {
	repositories, err := p.source.Repositories(ctx)
	if err != nil {
		return survey{}, err
	}
	found := survey{repositories: repositories, listed: Listed{Repositories: len(repositories)}, failed: map[string]error{}}
	targets, refused := p.namer.Targets(repositories)
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(listConcurrency)
	for _, repository := range repositories {
		group.Go(func() error {
			images, err := p.source.Images(ctx, repository)
			var tasks []*task
			if err == nil {
				tasks = p.repository(ctx, images, targets[repository.Name], refused[repository.Name])
			}
			mu.Lock()
			defer mu.Unlock()
			found.add(repository, tasks, err)
			return nil
		})
	}
	_ = group.Wait() // no function returns an error
	if err := ctx.Err(); err != nil {
		return survey{}, err
	}
	found.sort()
	return found, found.nothing()
}

// add takes what became of one repository.
func (s *survey) add(repository Repository, tasks []*task, err error) {
	if err != nil {
		s.failed[repository.Name] = failedAt(StepList, repository.Name, err)
		return
	}
	if len(tasks) == 0 {
		s.listed.Empty = append(s.listed.Empty, repository.Name)
	}
	s.listed.Images += len(tasks)
	for _, t := range tasks {
		s.listed.Tags += len(t.image.Tags)
	}
	s.tasks = append(s.tasks, tasks...)
}

// sort puts things in an order that does not depend on who answered first: repositories by name, because those of one
// name's beginning often share layers, and in each the oldest image first.
func (s *survey) sort() {
	sort.Strings(s.listed.Empty)
	sort.Slice(s.tasks, func(i, j int) bool { return s.tasks[i].before(s.tasks[j]) })
}

// nothing returns the first failure where no repository could be listed at all.
func (s *survey) nothing() error {
	if len(s.failed) == 0 || len(s.failed) < len(s.repositories) {
		return nil
	}
	names := make([]string, 0, len(s.failed))
	for name := range s.failed {
		names = append(names, name)
	}
	sort.Strings(names)
	return s.failed[names[0]]
}
