// Package transfer brings one item through the engine: it pulls what the engine lacks, checks it, pushes it, verifies it at
// the target, and cleans up.
package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/schedule"
)

// ErrIncomplete is the cause when the engine does not hold everything that a pull should have brought. The containerd store
// skips a layer's blob if its files are unpacked already from a blob with another compression (moby/moby#52897).
var ErrIncomplete = errors.New("the engine skipped layers when it pulled")

// Copier copies items. Its methods may be called concurrently, but each Copy belongs to one goroutine at a time.
type Copier struct {
	*workbench
	platform  *ocispec.Platform // see Setup
	known     func(repository, target string) (DigestChange, bool)
	earlier   map[string][]digest.Digest // by target reference: what earlier runs have left there
	conflicts ConflictPolicy
	questions *semaphore.Weighted // see askAll
	pushes    *semaphore.Weighted // see Setup
	compared  sync.Map            // lists of referrers that have been compared
	cutPushes cutPushes
	tidy      *tidyEngine // the engine, if it is dedicated
	kept      *keptNote   // see Enter
}

// Setup configures a Copier.
type Setup struct {
	Source    Source
	Engine    Engine
	Store     image.Store       // of the engine
	Dedicated bool              // the engine has no images other than this run's
	Platform  *ocispec.Platform // that single images must have; nil: any
	// Known returns what an earlier run has copied from the source's repository to the complete target reference; nil: nothing
	// is known. It is called concurrently.
	Known     func(repository, target string) (DigestChange, bool)
	Earlier   map[string][]digest.Digest // by target reference: what earlier runs have left there
	Conflicts ConflictPolicy
	Pushes    int // at once; 0: 1
	// Retry makes a call at a step until it succeeds, or there is no point in trying again; nil: once. The engine itself
	// retries everything but pushes.
	Retry   func(ctx context.Context, step Step, ref string, call func() error) error
	Catalog *plan.Catalog
	Traffic *Traffic
	Cleanup Cleanup
}

// New returns a copier with the setup.
func New(s Setup) *Copier {
	return &Copier{
		platform: s.Platform, known: s.Known, earlier: s.Earlier, conflicts: s.Conflicts, questions: semaphore.NewWeighted(MaxQuestions),
		pushes: semaphore.NewWeighted(max(1, int64(s.Pushes))),
		workbench: &workbench{
			source: s.Source, engine: s.Engine, retry: s.Retry, store: s.Store, dedicated: s.Dedicated,
			catalog: s.Catalog, held: newReferences(s.Engine, s.Cleanup), traffic: s.Traffic, cleanup: s.Cleanup,
		},
	}
}

// open returns the item's manifests, and reads them again if the plan has not kept them.
func (c *Copier) open(ctx context.Context, i *plan.Item) (image.Tree, error) {
	if i.Tree != nil {
		return i.Tree.Unpack()
	}
	tree, err := plan.ReadTree(ctx, c.source, i)
	if failure := new(plan.Failure); errors.As(err, &failure) {
		return image.Tree{}, FailedAt(StepPlan, failure.Ref, fmt.Errorf("read when its turn came: %w", failure.Err))
	}
	return tree, err
}

// Bring pulls what Try has left of the item into the engine, ready for the push of its pending tags. ErrIncomplete means that
// the engine does not hold all of it, and that the item should be retried on its own.
func (c *Copier) Bring(ctx context.Context, t *Copy) error {
	if t.List != nil {
		return c.bringReferrers(ctx, t)
	}
	tree := *t.tree
	t.tree = nil // which may be large
	if err := t.work.bring(ctx, tree, t.Targets(t.Pending)); err != nil {
		return err
	}
	return c.checkPlatform(ctx, t, tree.Root)
}

// whereabouts records in the workspace what the schedule says about the item's blobs.
func (w *workspace) whereabouts(g *schedule.Grant, tree image.Tree) {
	w.present, w.shared, w.unpack = map[digest.Digest]bool{}, map[digest.Digest]bool{}, map[digest.Digest]bool{}
	for _, blob := range tree.Blobs() {
		id := w.catalog.ID(blob.Digest)
		w.present[blob.Digest] = !slices.Contains(g.Bring, id)
		w.shared[blob.Digest] = slices.Contains(g.Keep, id)
		w.unpack[blob.Digest] = slices.Contains(g.Unpack, id)
	}
}

