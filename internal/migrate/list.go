package migrate

import (
	"context"
	"fmt"
	"sort"
	"sync"

	"golang.org/x/sync/errgroup"
)

// listConcurrency is how many repositories are listed and planned at once: ECR allows far more calls a second than so
// many repositories make, and a slow one does not hold up the others.
const listConcurrency = 8

// chosen says which part of the source is wanted.
type chosen struct {
	Repositories, AllRepositories int
	Tags, AllTags                 int // of the wanted repositories
	Unmatched                     []Unmatched
}

// Unmatched is a pattern that matches nothing.
type Unmatched struct{ Variable, Pattern string }

// listed counts the wanted part of the source.
type listed struct {
	Repositories int
	Images       int
	Tags         int
	Empty        []string // repositories without a tag
}

// survey is what the source has, planned: of a large account the manifests are too much to keep.
type survey struct {
	repositories []Repository // that are wanted
	items        []*item
	chosen       chosen
	matched      map[string]bool // patterns for tags that match something
	listed       listed
	failed       map[string]error // repositories that could not be listed
}

// survey reads and plans the whole source, repository by repository. One that cannot be listed does not hold up the
// others.
func (p *planner) survey(ctx context.Context) (survey, error) {
	all, err := p.source.Repositories(ctx)
	if err != nil {
		return survey{}, err
	}
	repositories := p.choice.repositories(all)
	found := survey{
		repositories: repositories, listed: listed{Repositories: len(repositories)}, failed: map[string]error{},
		chosen: chosen{Repositories: len(repositories), AllRepositories: len(all)}, matched: map[string]bool{},
	}
	targets, refused := p.namer.Targets(repositories)
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(listConcurrency)
	for _, repository := range repositories {
		group.Go(func() error {
			images, err := p.source.Images(ctx, repository)
			var items []*item
			if err == nil {
				items = p.repository(ctx, p.choice.images(images), targets[repository.Name], refused[repository.Name])
			}
			mu.Lock()
			defer mu.Unlock()
			found.add(repository, images, items, err)
			found.match(p.choice.Tags, images)
			return nil
		})
	}
	_ = group.Wait() // no function returns an error
	if err := ctx.Err(); err != nil {
		return survey{}, err
	}
	found.sort()
	found.chosen.Tags = found.listed.Tags
	found.chosen.Unmatched = append(unmatched("MIGRATE_REPOSITORIES", p.choice.Repositories, hitsOf(p.choice.Repositories, all)),
		unmatched("MIGRATE_TAGS", p.choice.Tags, found.matched)...)
	return found, found.nothing()
}

// add takes what became of one repository: the images that it has, and what is planned of them.
func (s *survey) add(repository Repository, images []Image, items []*item, err error) {
	if err != nil {
		s.failed[repository.Name] = err
		return
	}
	tagged := 0
	for _, image := range images {
		tagged += len(image.Tags)
	}
	if s.chosen.AllTags += tagged; tagged == 0 {
		s.listed.Empty = append(s.listed.Empty, repository.Name)
	}
	s.listed.Images += len(items)
	for _, i := range items {
		s.listed.Tags += len(i.image.Tags)
	}
	s.items = append(s.items, items...)
}

// match notes which patterns for tags match some of the images'.
func (s *survey) match(patterns Patterns, images []Image) {
	for _, image := range images {
		for _, pattern := range patterns.hits(image.Tags) {
			s.matched[pattern] = true
		}
	}
}

// hitsOf are the patterns that match a repository.
func hitsOf(patterns Patterns, repositories []Repository) map[string]bool {
	hits := map[string]bool{}
	for _, repository := range repositories {
		for _, pattern := range patterns.hits([]string{repository.Name}) {
			hits[pattern] = true
		}
	}
	return hits
}

// unmatched names the patterns that match nothing, with their variable.
func unmatched(variable string, patterns Patterns, hits map[string]bool) []Unmatched {
	var lost []Unmatched
	for _, pattern := range patterns {
		if !hits[pattern] {
			lost = append(lost, Unmatched{Variable: variable, Pattern: pattern})
		}
	}
	return lost
}

// sort puts things in an order that does not depend on who answered first: repositories by name, because those of one
// name's beginning often share layers, and in each the oldest image first.
func (s *survey) sort() {
	sort.Strings(s.listed.Empty)
	sort.Slice(s.items, func(i, j int) bool { return s.items[i].before(s.items[j]) })
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
	return fmt.Errorf("list %s: %w", names[0], s.failed[names[0]])
}
