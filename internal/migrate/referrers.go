package migrate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// referrers is what refers to one subject.
type referrers struct {
	count   int
	roots   []digest.Digest
	members []digest.Digest // of the roots' trees
	broken  error           // why some of them are not among the roots
}

// bySubject finds the repository's referrers: those with a tag, too, because clients look for them under the subject's
// referrers tag alone. What a referrers tag of the repository's own lists arrives with that tag. Nil: there are none.
func (p *planner) bySubject(ctx context.Context, images []Image) map[digest.Digest]*referrers {
	concerned := slices.DeleteFunc(slices.Clone(images), func(i Image) bool { return i.Subject == "" })
	if len(concerned) == 0 {
		return nil
	}
	own := ownReferrersTags(images, concerned)
	var roots []digest.Digest
	for _, img := range append(slices.Clone(concerned), slices.Collect(maps.Values(own))...) {
		if !img.Archived {
			roots = append(roots, img.Digest)
		}
	}
	manifests, readErr := readManifests(ctx, p.source, images[0].Repository, roots)
	found := map[digest.Digest]*referrers{}
	for _, img := range concerned {
		listing, tagged := own[image.ReferrersTag(img.Subject)]
		if tagged && slices.Contains(NewTree(manifests[listing.Digest], manifests).Digests(), img.Digest) {
			continue
		}
		if found[img.Subject] == nil {
			found[img.Subject] = &referrers{}
		}
		tree, err := wholeTree(img.Digest, manifests, readErr)
		found[img.Subject].add(img, tree, tagged, err)
	}
	return found
}

// ownReferrersTags are the images that have the referrers tag of one that is referred to.
func ownReferrersTags(images, referring []Image) map[string]Image {
	wanted := map[string]bool{}
	for _, img := range referring {
		wanted[image.ReferrersTag(img.Subject)] = true
	}
	own := map[string]Image{}
	for _, img := range images {
		for _, tag := range img.Tags {
			if wanted[tag] {
				own[tag] = img
			}
		}
	}
	return own
}

// add takes one referrer, or says why it cannot be brought.
func (r *referrers) add(img Image, tree Tree, tagged bool, err error) {
	r.count++
	switch {
	case img.Archived:
		r.broken = fmt.Errorf("the referrer %s is archived in ECR: restore it, then run again", img.Digest)
	case tagged:
		r.broken = fmt.Errorf("the repository's own tag %s does not list the referrer %s: add it there, or delete the tag",
			image.ReferrersTag(img.Subject), img.Digest)
	case err != nil:
		r.broken = err
	default:
		r.roots = append(r.roots, img.Digest)
		r.members = append(r.members, tree.Digests()...)
	}
}

// countReferrers counts what refers to the manifests.
func countReferrers(bySubject map[digest.Digest]*referrers, subjects []digest.Digest) int {
	n := 0
	for _, d := range subjects {
		if set := bySubject[d]; set != nil {
			n += set.count
		}
	}
	return n
}

// bringReferrers brings what refers to the image, after the image. The referrers of one subject are listed in an index
// under the subject's referrers tag: there clients find them, and GitLab's garbage collection sees them in use.
func (c *copier) bringReferrers(ctx context.Context, t *task) []Result {
	var results []Result
	for _, subject := range t.subjects() {
		done := c.brought.lock(t.tagged(image.ReferrersTag(subject)))
		if !done.yes {
			result := c.bringReferrersOf(ctx, t, subject)
			done.yes = result.Outcome.Arrived()
			results = append(results, result)
		}
		done.Unlock()
	}
	return results
}

// brought keeps which referrers tags are at the target. Images share children, and with them the referrers: whoever
// comes first brings them, and the next waits, because two copies with one name would clear it away from each other.
type brought struct {
	mu   sync.Mutex
	tags map[string]*broughtTag
}

type broughtTag struct {
	sync.Mutex
	yes bool
}

