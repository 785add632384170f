package migrate

import (
	"context"
	"maps"
	"slices"
	"strings"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// enter finds out what the engine holds, and has it left as it is.
func (r *run) enter(ctx context.Context, found plan.Survey) error {
	if r.Journal == nil {
		return nil
	}
	stay, err := r.copier.Enter(ctx, r.Journal, realmOf(found, r.Namer.Base))
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	r.Dedicated = stay.Images == 0
	r.observe(Entered(stay))
	return nil
}

// realmOf returns the hosts of all repositories, and the projects that they are copied to: below the group of base, too.
func realmOf(found plan.Survey, base string) transfer.Realm {
	hosts, projects := map[string]bool{}, map[string]bool{base: true}
	for _, repository := range found.Repositories {
		host, _, _ := strings.Cut(repository.URI, "/")
		hosts[host] = true
	}
	levels := strings.Count(base, "/") + 1
	for _, i := range found.Items {
		if components := strings.Split(i.Target, "/"); len(components) >= levels {
			projects[strings.Join(components[:levels], "/")] = true
		}
	}
	return transfer.Realm{Hosts: slices.Sorted(maps.Keys(hosts)), Projects: slices.Sorted(maps.Keys(projects))}
}
