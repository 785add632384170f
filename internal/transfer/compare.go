package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

// Compare compares the item's tags with the target and, if one of them is there, the referrers, too.
func (c *Copier) Compare(ctx context.Context, i *plan.Item) []Result {
	if i.Rejected() && (i.Target == "" || i.Root == "") {
		return Rejections(i)
	}
	results := c.CompareTags(ctx, i)
	if !slices.ContainsFunc(results, func(r Result) bool { return r.Outcome.Arrived() }) {
		return results
	}
	return append(results, c.CompareReferrers(ctx, i)...)
}

// CompareTags compares the item's tags with the target.
func (c *Copier) CompareTags(ctx context.Context, i *plan.Item) []Result {
	var results []Result
	for _, tag := range i.Image.Tags {
		results = append(results, c.compareTag(ctx, i, tag))
	}
	return results
}

func (c *Copier) compareTag(ctx context.Context, i *plan.Item, tag string) Result {
	result := ResultOf(i, tag)
	resolved, err := c.engine.Resolve(ctx, result.Target)
	result.Pushed = resolved.Digest
	switch {
	case err != nil:
		return result.unresolved(err, Rejection(i))
	case resolved.Digest == i.Root:
		result.Outcome = arrivedAs(i, Exact)
	case c.hasLeft(i, tag, resolved.Digest):
		result.Outcome = arrivedAs(i, Changed)
	default:
		result = c.compareOther(ctx, i, result)
	}
	return result
}

// compareOther compares a tag under which the target has another digest. Nothing is pulled: what an engine has made of the
// image, and nobody has recorded, looks like somebody else's.
func (c *Copier) compareOther(ctx context.Context, i *plan.Item, result Result) Result {
	ours, err := c.conflicts == ConflictOverwrite, error(nil)
	if !ours {
		ours, err = c.isKnown(ctx, i, result.Target, result.Pushed)
	}
	if err != nil {
		return result.FailedWith(FailedAt(StepVerify, result.Target, err))
	}
	failed := &StepError{Step: StepVerify, Ref: result.Target, Err: fmt.Errorf("GitLab has another image under this tag: GitLab has %s, and ECR has %s",
		result.Pushed, result.Source)}
	switch result.Err = failed; {
	case ours:
		result.Outcome, failed.Remedy = Different, "a migration replaces it"
	case c.conflicts == ConflictKeep:
		result.Outcome, failed.Remedy = Kept, "a migration replaces it only if an engine has made it of ECR's image, because MIGRATE_CONFLICT is keep"
	default:
		result.Outcome, failed.Remedy = Conflict, "a migration replaces it only if an engine has made it of ECR's image, and otherwise leaves it alone: "+
			conflictRemedy
	}
	return result
}

// unresolved sets the outcome of a tag that could not be resolved. If the item was refused, that is why the tag is missing.
func (r Result) unresolved(err, refusal error) Result {
	if !errors.Is(err, docker.ErrNotFound) {
		return r.FailedWith(FailedAt(StepVerify, r.Target, err))
	}
	r.Outcome, r.Err = Missing, refusal
	if refusal == nil {
		r.Err = FailedAt(StepVerify, r.Target, errors.New("GitLab does not have it"))
	}
	return r
}

// CompareReferrers compares the item's lists of referrers with the target, each list once.
func (c *Copier) CompareReferrers(ctx context.Context, i *plan.Item) []Result {
	var results []Result
	for _, list := range i.Lists() {
		if _, before := c.compared.LoadOrStore(list, true); !before {
			results = append(results, c.compareList(ctx, list))
		}
	}
	return results
}

func (c *Copier) compareList(ctx context.Context, list *plan.Item) Result {
	result := ResultOf(list, list.Image.Tags[0])
	if list.List.Broken != nil {
		return result.FailedWith(FailedAt(StepPlan, result.Target, list.List.Broken))
	}
	resolved, err := c.engine.Resolve(ctx, result.Target)
	result.Pushed = resolved.Digest
	switch {
	case err != nil:
		return result.unresolved(err, nil)
	case resolved.Digest == list.Root:
		result.Outcome = Exact
		return result
	}
	ours, err := c.isOwnList(ctx, list, resolved.Digest)
	switch {
	case err != nil:
		return result.FailedWith(FailedAt(StepVerify, result.Target, err))
	case ours:
		result.Outcome, result.Err = Missing, FailedAt(StepVerify, result.Target, errPartOfReferrers)
	default:
		result.Outcome, result.Err = Different, FailedAt(StepVerify, result.Target, errOtherReferrers)
	}
	return result
}

// PullBack pulls the item from the target: of an index all manifests, whatever the engine's own platform. It does so by
// digest, because a local tag of that name would be somebody else's.
func (c *Copier) PullBack(ctx context.Context, i *plan.Item, pushed digest.Digest) error {
	tree, err := c.open(ctx, i)
	if err != nil {
		return err
	}
	refs := []string{i.Target + "@" + pushed.String()}
	if tree.Root.IsIndex() {
		refs = nil
		for _, leaf := range tree.Leaves() {
			refs = append(refs, i.Target+"@"+leaf.Digest.String())
		}
	}
	for _, ref := range refs {
		err := c.fetchOnce(ctx, ref, nil) // a denial by GitLab is no reason to renew ECR's credentials
		c.drop(ctx, ref)
		if err != nil {
			return FailedAt(StepReturn, ref, err)
		}
	}
	return nil
}
