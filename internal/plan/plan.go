package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// Resolver answers what a reference at the source registry stands for.
type Resolver interface {
	Resolve(ctx context.Context, ref string) (image.Resolved, error)
}

// Planner turns what the source lists into items.
type Planner struct {
	Source   Source
	Resolver Resolver
	Store    image.Store
	Platform *ocispec.Platform
	LeaveOut Patterns // kinds of artifacts that are left out of indexes and of referrers; none: nothing is left out
	Namer    Namer
	Choice   Choice
	Catalog  *Catalog
	kept     atomic.Int64 // bytes of manifests that items keep
}

// planPage is how many images are planned at once, so that the manifests of a repository with tens of thousands of
// tags are never all in memory.
const planPage = 500

// keepManifests bounds, in bytes, the manifests that are kept for their image's turn. It is enough for some two
// thousand images; those of larger accounts are read once more, by a call an image.
const keepManifests = 4 << 20

// repository plans every tagged image of one repository: where it goes, and whether it can arrive. What cannot is
// refused here, before anything is copied. A refusal of the target's name concerns all of them.
func (p *Planner) repository(ctx context.Context, images []image.Image, target string, refusal error) []*Item {
	var items []*Item
	for _, img := range images {
		if len(img.Tags) > 0 {
			items = append(items, &Item{Image: img, Target: target, Root: p.known(img), Refusal: refusal})
		}
	}
	if refusal != nil || len(items) == 0 {
		return items
	}
	bySubject := p.bySubject(ctx, images)
	for page := range slices.Chunk(items, planPage) {
		manifests, err := readManifests(ctx, p.Source, page[0].Image.Repository, pullable(page))
		for _, i := range page {
			i.Referrers = bySubject
			p.decide(ctx, i, manifests, err)
		}
	}
	dropCarried(bySubject, items)
	return items
}

// known returns the digest of what is to be copied of an image, if that is known without its manifest: always, unless
// only a part of an index is wanted.
func (p *Planner) known(img image.Image) digest.Digest {
	if (p.Platform != nil || len(p.LeaveOut) > 0) && image.IsIndex(img.MediaType) {
		return ""
	}
	return img.Digest
}

// pullable returns the images for which the registry answers: not those that are archived.
func pullable(items []*Item) []digest.Digest {
	var roots []digest.Digest
	for _, i := range items {
		if !i.Image.Archived {
			roots = append(roots, i.Image.Digest)
		}
	}
	return roots
}

// readManifests reads the manifests of the roots and of everything below them, level by level. A manifest that cannot be
// read is missing from the map, and the error says why.
func readManifests(ctx context.Context, source Source, repository image.Repository, roots []digest.Digest) (map[digest.Digest]image.Manifest, error) {
	have, asked := map[digest.Digest]image.Manifest{}, map[digest.Digest]bool{}
	var failures []error
	for wanted := roots; len(wanted) > 0; {
		got, err := source.Manifests(ctx, repository, wanted)
		if err != nil {
			failures = append(failures, err)
		}
		wanted = nil
		for d, manifest := range got {
			have[d], asked[d] = manifest, true
		}
		for _, manifest := range got {
			for _, child := range manifest.Children {
				if !asked[child.Digest] {
					asked[child.Digest] = true
					wanted = append(wanted, child.Digest)
				}
			}
		}
	}
	return have, errors.Join(failures...)
}

// ReadTree reads the tree of a root that was planned before. Its error is a *Failure.
func ReadTree(ctx context.Context, source Source, repository image.Repository, root digest.Digest) (image.Tree, error) {
	manifests, err := readManifests(ctx, source, repository, []digest.Digest{root})
	return wholeTree(root, manifests, err)
}

// decide says what to copy of the item's image, or why nothing can be.
func (p *Planner) decide(ctx context.Context, i *Item, manifests map[digest.Digest]image.Manifest, readErr error) {
	if i.Image.Archived {
		i.Refusal = errors.New("the image is archived in ECR and cannot be pulled: restore it " +
			"(aws ecr update-image-storage-class --target-storage-class STANDARD), then run again")
		return
	}
	whole, err := wholeTree(i.Image.Digest, manifests, readErr)
	tree := whole
	if err == nil && p.Platform != nil {
		tree, i.Reduced, err = p.reduce(ctx, i.Image.Repository, whole)
	}
	if err == nil {
		tree, err = p.leaveOut(i, tree)
	}
	if err == nil {
		i.Left = countReferrers(i.Referrers, whole.Without(tree))
	}
	if err == nil && p.Store == image.ClassicStore {
		err = p.classicCarries(ctx, i.Image.Repository, tree)
	}
	switch {
	case err == nil:
		p.write(i, tree)
	case !errors.As(err, &i.Failure):
		i.Refusal = err
	}
}

// write notes in the item what is copied, and keeps its manifests while there is room.
func (p *Planner) write(i *Item, tree image.Tree) {
	i.Root = tree.Root.Digest
	i.Unknown = unknownMediaTypes(tree)
	i.Blobs = p.Catalog.Add(tree.Blobs())
	for _, id := range i.Blobs {
		i.Bytes += p.Catalog.Size(id)
	}
	size := int64(0)
	for _, m := range tree.Manifests() {
		size += int64(len(m.Raw))
		if i.Referrers != nil {
			i.members = append(i.members, m.Digest)
		}
	}
	if p.kept.Add(size) <= keepManifests || len(i.LeftOut) > 0 { // of which no registry has the root yet
		i.Tree = &tree
	}
}

// wholeTree returns the tree of root, or a *Failure if one of its manifests is missing.
func wholeTree(root digest.Digest, manifests map[digest.Digest]image.Manifest, readErr error) (image.Tree, error) {
	top, ok := manifests[root]
	if !ok {
		return image.Tree{}, unreadable(root, readErr)
	}
	tree := image.NewTree(top, manifests)
	for _, manifest := range tree.Manifests() {
		for _, child := range manifest.Children {
			if _, ok := manifests[child.Digest]; !ok {
				return image.Tree{}, unreadable(child.Digest, readErr)
			}
		}
	}
	return tree, nil
}

func unreadable(d digest.Digest, cause error) error {
	if cause == nil {
		cause = errors.New("ECR does not have it")
	}
	return &Failure{Ref: d.String(), Err: fmt.Errorf("the manifest cannot be read: %w", cause)}
}

// Source is the source of a plan.
type Source interface {
	// Repositories returns all of the registry's repositories, in the registry's order.
	Repositories(ctx context.Context) ([]image.Repository, error)
	// Images returns the repository's tagged images and its referrers.
	Images(ctx context.Context, repository image.Repository) ([]image.Image, error)
	// Manifests returns the manifests of one repository by digest. One that cannot be had is missing from the
	// map, and the error (possibly joined) says why; what could be had is returned all the same.
	Manifests(ctx context.Context, repository image.Repository, digests []digest.Digest) (map[digest.Digest]image.Manifest, error)
}