// HandOver returns the references that hold the item's blobs in the engine, for the schedule to keep.
func (t *Copy) HandOver() []schedule.HeldRef { return t.work.handOver() }

// Interrupted returns the blobs that came by interrupted pulls, once.
func (t *Copy) Interrupted() []plan.BlobID {
	if t.work == nil {
		return nil
	}
	cut := t.work.cut
	t.work.cut = nil
	return cut
}

// Clear removes everything of the copy from the engine.
func (t *Copy) Clear(ctx context.Context) {
	if t.work != nil {
		t.work.clear(ctx)
	}
}

// Ask asks the target for every tag, and returns the results of those that are not to be copied: because they have the right
// digest, or the one that an earlier run left there, or are somebody else's. The other tags become pending.
func (c *Copier) Ask(ctx context.Context, t *Copy) (settled []Result) {
	if t.List != nil {
		return c.askReferrers(ctx, t)
	}
	t.Pending = nil
	t.answers.forgetAll()
	answers := c.askAll(ctx, t)
	for i, tag := range t.Image.Tags {
		if result, done := c.judge(ctx, t, tag, answers[i].digest, answers[i].err); done {
			settled = append(settled, result)
		} else {
			t.Pending = append(t.Pending, tag)
		}
	}
	if err := c.refused.known(t.Item); err != nil {
		settled = append(settled, SettleFailed(t.Item, t.Pending, err)...)
		t.Pending = nil
	}
	return settled
}

// knows reports whether the target has what an earlier run made of this very item. That counts on the classic store only,
// where another copy would be no better. Any other engine brings the source's own digest, and with it what is signed.
func (c *Copier) knows(i *plan.Item, tag string, answer digest.Digest) bool {
	return c.store == image.ClassicStore && c.hasLeft(i, tag, answer)
}

// hasLeft reports whether the target's answer is what an earlier run made of this very item.
func (c *Copier) hasLeft(i *plan.Item, tag string, answer digest.Digest) bool {
	if c.known == nil {
		return false
	}
	pair, ok := c.known(i.Image.Repository.Name, i.Tagged(tag))
	return ok && pair == DigestChange{Source: i.Image.Digest, Root: i.Root, Pushed: answer}
}

// arrivedAs returns the outcome of a good copy: whole, unless the user wanted only a part of the image.
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
	result := Result{
		Item: i, Repository: i.Image.Repository.Name, SourceURI: i.Image.Repository.URI, Tag: tag, Source: i.Image.Digest, Root: i.Root,
		Target:  i.Tagged(tag),
		LeftOut: i.LeftOut, Bytes: cmp.Or(i.Bytes, i.Image.Size),
	}
	if i.List != nil {
		result.Subject, result.Referrers = i.List.Subject, i.List.Count
	}
	return result
}

// Settle returns results with the same outcome for tags of the item.
func Settle(i *plan.Item, tags []string, outcome Outcome, err error) []Result {
	results := make([]Result, len(tags))
	for at, tag := range tags {
		results[at] = ResultOf(i, tag)
		results[at].Outcome, results[at].Err = outcome, err
	}
	return results
}

// FailedWith returns the result as a failure, or as refused where the target does not take such images.
func (r Result) FailedWith(err error) Result {
	r.Outcome, r.Err = failure(err), err
	return r
}

// checkPlatform returns an error if the single image that was pulled is for another platform than the wanted one.
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

// Copy is an item that is being copied.
type Copy struct {
	*plan.Item

	Pending    []string // tags that are not at the target yet
	Present    []Result // of the tags that are not to be copied
	answers    answers
	work       *workspace  // what the copy has in the engine
	tree       *image.Tree // between Try and Bring
	deliveries []delivery  // of the tags that Deliver has pushed

	taken   *image.Tree     // of a list of referrers: what is left of it without those that the target refuses
	refusal *docker.Refusal // the last of these refusals; nil: the target refuses none
}

// pushes is the digest that is pushed: the item's, or that of the list of the referrers that the target takes.
func (t *Copy) pushes() digest.Digest { return cmp.Or(t.remaining().Root.Digest, t.Root) }

// remaining returns what is left of a list of referrers, or an empty tree.
func (t *Copy) remaining() image.Tree {
	if t.taken == nil {
		return image.Tree{}
	}
	return *t.taken
}

// NewCopy returns the copy of an item with all of its tags pending.
func NewCopy(i *plan.Item) *Copy { return &Copy{Item: i, Pending: i.Image.Tags} }
