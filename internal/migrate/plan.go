package migrate

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// task is one image to copy, with all its tags.
type task struct {
	image     Image
	target    string                      // the target repository, host included
	tree      Tree                        // what is copied: the image, or the manifest of the one platform asked for
	reduced   bool                        // of an index, one platform on purpose
	left      []digest.Digest             // manifests of the image that are not copied, when reduced
	referrers map[digest.Digest]referrers // of the whole repository, by subject
	refusal   error                       // known before anything is copied

	pending []string        // tags that are not at the target yet
	present []Result        // of the tags that are
	work    *workspace      // once the image is pulled
	blobs   []digest.Digest // see layers
}

// planner turns a listing into tasks.
type planner struct {
	source   Source
	engine   Engine
	store    Store
	platform *ocispec.Platform
	namer    Namer
	listing  listing
}

// plan decides for every tagged image where it goes and whether it can arrive. What cannot is refused here, so that
// a user knows before the night begins.
func (p *planner) plan(ctx context.Context) ([]*task, error) {
	targets, refused := p.namer.Targets(p.listing.repositories)
	var (
		mu    sync.Mutex
		tasks []*task
		group errgroup.Group
	)
	group.SetLimit(listConcurrency)
	for _, repository := range p.listing.repositories {
		group.Go(func() error {
			planned := p.repository(ctx, repository, targets[repository.Name], refused[repository.Name])
			mu.Lock()
			defer mu.Unlock()
			tasks = append(tasks, planned...)
			return nil
		})
	}
	_ = group.Wait() // no function returns an error
	sort.Slice(tasks, func(i, j int) bool { return tasks[i].before(tasks[j]) })
	return tasks, ctx.Err()
}

func (t *task) before(other *task) bool {
	if t.image.Repository.Name != other.image.Repository.Name {
		return t.image.Repository.Name < other.image.Repository.Name
	}
	if !t.image.PushedAt.Equal(other.image.PushedAt) {
		return t.image.PushedAt.Before(other.image.PushedAt)
	}
	return t.image.Digest < other.image.Digest
}

// repository plans the tagged images of one repository. A refusal that concerns the name concerns them all.
func (p *planner) repository(ctx context.Context, repository Repository, target string, refusal error) []*task {
	var tasks []*task
	for _, image := range p.listing.images[repository.Name] {
		if len(image.Tags) > 0 {
			tasks = append(tasks, &task{image: image, target: target, refusal: refusal})
		}
	}
	if refusal != nil || len(tasks) == 0 {
		return tasks
	}
	manifests, err := p.trees(ctx, repository)
	bySubject := p.bySubject(repository, manifests, err)
	for _, t := range tasks {
		p.decide(ctx, t, manifests, err)
		t.referrers = bySubject
	}
	return tasks
}

// trees reads the manifests of all the repository's images that may be copied, level by level.
func (p *planner) trees(ctx context.Context, repository Repository) (map[digest.Digest]Manifest, error) {
	have := map[digest.Digest]Manifest{}
	var failures []error
	wanted := p.roots(repository)
	for len(wanted) > 0 {
		got, err := p.source.Manifests(ctx, repository, wanted)
		if err != nil {
			failures = append(failures, err)
		}
		var next []digest.Digest
		for d, manifest := range got {
			have[d] = manifest
		}
		for _, manifest := range got {
			for _, child := range manifest.Children {
				if _, known := have[child.Digest]; !known {
					have[child.Digest] = Manifest{} // asked for once
					next = append(next, child.Digest)
				}
			}
		}
		wanted = next
	}
	for d, manifest := range have {
		if manifest.Raw == nil {
			delete(have, d)
		}
	}
	return have, errors.Join(failures...)
}

func (p *planner) roots(repository Repository) []digest.Digest {
	var roots []digest.Digest
	for _, image := range p.listing.images[repository.Name] {
		if !image.Archived {
			roots = append(roots, image.Digest)
		}
	}
	return roots
}

// decide settles what is copied for the task, or why nothing is.
func (p *planner) decide(ctx context.Context, t *task, manifests map[digest.Digest]Manifest, readErr error) {
	if t.image.Archived {
		t.refusal = errors.New("the image is archived in ECR and cannot be pulled: restore it " +
			"(aws ecr update-image-storage-class --target-storage-class STANDARD), then run again")
		return
	}
	tree, err := wholeTree(t.image.Digest, manifests, readErr)
	if err == nil && p.platform != nil {
		whole := tree
		tree, t.reduced, err = p.reduce(ctx, t, whole)
		t.left = whole.without(tree)
	}
	if err == nil && p.store == ClassicStore {
		err = p.classicCarries(ctx, t, tree)
	}
	t.tree, t.refusal = tree, err
}

// wholeTree collects an image's manifests, and fails where one is not to be had.
func wholeTree(root digest.Digest, manifests map[digest.Digest]Manifest, readErr error) (Tree, error) {
	top, ok := manifests[root]
	if !ok {
		return Tree{}, unreadable(root, readErr)
	}
	tree := NewTree(top, manifests)
	for _, manifest := range tree.Manifests() {
		for _, child := range manifest.Children {
			if _, ok := manifests[child.Digest]; !ok {
				return Tree{}, unreadable(child.Digest, readErr)
			}
		}
	}
	return tree, nil
}

func unreadable(d digest.Digest, cause error) error {
	if cause == nil {
		cause = errors.New("ECR does not have it")
	}
	return failedAt(StepPlan, d.String(), fmt.Errorf("the manifest cannot be read: %w", cause))
}
