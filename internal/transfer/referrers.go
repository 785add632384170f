package transfer

import (
	"context"
	"errors"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

var errOtherReferrers = errors.New("the target lists other referrers under this tag, and they are left alone: " +
	"delete the tag in GitLab to have ECR's, or add ECR's with cosign or oras")

var errPartOfReferrers = errors.New("GitLab lists only some of the referrers, as an earlier run has left them: those that ECR had by " +
	"then, and that are of no media type that GitLab refuses")

// askReferrers is Ask for a list of referrers.
func (c *Copier) askReferrers(ctx context.Context, t *Copy) (settled []Result) {
	tag := t.Image.Tags[0]
	t.Pending, t.taken, t.refusal = nil, nil, nil
	t.answers.forgetAll()
	result := ResultOf(t.Item, tag)
	switch {
	case t.List.Broken != nil:
		return []Result{result.FailedWith(FailedAt(StepPlan, result.Target, t.List.Broken))}
	case c.store == image.ClassicStore:
		return []Result{result.OnClassic()}
	}
	resolved, err := c.engine.Resolve(ctx, result.Target)
	if result, done := c.judgeReferrers(ctx, t, tag, resolved.Digest, err); done {
		return []Result{result}
	}
	t.Pending = t.Image.Tags
	return nil
}

// OnClassic returns the result as refused, because the classic store cannot carry referrers.
func (r Result) OnClassic() Result {
	r.Outcome, r.Err = Refused, plan.ErrClassicReferrers
	return r
}

// judgeReferrers returns the result of a list of referrers if nothing is to be copied, and otherwise notes the target's
// answer. A list that the target has is replaced only if it is ours: referrers that were added there would be lost. Until it
// is known which referrers the target refuses, another list may be the one that lacks just those.
func (c *Copier) judgeReferrers(ctx context.Context, t *Copy, tag string, found digest.Digest, err error) (settled Result, done bool) {
	result := ResultOf(t.Item, tag)
	want, known := t.pushes(), t.taken != nil || !t.List.MayBeRefused()
	switch {
	case err != nil && !errors.Is(err, docker.ErrNotFound):
		return result.FailedWith(FailedAt(StepVerify, result.Target, err)), true
	case err == nil && found == want:
		return result.found(found), true
	case err == nil && known && found != t.answers.of(tag):
		if err := c.mayReplaceList(ctx, t.Item, found); err != nil {
			return result.FailedWith(err), true
		}
	}
	t.answers.note(tag, found)
	return Result{}, false
}

// mayReplaceList returns why a list of referrers that the target has may not be replaced, or nil.
func (c *Copier) mayReplaceList(ctx context.Context, i *plan.Item, found digest.Digest) error {
	ours, err := c.isOwnList(ctx, i, found)
	if err == nil && !ours {
		err = errOtherReferrers
	}
	if err != nil {
		return FailedAt(StepVerify, i.Tagged(i.Image.Tags[0]), err)
	}
	return nil
}

// found is the result of what the target had before.
func (r Result) found(d digest.Digest) Result {
	r.Pushed, r.Outcome, r.Found = d, Present, true
	return r
}

// tryReferrers is Try for a list of referrers. Referrers of a media type that the target refuses are left out of the list,
// and the result says so.
func (c *Copier) tryReferrers(ctx context.Context, t *Copy, list image.Tree) error {
	t.tree = nil
	t.work.homemade, t.work.target = true, t.Target
	taken, refusal, err := t.work.tryReferrers(ctx, list)
	if t.refusal = refusal; err != nil {
		return err
	}
	t.taken = &taken
	if len(taken.Root.Children) == 0 {
		return withoutRefused(t.Tagged(t.Pending[0]), t.List.Count, 0, refusal)
	}
	return nil
}

// bringReferrers is Bring for a list of referrers.
func (c *Copier) bringReferrers(ctx context.Context, t *Copy) error {
	target := t.Tagged(t.Pending[0])
	switch there := t.answers.of(t.Pending[0]); {
	case there == t.pushes():
		return nil
	case there != "":
		if err := c.mayReplaceList(ctx, t.Item, there); err != nil {
			return err
		}
	}
	return t.work.bring(ctx, t.remaining(), []string{target})
}

// withRefusal returns the result of a list of referrers as refused if the target has refused some of them.
func (t *Copy) withRefusal(r Result) Result {
	if t.refusal != nil && r.Outcome.Arrived() {
		r.Outcome, r.Err = Refused, withoutRefused(r.Target, r.Referrers, len(t.remaining().Root.Children), t.refusal)
	}
	return r
}
