package migrate

import (
	"context"
	"sort"
	"sync"

	"golang.org/x/sync/errgroup"
)

// listConcurrency is how many repositories are listed at once: ECR allows far more calls a second than so many
// repositories make, and a slow one does not hold up the others.
const listConcurrency = 8

// listing is what the source has, before any decision.
type listing struct {
	repositories []Repository
	images       map[string][]Image // by repository
	failed       map[string]error   // repositories that could not be listed
}

// list reads the whole source. One repository that cannot be listed does not hold up the others.
func list(ctx context.Context, source Source) (listing, error) {
	repositories, err := source.Repositories(ctx)
	if err != nil {
		return listing{}, err
	}
	found := listing{repositories: repositories, images: map[string][]Image{}, failed: map[string]error{}}
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(listConcurrency)
	for _, repository := range repositories {
		group.Go(func() error {
			images, err := source.Images(ctx, repository)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				found.failed[repository.Name] = failedAt(StepList, repository.Name, err)
				return nil
			}
			found.images[repository.Name] = images
			return nil
		})
	}
	_ = group.Wait() // no function returns an error
	if err := ctx.Err(); err != nil {
		return listing{}, err
	}
	return found, found.nothing()
}

// nothing returns the first failure where no repository could be listed at all.
func (l listing) nothing() error {
	if len(l.failed) == 0 || len(l.failed) < len(l.repositories) {
		return nil
	}
	names := make([]string, 0, len(l.failed))
	for name := range l.failed {
		names = append(names, name)
	}
	sort.Strings(names)
	return l.failed[names[0]]
}

// summary counts for people: images with tags, their tags, and repositories without any.
func (l listing) summary() Listed {
	event := Listed{Repositories: len(l.repositories)}
	for _, repository := range l.repositories {
		images, tags := 0, 0
		for _, image := range l.images[repository.Name] {
			if len(image.Tags) > 0 {
				images++
				tags += len(image.Tags)
			}
		}
		event.Images += images
		event.Tags += tags
		if _, failed := l.failed[repository.Name]; tags == 0 && !failed {
			event.Empty = append(event.Empty, repository.Name)
		}
	}
	return event
}
