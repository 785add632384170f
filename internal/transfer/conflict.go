package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

// ConflictPolicy says what happens to a tag under which somebody else has pushed an image to the target.
type ConflictPolicy string

// The policies. The zero value leaves such a tag alone, and counts it as one that has not arrived.
const (
	ConflictFails     ConflictPolicy = ""
	ConflictKeep      ConflictPolicy = "keep"      // leaves it alone, and does not count it as a failure
	ConflictOverwrite ConflictPolicy = "overwrite" // replaces it, and records its digest
)

// errConflict: the target has an image under the tag that is not ours to replace.
var errConflict = errors.New("somebody else has pushed another image to GitLab under this tag")

// answerLife is how long the target's answer for a tag counts. During a migration both sides are in use: an older answer
// is asked for again right before the push.
const answerLife = 10 * time.Second

// answer is what the target has answered for a tag that is to be pushed.
type answer struct {
	at     time.Time
	digest digest.Digest // of the image that the push replaces; empty: there is none
}

// ask asks the target for a tag. It returns the tag's result if nothing is to be copied, and otherwise notes the answer
// for the push.
func (c *Copier) ask(ctx context.Context, t *Copy, tag string) (settled Result, done bool) {
	resolved, err := c.engine.Resolve(ctx, t.Tagged(tag))
	return c.judge(ctx, t, tag, resolved.Digest, err)
}

// askAgain asks for a tag right before its push, unless the last answer has just come and the push replaces nothing.
func (c *Copier) askAgain(ctx context.Context, t *Copy, tag string) (settled Result, done bool) {
	last := t.answers[tag]
	if last.digest == "" && time.Since(last.at) < answerLife {
		return Result{}, false
	}
	resolved, err := c.engine.Resolve(ctx, t.Tagged(tag))
	if err == nil && resolved.Digest == last.digest {
		return Result{}, false
	}
	return c.judge(ctx, t, tag, resolved.Digest, err)
}

// judge does what ask says with the target's answer, which is the digest of the tag or an error. Only a target that says so
// does not have the tag: any other error fails it.
func (c *Copier) judge(ctx context.Context, t *Copy, tag string, found digest.Digest, err error) (settled Result, done bool) {
	result := ResultOf(t.Item, tag)
	switch {
	case errors.Is(err, docker.ErrNotFound):
		t.answers[tag] = answer{at: time.Now()}
		return Result{}, false
	case err != nil:
		return result.FailedWith(FailedAt(StepVerify, result.Target, err)), true
	case found == t.Root || c.knows(t.Item, tag, found):
		result.Pushed, result.Outcome, result.Found = found, arrivedAs(t.Item, Present), true
		return result, true
	}
	ours := c.conflicts == ConflictOverwrite
	if !ours {
		ours, err = c.isOurs(ctx, t.Item, result.Target, found)
	}
	switch {
	case err != nil:
		return result.FailedWith(FailedAt(StepVerify, result.Target, err)), true
	case !ours:
		return c.conflict(result, found), true
	}
	t.answers[tag] = answer{at: time.Now(), digest: found}
	return Result{}, false
}

// replacing is the result of a tag that is to be pushed, with the digest of what the push replaces.
func (t *Copy) replacing(tag string) Result {
	result := ResultOf(t.Item, tag)
	result.Replaced = t.answers[tag].digest
	return result
}

// conflict is the result of a tag under which the target has an image that is not ours.
func (c *Copier) conflict(result Result, theirs digest.Digest) Result {
	result.Pushed, result.Outcome = theirs, Conflict
	if c.conflicts == ConflictKeep {
		result.Outcome = Kept
	}
	result.Err = &StepError{
		Step: StepVerify, Ref: result.Target, Err: fmt.Errorf("%w: GitLab has %s, and ECR has %s", errConflict, theirs, result.Source),
		Remedy: "it is left alone: delete or rename the tag on the side that is wrong, or set MIGRATE_CONFLICT to overwrite it with ECR's " +
			"image or to keep GitLab's",
	}
	return result
}

// isOurs reports whether an image that the target has under a tag may be replaced by the item: because it is ECR's own,
// this program left it there, or somebody migrated it from ECR before.
func (c *Copier) isOurs(ctx context.Context, i *plan.Item, target string, theirs digest.Digest) (bool, error) {
	if theirs == i.Image.Digest {
		return true, nil
	}
	left, known := c.earlier[target]
	if c.leftPair(i, target) == theirs || slices.Contains(left, theirs) {
		return true, nil
	}
	if !known {
		older, err := c.isAtSource(ctx, i.Image.Repository, theirs)
		if older || err != nil {
			return older, err
		}
	}
	return c.isSameImage(ctx, i, theirs)
}

// leftPair returns the digest that an earlier run left at the target reference, if it is another than what was copied.
func (c *Copier) leftPair(i *plan.Item, target string) digest.Digest {
	if c.known == nil {
		return ""
	}
	pair, _ := c.known(i.Image.Repository.Name, target)
	return pair.Pushed
}

// isAtSource reports whether ECR still has the digest in the repository, as it has an older image of the same tag.
func (c *Copier) isAtSource(ctx context.Context, repository image.Repository, d digest.Digest) (bool, error) {
	_, err := SourceResolver{c.source, c.engine}.Resolve(ctx, repository.URI+"@"+d.String())
	if errors.Is(err, docker.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// isSameImage reports whether the target's manifest has the same config as one of the item's images. A classic engine,
// and with it the script of GitLab's tutorial, compresses layers again and flattens indexes, but keeps the config, whose
// digest is the image ID.
func (c *Copier) isSameImage(ctx context.Context, i *plan.Item, theirs digest.Digest) (bool, error) {
	tree, err := c.open(ctx, i)
	if err != nil {
		return false, err
	}
	id, err := c.imageID(ctx, i.Target+"@"+theirs.String())
	if err != nil || id == "" {
		return false, err
	}
	return slices.ContainsFunc(tree.Leaves(), func(m image.Manifest) bool { return m.Config.Digest == id }), nil
}
