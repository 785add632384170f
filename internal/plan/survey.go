package plan

import (
	"context"
	"fmt"
	"sort"
	"sync"

	"golang.org/x/sync/errgroup"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// listConcurrency is the number of repositories that are listed and planned at once. That stays far below ECR's limits, and
// a slow repository does not hold up the others.
const listConcurrency = 8

// Chosen counts what Choice chooses of the source.
type Chosen struct {
	Repositories, AllRepositories int
	Tags, AllTags                 int // of the selected repositories
	Before                        int // tags of images pushed before MIGRATE_SINCE
	Surplus                       int // tags beyond MIGRATE_NEWEST
	Unmatched                     []Unmatched
}

// Unmatched is a pattern that matches nothing.
type Unmatched struct{ Variable, Pattern string }

// Listed counts the chosen part of the source.
type Listed struct {
	Repositories int
	Images       int
	Tags         int
	Empty        []string // repositories without a tag
}

// Survey is the plan of the whole source.
type Survey struct {
	Repositories []image.Repository // that are selected
	Items        []*Item
	Chosen       Chosen
	matched      map[string]bool // patterns for tags that match something
	Listed       Listed
	Failed       map[string]error // repositories that could not be listed
	Manifests    int              // that were read
}

// Survey lists and plans the whole source, repository by repository. Repositories that cannot be listed do not affect the
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

// add adds a repository with its images and the items planned of them, or the error that listing it returned.
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

// match records which tag patterns match tags of the images.
func (s *Survey) match(patterns Patterns, images []image.Image) {
	for _, img := range images {
		for _, pattern := range patterns.hits(img.Tags) {
			s.matched[pattern] = true
		}
	}
}

// hitsOf returns the patterns that match a repository.
func hitsOf(patterns Patterns, repositories []image.Repository) map[string]bool {
	hits := map[string]bool{}
	for _, repository := range repositories {
		for _, pattern := range patterns.hits([]string{repository.Name}) {
			hits[pattern] = true
		}
	}
	return hits
}

// unmatched returns the patterns that match nothing, with their variable.
func unmatched(variable string, patterns Patterns, hits map[string]bool) []Unmatched {
	var lost []Unmatched
	for _, pattern := range patterns {
		if !hits[pattern] {
			lost = append(lost, Unmatched{Variable: variable, Pattern: pattern})
		}
	}
	return lost
}

// sort makes the order independent of which repository answered first: by name, because repositories with a common prefix
// often share layers, and within a repository from the oldest image to the newest.
func (s *Survey) sort() {
	sort.Strings(s.Listed.Empty)
	sort.Slice(s.Items, func(i, j int) bool { return s.Items[i].Before(s.Items[j]) })
}

// nothing returns the first failure if no repository could be listed.
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
