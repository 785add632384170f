package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// task is one image to copy, with all its tags.
type task struct {
	image     Image
	target    string        // the target repository, host included
	root      digest.Digest // what is copied: the image, or the manifest of the one platform asked for
	tree      *Tree         // of root; nil where it is to be read again when the image's turn comes
	blobs     []blobID      // that root consists of, each once
	bytes     int64         // of the blobs
	members   []digest.Digest
	reduced   bool                         // of an index, one platform on purpose
	left      int                          // referrers of what is not copied, when reduced
	referrers map[digest.Digest]*referrers // of the whole repository, by subject; nil: it has none
	refusal   error                        // known before anything is copied

	checked bool       // the target has been asked for its tags
	pending []string   // tags that are not at the target yet
	present []Result   // of the tags that are
	absent  []blobID   // blobs that the engine did not have when the image's turn came, and that its push needs
	there   []blobID   // blobs that the engine need not have: the target repository has them
	local   []blobID   // the others
	claimed []blobID   // those that its push is to bring to the target
	shared  []blobID   // those of them that images to come consist of, too
	wants   bool       // counts among the images for whose sake blobs are kept in the engine
	alone   bool       // tried once more by itself, after the engine's disk was full
	work    *workspace // once its turn has come
}

// planner turns what the source lists into tasks.
type planner struct {
	source   Source
	engine   Engine
	store    Store
	platform *ocispec.Platform
	namer    Namer
	choice   Choice
	catalog  *catalog
	kept     atomic.Int64 // bytes of manifests that tasks keep
}

// planPage is how many images are planned at once, so that the manifests of a repository with tens of thousands of
// tags are never all in memory.
const planPage = 500

// keepManifests bounds, in bytes, the manifests that are kept for their image's turn. It is enough for some two
// thousand images; those of larger accounts are read once more, by a call an image.
const keepManifests = 4 << 20

func (t *task) before(other *task) bool {
	if t.image.Repository.Name != other.image.Repository.Name {
		return t.image.Repository.Name < other.image.Repository.Name
	}
	if !t.image.PushedAt.Equal(other.image.PushedAt) {
		return t.image.PushedAt.Before(other.image.PushedAt)
	}
	return t.image.Digest < other.image.Digest
}

// repository decides for every tagged image of one repository where it goes and whether it can arrive. What cannot is
// refused here, so that a user knows before the night begins. A refusal that concerns the name concerns them all.
func (p *planner) repository(ctx context.Context, images []Image, target string, refusal error) []*task {
	var tasks []*task
	for _, image := range images {
		if len(image.Tags) > 0 {
			tasks = append(tasks, &task{image: image, target: target, refusal: refusal})
		}
	}
	if refusal != nil || len(tasks) == 0 {
		return tasks
	}
	bySubject := p.bySubject(ctx, images)
	for page := range slices.Chunk(tasks, planPage) {
		manifests, err := readManifests(ctx, p.source, page[0].image.Repository, pullable(page))
		for _, t := range page {
			t.referrers = bySubject
			p.decide(ctx, t, manifests, err)
		}
	}
	return tasks
}

// pullable leaves out archived images, for which a registry has no answer.
func pullable(tasks []*task) []digest.Digest {
	var roots []digest.Digest
	for _, t := range tasks {
		if !t.image.Archived {
			roots = append(roots, t.image.Digest)
		}
	}
	return roots
}

// readManifests reads the manifests of the roots and all that they list, level by level. What could not be had is
// missing, and the error says why.
func readManifests(ctx context.Context, source Source, repository Repository, roots []digest.Digest) (map[digest.Digest]Manifest, error) {
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

// readTree reads what was planned once more, when its turn comes.
func readTree(ctx context.Context, source Source, repository Repository, root digest.Digest) (Tree, error) {
	manifests, err := readManifests(ctx, source, repository, []digest.Digest{root})
	return wholeTree(root, manifests, err)
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
		t.left = countReferrers(t.referrers, whole.Without(tree))
	}
	if err == nil && p.store == ClassicStore {
		err = p.classicCarries(ctx, t, tree)
	}
	if t.refusal = err; err == nil {
		p.settle(t, tree)
	}
}

// settle keeps what the copy has to know of its manifests, and the manifests themselves while there is room.
func (p *planner) settle(t *task, tree Tree) {
	t.root = t.image.Digest
	if t.reduced {
		t.root = tree.Root.Digest
	}
	t.blobs = p.catalog.add(tree.Blobs())
	for _, id := range t.blobs {
		t.bytes += p.catalog.size(id)
	}
	t.pending = t.image.Tags
	size := int64(0)
	for _, m := range tree.Manifests() {
		size += int64(len(m.Raw))
		if t.referrers != nil {
			t.members = append(t.members, m.Digest)
		}
	}
	if p.kept.Add(size) <= keepManifests {
		t.tree = &tree
	}
}

// open returns the manifests of the task, which are read again where they were not kept.
func (c *copier) open(ctx context.Context, t *task) (Tree, error) {
	if t.tree != nil {
		return *t.tree, nil
	}
	tree, err := readTree(ctx, c.source, t.image.Repository, t.root)
	if err != nil {
		return Tree{}, fmt.Errorf("read when its turn came: %w", err)
	}
	return tree, nil
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
