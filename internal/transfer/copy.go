// Package transfer brings one item through the engine: it pulls what the engine lacks, checks it, pushes it, verifies it at
// the target, and cleans up.
package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/dustin/go-humanize"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/schedule"
)

// ErrIncomplete says that the engine does not hold all that a pull should have brought. The containerd store skips a layer's
// blob where its files are unpacked already, from a blob that was compressed otherwise (moby/moby#52897).
var ErrIncomplete = errors.New("the engine skipped layers when it pulled")

// Copier copies images one at a time; several goroutines use it at once.
type Copier struct {
	*workbench
	platform  *ocispec.Platform // see Setup
	known     func(repository, target string) (DigestChange, bool)
	earlier   map[string][]digest.Digest // by target reference: what earlier runs have left there
	conflicts ConflictPolicy
	brought   brought
	cutPushes cutPushes
}

// Setup is what copies are made with.
type Setup struct {
	Source    Source
	Engine    Engine
	Store     image.Store       // of the engine
	Dedicated bool              // the engine has no images but those of this run
	Platform  *ocispec.Platform // of which single images have to be; nil: any
	// Known returns what an earlier run has left at the complete target reference, of the source's repository; nil:
	// nothing is known. It is called concurrently.
	Known     func(repository, target string) (DigestChange, bool)
	Earlier   map[string][]digest.Digest // by target reference: what earlier runs have left there
	Conflicts ConflictPolicy
	Catalog   *plan.Catalog
	Traffic   *Traffic
	Cleanup   Cleanup
}

// New returns a copier of that setup.
func New(s Setup) *Copier {
	return &Copier{platform: s.Platform, known: s.Known, earlier: s.Earlier, conflicts: s.Conflicts, workbench: &workbench{
		source: s.Source, engine: s.Engine, store: s.Store, dedicated: s.Dedicated,
		catalog: s.Catalog, held: newReferences(s.Engine, s.Cleanup), traffic: s.Traffic, cleanup: s.Cleanup,
	}}
}

// open returns the manifests of the item, which are read again if they were not kept.
func (c *Copier) open(ctx context.Context, i *plan.Item) (image.Tree, error) {
	if i.Tree != nil {
		return *i.Tree, nil
	}
	tree, err := plan.ReadTree(ctx, c.source, i.Image.Repository, i.Root)
	if failure := new(plan.Failure); errors.As(err, &failure) {
		return image.Tree{}, FailedAt(StepPlan, failure.Ref, fmt.Errorf("read when its turn came: %w", failure.Err))
	}
	return tree, err
}

// Bring brings the image into the engine for the tags that are pending, ready to be pushed. errIncomplete means
// that the engine does not hold it whole, and that it should be tried again alone.
func (c *Copier) Bring(ctx context.Context, t *Copy, g *schedule.Grant, progress docker.Listener) error {
	tree, err := c.open(ctx, t.Item)
	if err != nil {
		return err
	}
	t.work = c.workspace(t.Image.Repository, progress)
	t.work.present, t.work.shared = c.whereabouts(g, tree)
	t.work.partial = len(g.Spare) > 0
	if err := t.work.bring(ctx, tree, t.Targets(t.Pending)); err != nil {
		return err
	}
	return c.checkPlatform(ctx, t, tree.Root)
}

// whereabouts are the blobs of the image that need not be brought, as things were when its turn came, and those that others wait for.
func (c *Copier) whereabouts(g *schedule.Grant, tree image.Tree) (present, shared map[digest.Digest]bool) {
	present, shared = map[digest.Digest]bool{}, map[digest.Digest]bool{}
	for _, blob := range tree.Blobs() {
		id := c.catalog.ID(blob.Digest)
		present[blob.Digest] = !slices.Contains(g.Bring, id)
		shared[blob.Digest] = slices.Contains(g.Keep, id)
	}
	return present, shared
}