// lock returns the tag's entry, locked.
func (b *brought) lock(target string) *broughtTag {
	b.mu.Lock()
	entry := b.tags[target]
	if entry == nil {
		entry = &broughtTag{}
		if b.tags == nil {
			b.tags = map[string]*broughtTag{}
		}
		b.tags[target] = entry
	}
	b.mu.Unlock()
	entry.Lock()
	return entry
}

// first reports whether the tag is asked for the first time, where nothing is brought.
func (b *brought) first(target string) bool {
	entry := b.lock(target)
	defer entry.Unlock()
	before := entry.yes
	entry.yes = true
	return !before
}

// subjects returns the manifests of the image that have referrers, and those of the referrers after them.
func (i *item) subjects() []digest.Digest {
	var ordered []digest.Digest
	seen := map[digest.Digest]bool{}
	for queue := i.members; len(queue) > 0; queue = queue[1:] {
		set := i.referrers[queue[0]]
		if set == nil || seen[queue[0]] {
			continue
		}
		seen[queue[0]] = true
		ordered = append(ordered, queue[0])
		queue = slices.Concat(queue, set.members)
	}
	return ordered
}

func (c *copier) bringReferrersOf(ctx context.Context, t *task, subject digest.Digest) Result {
	set := t.referrers[subject]
	result := referrersResult(t.item, subject)
	switch {
	case set.broken != nil:
		return result.failed(failedAt(StepPlan, result.Target, set.broken))
	case c.store == ClassicStore:
		return result.onClassic()
	}
	tree, err := readReferrers(ctx, c.source, t.image.Repository, set.roots)
	if err != nil {
		return result.failed(failedAt(StepPlan, result.Target, err))
	}
	result.Source = tree.Root.Digest
	return c.pushReferrers(ctx, t, result, tree)
}

// onClassic refuses referrers.
func (r Result) onClassic() Result {
	r.Outcome, r.Err = Refused, errClassicReferrers
	return r
}

func referrersResult(i *item, subject digest.Digest) Result {
	return Result{
		Repository: i.image.Repository.Name,
		Tag:        image.ReferrersTag(subject),
		Subject:    subject,
		Target:     i.tagged(image.ReferrersTag(subject)),
		Referrers:  i.referrers[subject].count,
	}
}

// readReferrers reads referrers, and returns the index that lists them with everything below it. Its error is a *Failure
// if one of them cannot be read.
func readReferrers(ctx context.Context, source registry, repository Repository, roots []digest.Digest) (Tree, error) {
	manifests, readErr := readManifests(ctx, source, repository, roots)
	trees := make([]Tree, len(roots))
	for i, root := range roots {
		var err error
		if trees[i], err = wholeTree(root, manifests, readErr); err != nil {
			return Tree{}, err
		}
	}
	return image.ReferrersIndex(trees)
}

var errOtherReferrers = errors.New("the target lists other referrers under this tag, and they are left alone: " +
	"delete the tag in GitLab to have ECR's, or add ECR's with cosign or oras")

// pushReferrers never replaces what the target already lists: referrers that were added there would be lost.
func (c *copier) pushReferrers(ctx context.Context, t *task, result Result, tree Tree) Result {
	resolved, err := c.engine.Resolve(ctx, result.Target)
	switch {
	case err == nil && resolved.Digest == tree.Root.Digest:
		result.Pushed, result.Outcome = resolved.Digest, Present
		return result
	case err != nil && !errors.Is(err, ErrNotFound):
		return result.failed(failedAt(StepVerify, result.Target, err))
	case err == nil:
		return result.failed(failedAt(StepVerify, result.Target, errOtherReferrers))
	}
	w := c.workspace(t.image.Repository)
	defer w.clear(ctx)
	if err := w.bring(ctx, tree, []string{result.Target}); err != nil {
		return result.failed(err)
	}
	return c.push(ctx, result, tree.Root.Digest, Exact)
}
