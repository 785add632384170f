package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// errIncomplete: the engine does not hold all that a pull should have brought. The containerd store skips a layer's
// blob where its files are unpacked already, from a blob that was compressed otherwise (moby/moby#52897).
var errIncomplete = errors.New("the engine skipped layers when it pulled")

// copier copies images one at a time; several goroutines use it at once.
type copier struct {
	source    Source
	engine    Engine
	store     Store
	dedicated bool              // the engine is ours alone
	platform  *ocispec.Platform // see Options
	known     func(repository, target string) (Pair, bool)
	catalog   *catalog
	held      *references
	meter     *meter
	sweeping  sync.RWMutex // pulls and loads read, a sweep writes
	blobs     blobPulls
	brought   brought
	cutPushes cutPushes
}

// open returns the manifests of the item, which are read again if they were not kept.
func (c *copier) open(ctx context.Context, i *item) (Tree, error) {
	if i.tree != nil {
		return *i.tree, nil
	}
	tree, err := readTree(ctx, c.source, i.image.Repository, i.root)
	if failure := new(Failure); errors.As(err, &failure) {
		return Tree{}, failedAt(StepPlan, failure.Ref, fmt.Errorf("read when its turn came: %w", failure.Err))
	}
	return tree, err
}

// fetchImage brings the image into the engine for the tags that are pending, ready to be pushed. errIncomplete means
// that the engine does not hold it whole, and that it should be tried again alone.
func (c *copier) fetchImage(ctx context.Context, t *task) (err error) {
	ctx, end := c.meter.follow(ctx, t, inbound)
	defer func() { end(err == nil) }()
	tree, err := c.open(ctx, t.item)
	if err != nil {
		return err
	}
	t.work = c.workspace(t.image.Repository)
	t.work.present, t.work.shared = c.whereabouts(t, tree)
	t.work.partial = len(t.there) > 0
	if err := t.work.bring(ctx, tree, t.targets(t.pending)); err != nil {
		return err
	}
	return c.checkPlatform(ctx, t, tree.Root)
}

// whereabouts are the blobs of the image that need not be brought, as things were when its turn came, and those that others wait for.
func (c *copier) whereabouts(t *task, tree Tree) (present, shared map[digest.Digest]bool) {
	present, shared = map[digest.Digest]bool{}, map[digest.Digest]bool{}
	for _, blob := range tree.Blobs() {
		id := c.catalog.id(blob.Digest)
		present[blob.Digest] = !slices.Contains(t.absent, id)
		shared[blob.Digest] = slices.Contains(t.shared, id)
	}
	return present, shared
}

// deliver pushes the pending tags, and takes their names away from the engine again. What the schedule keeps of what
// was pulled stays there.
func (c *copier) deliver(ctx context.Context, t *task) []Result {
	ctx, end := c.meter.follow(ctx, t, outbound)
	defer end(true)
	results := make([]Result, len(t.pending))
	for i, tag := range t.pending {
		if ctx.Err() != nil {
			copy(results[i:], settle(t.item, t.pending[i:], NotStarted, context.Cause(ctx)))
			break
		}
		results[i] = c.push(ctx, resultOf(t.item, tag), t.root, arrivedAs(t.item, Exact))
		if results[i].Outcome == Failed && ctx.Err() == nil && t.work.lacking(results[i].Err) {
			results[i] = c.pushAgain(ctx, t, results[i])
		}
	}
	t.work.clear(ctx)
	if ctx.Err() != nil {
		c.cutPushes.note(t.work.id)
	}
	return results
}

// lacking tells failures of a push that may come of what the engine does not have: nobody has looked, or it says so.
func (w *workspace) lacking(err error) bool {
	_, mendless := causeOf(err)
	return mendless == nil && (w.trusted || errors.Is(err, ErrNotFound))
}

// pushAgain pushes once more what the engine did not have to have: the target repository may have lost it since.
func (c *copier) pushAgain(ctx context.Context, t *task, failed Result) Result {
	tree, err := c.open(ctx, t.item)
	if err != nil {
		return failed
	}
	t.work.present, t.work.doubtful = nil, true
	if err := t.work.bring(ctx, tree, t.targets(t.pending)); err != nil {
		return failed.failed(err)
	}
	return c.push(ctx, resultOf(t.item, failed.Tag), t.root, arrivedAs(t.item, Exact))
}