// Deliver pushes the pending tags, and takes their names away from the engine again. What the schedule keeps of what
// was pulled stays there.
func (c *Copier) Deliver(ctx context.Context, t *Copy, progress docker.Listener) []Result {
	t.work.progress = progress
	results := make([]Result, len(t.Pending))
	for i, tag := range t.Pending {
		if ctx.Err() != nil {
			copy(results[i:], Settle(t.Item, t.Pending[i:], NotStarted, context.Cause(ctx)))
			break
		}
		var settled bool
		if results[i], settled = c.askAgain(ctx, t, tag); settled {
			continue
		}
		results[i] = t.work.push(ctx, t.replacing(tag), t.Root, arrivedAs(t.Item, Exact))
		if results[i].Outcome == Failed && ctx.Err() == nil && t.work.lacking(results[i].Err) {
			results[i] = c.pushAgain(ctx, t, results[i])
		}
		c.nameLargestLayer(t.Item, results[i].Err)
	}
	t.work.clear(ctx)
	if ctx.Err() != nil {
		c.cutPushes.note(t.work.id)
	}
	return results
}

// nameLargestLayer adds the size of the image's largest layer to the remedy for a body that is too large.
func (c *Copier) nameLargestLayer(i *plan.Item, err error) {
	failed, refusal := new(StepError), new(docker.Refusal)
	if !errors.As(err, &failed) || !errors.As(err, &refusal) || refusal.Kind != docker.TooLarge {
		return
	}
	largest := int64(0)
	for _, blob := range i.Blobs {
		largest = max(largest, c.catalog.Size(blob))
	}
	failed.Remedy += "; the image's largest layer has " + humanize.Bytes(uint64(largest))
}

// lacking reports whether a push may have failed because the engine lacks content that nobody has checked, or says so. A
// refusal by a rule has other reasons, unless it is about content.
func (w *workspace) lacking(err error) bool {
	if refusal := new(docker.Refusal); errors.As(err, &refusal) && refusal.Kind != docker.BlobUnknown {
		return false
	}
	_, mendless := PermanentCause(err)
	return mendless == nil && (w.trusted || errors.Is(err, docker.ErrNotFound))
}

// pushAgain pushes once more what the engine did not have to have: the target repository may have lost it since.
func (c *Copier) pushAgain(ctx context.Context, t *Copy, failed Result) Result {
	tree, err := c.open(ctx, t.Item)
	if err != nil {
		return failed
	}
	t.work.present, t.work.doubtful = nil, true
	if err := t.work.bring(ctx, tree, t.Targets(t.Pending)); err != nil {
		return failed.FailedWith(err)
	}
	return t.work.push(ctx, t.replacing(failed.Tag), t.Root, arrivedAs(t.Item, Exact))
}

// HandOver gives away what holds the blobs of the item in the engine.
func (t *Copy) HandOver() []schedule.HeldRef { return t.work.handOver() }

// Interrupted returns the blobs that came by pulls which were cut off, once.
func (t *Copy) Interrupted() []plan.BlobID {
	if t.work == nil {
		return nil
	}
	cut := t.work.cut
	t.work.cut = nil
	return cut
}

// Clear takes what was pulled for the image away from the engine.
func (t *Copy) Clear(ctx context.Context) {
	if t.work != nil {
		t.work.clear(ctx)
	}
}

// WithReferrers brings what refers to the image, if one of its tags is at the target.
func (c *Copier) WithReferrers(ctx context.Context, t *Copy, results []Result) []Result {
	if !slices.ContainsFunc(results, func(r Result) bool { return r.Outcome.Arrived() }) {
		return results
	}
	return append(results, c.BringReferrers(ctx, t)...)
}

// Ask asks the target for every tag. Those that it answers for with the right digest, or with the one that an
// earlier run has left there, need no copy, and those of somebody else get none; the others are pending.
func (c *Copier) Ask(ctx context.Context, t *Copy) (settled []Result) {
	t.Pending, t.answers = nil, map[string]answer{}
	for _, tag := range t.Image.Tags {
		if result, done := c.ask(ctx, t, tag); done {
			settled = append(settled, result)
		} else {
			t.Pending = append(t.Pending, tag)
		}
	}
	return settled
}

// knows reports whether an earlier run has copied just what this one would, and has left at the target what it answers
// with now. It counts on the classic store alone, where no copy is better: any other engine brings the source's own
// digest, and what is signed with it.
func (c *Copier) knows(i *plan.Item, tag string, answer digest.Digest) bool {
	return c.store == image.ClassicStore && c.hasLeft(i, tag, answer)
}

