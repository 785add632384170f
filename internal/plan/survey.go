package plan

import (
	"context"
	"fmt"
	"sort"
	"sync"

	"golang.org/x/sync/errgroup"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// listConcurrency is how many repositories are listed and planned at once: ECR allows far more calls a second than so
// many repositories make, and a slow one does not hold up the others.
const listConcurrency = 8

// Chosen says which part of the source is wanted.
type Chosen struct {
	Repositories, AllRepositories int
	Tags, AllTags                 int // of the wanted repositories
	Before                        int // tags of images that were pushed before MIGRATE_SINCE
	Surplus                       int // tags beyond the number of MIGRATE_NEWEST
	Unmatched                     []Unmatched
}

// Unmatched is a pattern that matches nothing.
type Unmatched struct{ Variable, Pattern string }

// Listed counts the wanted part of the source.
type Listed struct {
	Repositories int
	Images       int
	Tags         int
	Empty        []string // repositories without a tag
}

// Survey is what the source has, planned: of a large account the manifests are too much to keep.
type Survey struct {
	Repositories []image.Repository // that are wanted
	Items        []*Item
	Chosen       Chosen
	matched      map[string]bool // patterns for tags that match something
	Listed       Listed
	Failed       map[string]error // repositories that could not be listed
	Manifests    int              // that were read
}

// Survey reads and plans the whole source, repository by repository. One that cannot be listed does not hold up the
// others.
func (p *Planner) Survey(ctx context.Context) (Survey, error) {
	all, err := p.Source.Repositories(ctx)
	if err != nil {
		return Survey{}, err
	}
	repositories := p.Choice.repositories(all)
	found := Survey{
		Repositories: repositories, Listed: Listed{Repositories: len(repositories)}, Failed: map[string]error{},
		Chosen: Chosen{Repositories: len(repositories), AllRepositories: len(all)}, matched: map[string]bool{},
	}
	targets, refused := p.Namer.Targets(repositories)
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(listConcurrency)
	for _, repository := range repositories {
		group.Go(func() error {
			images, err := p.Source.Images(ctx, repository)
			wanted, left := p.Choice.images(images)
			var items []*Item
			if err == nil {
				items = p.repository(ctx, wanted, targets[repository.Name], refused[repository.Name])
			}
			mu.Lock()
			defer mu.Unlock()
			found.add(repository, images, items, err)
			found.Chosen.Before += left.before
			found.Chosen.Surplus += left.surplus
			found.match(p.Choice.Tags, images)
			return nil
		})
	}
	_ = group.Wait() // no function returns an error
	if err := ctx.Err(); err != nil {
		return Survey{}, err
	}
	found.sort()
	found.Chosen.Tags = found.Listed.Tags
	found.Manifests = int(p.reads.Load())
	found.Chosen.Unmatched = append(unmatched("MIGRATE_REPOSITORIES", p.Choice.Repositories, hitsOf(p.Choice.Repositories, all)),
		unmatched("MIGRATE_TAGS", p.Choice.Tags, found.matched)...)
	return found, found.nothing()
}

// add takes what became of one repository: the images that it has, and what is planned of them.
func (s *Survey) add(repository image.Repository, images []image.Image, items []*Item, err error) {
	if err != nil {
		s.Failed[repository.Name] = err
		return
	}
	tagged := 0
	for _, img := range images {
		tagged += len(img.Tags)
	}
	if s.Chosen.AllTags += tagged; tagged == 0 {
		s.Listed.Empty = append(s.Listed.Empty, repository.Name)
	}
	s.Listed.Images += len(items)
	for _, i := range items {
		s.Listed.Tags += len(i.Image.Tags)
	}
	s.Items = append(s.Items, items...)
}

// match notes which patterns for tags match some of the images'.
func (s *Survey) match(patterns Patterns, images []image.Image) {
	for _, img := range images {
		for _, pattern := range patterns.hits(img.Tags) {
			s.matched[pattern] = true
		}
	}
}

// hitsOf are the patterns that match a repository.
func hitsOf(patterns Patterns, repositories []image.Repository) map[string]bool {
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
func (s *Survey) sort() {
	sort.Strings(s.Listed.Empty)
	sort.Slice(s.Items, func(i, j int) bool { return s.Items[i].Before(s.Items[j]) })
}

// nothing returns the first failure where no repository could be listed at all.
func (s *Survey) nothing() error {
	if len(s.Failed) == 0 || len(s.Failed) < len(s.Repositories) {
		return nil
	}
	names := make([]string, 0, len(s.Failed))
	for name := range s.Failed {
		names = append(names, name)
	}
	sort.Strings(names)
	return fmt.Errorf("list %s: %w", names[0], s.Failed[names[0]])
}