// clear takes what was pulled for the image away from the engine.
func (t *task) clear(ctx context.Context) {
	if t.work != nil {
		t.work.clear(ctx)
	}
}

// withReferrers brings what refers to the image, if one of its tags is at the target.
func (c *copier) withReferrers(ctx context.Context, t *task, results []Result) []Result {
	if !slices.ContainsFunc(results, func(r Result) bool { return r.Outcome.Arrived() }) {
		return results
	}
	return append(results, c.bringReferrers(ctx, t)...)
}

// missingTags asks the target for every tag. Those that it answers for with the right digest, or with the one that an
// earlier run has left there, need no copy; the others are pending.
func (c *copier) missingTags(ctx context.Context, t *task) (present []Result) {
	t.pending = nil
	for _, tag := range t.image.Tags {
		resolved, err := c.engine.Resolve(ctx, t.tagged(tag))
		if err != nil || resolved.Digest != t.root && !c.knows(t.item, tag, resolved.Digest) {
			t.pending = append(t.pending, tag)
			continue
		}
		result := resultOf(t.item, tag)
		result.Pushed, result.Outcome = resolved.Digest, arrivedAs(t.item, Present)
		present = append(present, result)
	}
	return present
}

// knows reports whether an earlier run has copied just what this one would, and has left at the target what it answers
// with now. It counts on the classic store alone, where no copy is better: any other engine brings the source's own
// digest, and what is signed with it.
func (c *copier) knows(i *item, tag string, answer digest.Digest) bool {
	return c.store == ClassicStore && c.hasLeft(i, tag, answer)
}

// hasLeft reports whether what the target answers is what an earlier run has made of just this image.
func (c *copier) hasLeft(i *item, tag string, answer digest.Digest) bool {
	if c.known == nil {
		return false
	}
	pair, ok := c.known(i.image.Repository.Name, i.tagged(tag))
	return ok && pair == Pair{Source: i.image.Digest, Root: i.root, Pushed: answer}
}

// push sends the result's target, has the registry confirm it, and settles the result: as good where the digest is the
// one wanted.
func (c *copier) push(ctx context.Context, result Result, want digest.Digest, good Outcome) Result {
	pushed, err := c.engine.Push(ctx, result.Target)
	if err != nil {
		return result.failed(failedAt(StepPush, result.Target, err))
	}
	return c.verify(ctx, result, pushed, want, good)
}

// verify settles the result by what the target registry answers, which must be what the engine says it pushed. On
// the classic store that is another digest than the source's.
func (c *copier) verify(ctx context.Context, result Result, pushed, want digest.Digest, good Outcome) Result {
	if pushed != want {
		if c.store != ClassicStore {
			return result.failed(failedAt(StepPush, result.Target, fmt.Errorf("the engine pushed %s instead of %s", pushed, want)))
		}
		if good != OnePlatform { // which says more: the other platforms are missing
			good = Changed
		}
	}
	resolved, err := c.engine.Resolve(ctx, result.Target)
	if err != nil {
		return result.failed(failedAt(StepVerify, result.Target, err))
	}
	if resolved.Digest != pushed {
		return result.failed(failedAt(StepVerify, result.Target,
			fmt.Errorf("the target answers with %s instead of %s", resolved.Digest, pushed)))
	}
	result.Pushed, result.Outcome = pushed, good
	return result
}

func (i *item) tagged(tag string) string { return i.target + ":" + tag }

func (i *item) targets(tags []string) []string {
	targets := make([]string, len(tags))
	for at, tag := range tags {
		targets[at] = i.tagged(tag)
	}
	return targets
}

// arrivedAs is the outcome of a good copy, or of one that the user wanted reduced.
func arrivedAs(i *item, whole Outcome) Outcome {
	if i.reduced {
		return OnePlatform
	}
	return whole
}

func resultOf(i *item, tag string) Result {
	return Result{
		Repository: i.image.Repository.Name, Tag: tag, Source: i.image.Digest, Root: i.root, Target: i.tagged(tag),
		Bytes: cmp.Or(i.bytes, i.image.Size),
	}
}

// settle gives tags of the item one outcome.
func settle(i *item, tags []string, outcome Outcome, err error) []Result {
	results := make([]Result, len(tags))
	for at, tag := range tags {
		results[at] = resultOf(i, tag)
		results[at].Outcome, results[at].Err = outcome, err
	}
	return results
}

func (r Result) failed(err error) Result {
	r.Outcome, r.Err = Failed, err
	return r
}