// hasLeft reports whether what the target answers is what an earlier run has made of just this image.
func (c *Copier) hasLeft(i *plan.Item, tag string, answer digest.Digest) bool {
	if c.known == nil {
		return false
	}
	pair, ok := c.known(i.Image.Repository.Name, i.Tagged(tag))
	return ok && pair == DigestChange{Source: i.Image.Digest, Root: i.Root, Pushed: answer}
}

// push sends the result's target, has the registry confirm it, and settles the result: as good where the digest is the
// one wanted.
func (w *workspace) push(ctx context.Context, result Result, want digest.Digest, good Outcome) Result {
	pushed, err := w.engine.Push(ctx, result.Target, w.progress)
	if err != nil {
		return result.FailedWith(FailedAt(StepPush, result.Target, err))
	}
	return w.verify(ctx, result, pushed, want, good)
}

// verify settles the result by what the target registry answers, which must be what the engine says it pushed. On
// the classic store that is another digest than the source's.
func (b *workbench) verify(ctx context.Context, result Result, pushed, want digest.Digest, good Outcome) Result {
	if pushed != want {
		if b.store != image.ClassicStore {
			return result.FailedWith(FailedAt(StepPush, result.Target, fmt.Errorf("the engine pushed %s instead of %s", pushed, want)))
		}
		if good != OnePlatform { // which says more: the other platforms are missing
			good = Changed
		}
	}
	resolved, err := b.engine.Resolve(ctx, result.Target)
	if err != nil {
		return result.FailedWith(FailedAt(StepVerify, result.Target, err))
	}
	if resolved.Digest != pushed {
		return result.FailedWith(FailedAt(StepVerify, result.Target,
			fmt.Errorf("the target answers with %s instead of %s", resolved.Digest, pushed)))
	}
	result.Pushed, result.Outcome = pushed, good
	return result
}

// arrivedAs is the outcome of a good copy, or of one that the user wanted reduced.
func arrivedAs(i *plan.Item, whole Outcome) Outcome {
	switch {
	case i.Reduced:
		return OnePlatform
	case len(i.LeftOut) > 0:
		return Trimmed
	}
	return whole
}

// ResultOf returns the result of one of the item's tags, without an outcome yet.
func ResultOf(i *plan.Item, tag string) Result {
	return Result{
		Repository: i.Image.Repository.Name, Tag: tag, Source: i.Image.Digest, Root: i.Root, Target: i.Tagged(tag),
		LeftOut: i.LeftOut, Bytes: cmp.Or(i.Bytes, i.Image.Size),
	}
}

// Settle gives tags of the item one outcome.
func Settle(i *plan.Item, tags []string, outcome Outcome, err error) []Result {
	results := make([]Result, len(tags))
	for at, tag := range tags {
		results[at] = ResultOf(i, tag)
		results[at].Outcome, results[at].Err = outcome, err
	}
	return results
}

// FailedWith returns the result as a failure.
func (r Result) FailedWith(err error) Result {
	r.Outcome, r.Err = Failed, err
	return r
}

// checkPlatform fails where the single image that was pulled is for another platform than the one asked for.
func (c *Copier) checkPlatform(ctx context.Context, t *Copy, root image.Manifest) error {
	if c.platform == nil || t.Reduced || !root.IsContainerImage() {
		return nil
	}
	ref := t.Tagged(t.Pending[0])
	platform, err := c.engine.Platform(ctx, ref)
	if err != nil {
		return FailedAt(StepCheck, ref, err)
	}
	return plan.CheckPlatform(*c.platform, platform)
}

// Copy is the copy of an item: what is known of it once its turn has come.
type Copy struct {
	*plan.Item

	Pending []string          // tags that are not at the target yet
	Present []Result          // of the tags that are, or that are not to be copied for another reason
	answers map[string]answer // of the target, by pending tag
	work    *workspace        // what the copy has in the engine
}

// NewCopy begins the copy of an item, of which all tags are pending.
func NewCopy(i *plan.Item) *Copy { return &Copy{Item: i, Pending: i.Image.Tags} }

// NewCopies begins the copies of the items.
func NewCopies(items []*plan.Item) map[*plan.Item]*Copy {
	tasks := make(map[*plan.Item]*Copy, len(items))
	for _, i := range items {
		tasks[i] = NewCopy(i)
	}
	return tasks
}
