package migrate

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

// item is one image to be copied, with all of its tags: what to copy and where to. The planner writes it, and nobody
// changes it afterwards.
type item struct {
	image     Image
	target    string                       // the target repository, host included
	root      digest.Digest                // the manifest to copy: the image, or that of the one platform asked for; empty: nobody knows which
	tree      *Tree                        // of root; nil if it has to be read again when the item's turn comes
	blobs     []blobID                     // of the tree, each once
	bytes     int64                        // of the blobs
	members   []digest.Digest              // all manifests of the tree; nil if nothing in the repository has a subject
	reduced   bool                         // root is one platform of an index, as the user asked
	left      int                          // referrers of the manifests that reducing leaves out
	referrers map[digest.Digest]*referrers // of the whole repository, by subject; nil if there are none
	refusal   error                        // why the item cannot arrive whole, whatever is tried
	failure   *Failure                     // why the item could not be planned
}

// hopeless reports whether nothing of the item is to be copied.
func (i *item) hopeless() bool { return i.refusal != nil || i.failure != nil }

// Failure says that something could not be planned.
type Failure struct {
	Ref string // the manifest, or its reference
	Err error
}

// Error gives the reference and the cause.
func (f *Failure) Error() string { return f.Ref + ": " + f.Err.Error() }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Resolver answers what a reference at the source registry stands for.
type Resolver interface {
	Resolve(ctx context.Context, ref string) (Resolved, error)
}

// planner turns what the source lists into items.
type planner struct {
	source   registry
	resolver Resolver
	store    Store
	platform *ocispec.Platform
	namer    Namer
	choice   Choice
	catalog  *catalog
	kept     atomic.Int64 // bytes of manifests that items keep
}

// planPage is how many images are planned at once, so that the manifests of a repository with tens of thousands of
// tags are never all in memory.
const planPage = 500

// keepManifests bounds, in bytes, the manifests that are kept for their image's turn. It is enough for some two
// thousand images; those of larger accounts are read once more, by a call an image.
const keepManifests = 4 << 20

// before puts repositories in order by name, and the images of each from the oldest to the newest.
func (i *item) before(other *item) bool {
	if i.image.Repository.Name != other.image.Repository.Name {
		return i.image.Repository.Name < other.image.Repository.Name
	}
	if !i.image.PushedAt.Equal(other.image.PushedAt) {
		return i.image.PushedAt.Before(other.image.PushedAt)
	}
	return i.image.Digest < other.image.Digest
}

// repository plans every tagged image of one repository: where it goes, and whether it can arrive. What cannot is
// refused here, before anything is copied. A refusal of the target's name concerns all of them.
func (p *planner) repository(ctx context.Context, images []Image, target string, refusal error) []*item {
	var items []*item
	for _, img := range images {
		if len(img.Tags) > 0 {
			items = append(items, &item{image: img, target: target, root: p.known(img), refusal: refusal})
		}
	}
	if refusal != nil || len(items) == 0 {
		return items
	}
	bySubject := p.bySubject(ctx, images)
	for page := range slices.Chunk(items, planPage) {
		manifests, err := readManifests(ctx, p.source, page[0].image.Repository, pullable(page))
		for _, i := range page {
			i.referrers = bySubject
			p.decide(ctx, i, manifests, err)
		}
	}
	return items
}

// known returns the digest of what is to be copied of an image, if that is known without its manifest: always, unless
// one platform of an index is wanted.
func (p *planner) known(img Image) digest.Digest {
	if p.platform != nil && image.IsIndex(img.MediaType) {
		return ""
	}
	return img.Digest
}

// pullable returns the images for which the registry answers: not those that are archived.
func pullable(items []*item) []digest.Digest {
	var roots []digest.Digest
	for _, i := range items {
		if !i.image.Archived {
			roots = append(roots, i.image.Digest)
		}
	}
	return roots
}

// readManifests reads the manifests of the roots and of everything below them, level by level. A manifest that cannot be
// read is missing from the map, and the error says why.
func readManifests(ctx context.Context, source registry, repository Repository, roots []digest.Digest) (map[digest.Digest]Manifest, error) {
	have, asked := map[digest.Digest]Manifest{}, map[digest.Digest]bool{}
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

// readTree reads the tree of a root that was planned before. Its error is a *Failure.
func readTree(ctx context.Context, source registry, repository Repository, root digest.Digest) (Tree, error) {
	manifests, err := readManifests(ctx, source, repository, []digest.Digest{root})
	return wholeTree(root, manifests, err)
}

// decide says what to copy of the item's image, or why nothing can be.
func (p *planner) decide(ctx context.Context, i *item, manifests map[digest.Digest]Manifest, readErr error) {
	if i.image.Archived {
		i.refusal = errors.New("the image is archived in ECR and cannot be pulled: restore it " +
			"(aws ecr update-image-storage-class --target-storage-class STANDARD), then run again")
		return
	}
	tree, err := wholeTree(i.image.Digest, manifests, readErr)
	if err == nil && p.platform != nil {
		whole := tree
		tree, i.reduced, err = p.reduce(ctx, i.image.Repository, whole)
		i.left = countReferrers(i.referrers, whole.Without(tree))
	}
	if err == nil && p.store == ClassicStore {
		err = p.classicCarries(ctx, i.image.Repository, tree)
	}
	switch {
	case err == nil:
		p.write(i, tree)
	case !errors.As(err, &i.failure):
		i.refusal = err
	}
}

// write notes in the item what is copied, and keeps its manifests while there is room.
func (p *planner) write(i *item, tree Tree) {
	i.root = tree.Root.Digest
	i.blobs = p.catalog.add(tree.Blobs())
	for _, id := range i.blobs {
		i.bytes += p.catalog.size(id)
	}
	size := int64(0)
	for _, m := range tree.Manifests() {
		size += int64(len(m.Raw))
		if i.referrers != nil {
			i.members = append(i.members, m.Digest)
		}
	}
	if p.kept.Add(size) <= keepManifests {
		i.tree = &tree
	}
}

// wholeTree returns the tree of root, or a *Failure if one of its manifests is missing.
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
	return &Failure{Ref: d.String(), Err: fmt.Errorf("the manifest cannot be read: %w", cause)}
}
