package transfer

import (
	"context"
	"errors"
	"sync"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

// BringReferrers copies what refers to the item's manifests. An index under the subject's referrers tag lists the referrers:
// there clients find them, and GitLab's garbage collection sees that they are in use.
func (c *Copier) BringReferrers(ctx context.Context, t *Copy) []Result {
	var results []Result
	for _, subject := range t.Subjects() {
		done := c.brought.lock(t.Tagged(image.ReferrersTag(subject)))
		if !done.yes {
			result := c.bringReferrersOf(ctx, t, subject)
			done.yes = result.Outcome.Arrived()
			results = append(results, result)
		}
		done.Unlock()
	}
	return results
}

// brought records which referrers tags are at the target. Images share children and their referrers. The first copy brings
// them and the next waits, because two copies with one name would remove it from under each other.
type brought struct {
	mu   sync.Mutex
	tags map[string]*broughtTag
}

type broughtTag struct {
	sync.Mutex
	yes bool
}

// lock returns the entry of a tag, locked.
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

// first reports whether it is called for the tag for the first time.
func (b *brought) first(target string) bool {
	entry := b.lock(target)
	defer entry.Unlock()
	before := entry.yes
	entry.yes = true
	return !before
}

func (c *Copier) bringReferrersOf(ctx context.Context, t *Copy, subject digest.Digest) Result {
	set := t.Referrers[subject]
	result := referrersResult(t.Item, subject)
	switch {
	case set.Broken != nil:
		return result.FailedWith(FailedAt(StepPlan, result.Target, set.Broken))
	case c.store == image.ClassicStore:
		return result.OnClassic()
	}
	tree, err := plan.ReadReferrers(ctx, c.source, t.Image.Repository, set.Roots)
	if err != nil {
		return result.FailedWith(FailedAt(StepPlan, result.Target, err))
	}
	result.Source = tree.Root.Digest
	return c.pushReferrers(ctx, t, result, tree)
}

// OnClassic returns the result as refused, because the classic store cannot carry referrers.
func (r Result) OnClassic() Result {
	r.Outcome, r.Err = Refused, plan.ErrClassicReferrers
	return r
}

func referrersResult(i *plan.Item, subject digest.Digest) Result {
	return Result{
		Repository: i.Image.Repository.Name,
		Tag:        image.ReferrersTag(subject),
		Subject:    subject,
		Target:     i.Tagged(image.ReferrersTag(subject)),
		Referrers:  i.Referrers[subject].Count,
	}
}

var errOtherReferrers = errors.New("the target lists other referrers under this tag, and they are left alone: " +
	"delete the tag in GitLab to have ECR's, or add ECR's with cosign or oras")

// pushReferrers never replaces an index that the target has: referrers that were added there would be lost. Referrers of a
// media type that the target refuses are left out of the index, and the result says so.
func (c *Copier) pushReferrers(ctx context.Context, t *Copy, result Result, tree image.Tree) Result {
	resolved, err := c.engine.Resolve(ctx, result.Target)
	if err != nil && !errors.Is(err, docker.ErrNotFound) {
		return result.FailedWith(FailedAt(StepVerify, result.Target, err))
	}
	if resolved.Digest == tree.Root.Digest {
		return result.found(resolved.Digest)
	}
	w := c.workspace(t.Image.Repository, nil)
	w.homemade, w.target = true, t.Target
	defer w.clear(ctx)
	taken, refused, err := w.tryReferrers(ctx, tree)
	switch {
	case err != nil:
		return result.FailedWith(err)
	case len(taken.Root.Children) == 0:
		return result.without(refused, 0)
	case resolved.Digest == taken.Root.Digest:
		result = result.found(resolved.Digest)
	case resolved.Digest != "":
		return result.FailedWith(FailedAt(StepVerify, result.Target, errOtherReferrers))
	default:
		result = w.bringAndPush(ctx, result, taken)
	}
	if refused != nil && result.Outcome.Arrived() {
		return result.without(refused, len(taken.Root.Children))
	}
	return result
}

// found is the result of what the target had before.
func (r Result) found(d digest.Digest) Result {
	r.Pushed, r.Outcome, r.Found = d, Present, true
	return r
}

// bringAndPush brings an index of our own making, and pushes it.
func (w *workspace) bringAndPush(ctx context.Context, result Result, tree image.Tree) Result {
	if err := w.bring(ctx, tree, []string{result.Target}); err != nil {
		return result.FailedWith(err)
	}
	return w.push(ctx, result, tree.Root.Digest, Exact)
}
