package migrate

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
)

// errIncomplete: the engine does not hold all that a pull should have brought. The containerd store skips a layer's
// blob where its files are unpacked already, from a blob that was compressed otherwise (moby/moby#52897).
var errIncomplete = errors.New("the engine skipped layers when it pulled")

// copier copies images one at a time; several goroutines use it at once.
type copier struct {
	engine Engine
	store  Store
	held   *references
}

// copy brings one image and its tags to the target. An error means that nothing was pushed because the engine does
// not hold the image whole, and that the task should be tried again alone; all else is in the results.
func (c *copier) copy(ctx context.Context, t *task) ([]Result, error) {
	pending, results := c.missingTags(ctx, t)
	if len(pending) == 0 {
		return append(results, c.bringReferrers(ctx, t)...), nil
	}
	w := c.workspace(t.image.Repository)
	defer w.clear(ctx)
	if err := w.bring(ctx, t.tree, t.targets(pending)); err != nil {
		if errors.Is(err, errIncomplete) {
			return nil, err
		}
		return append(results, t.settle(pending, Failed, err)...), nil
	}
	return append(results, c.deliver(ctx, t, pending)...), nil
}

// deliver pushes the tags, and what refers to the image once one of them has arrived.
func (c *copier) deliver(ctx context.Context, t *task, tags []string) []Result {
	var results []Result
	arrived := false
	for _, tag := range tags {
		result := c.push(ctx, t, tag)
		arrived = arrived || result.Outcome.Arrived()
		results = append(results, result)
	}
	if !arrived {
		return results
	}
	return append(results, c.bringReferrers(ctx, t)...)
}

// missingTags asks the target for every tag. Those that it answers for with the right digest need no copy. One
// answer that the repository holds nothing would serve all tags, but no registry tells it from a missing tag.
func (c *copier) missingTags(ctx context.Context, t *task) (pending []string, present []Result) {
	for _, tag := range t.image.Tags {
		resolved, err := c.engine.Resolve(ctx, t.tagged(tag))
		if err != nil || resolved.Digest != t.tree.Root.Digest {
			pending = append(pending, tag)
			continue
		}
		result := t.result(tag)
		result.Pushed, result.Outcome = resolved.Digest, t.arrivedAs(Present)
		present = append(present, result)
	}
	return pending, present
}

// push sends one tag and has the target confirm it.
func (c *copier) push(ctx context.Context, t *task, tag string) Result {
	result := t.result(tag)
	pushed, err := c.engine.Push(ctx, result.Target)
	if err != nil {
		return result.failed(failedAt(StepPush, result.Target, err))
	}
	return c.verify(ctx, result, pushed, t.tree.Root.Digest, t.arrivedAs(Exact))
}

// verify settles the result by what the target registry answers. On the classic store another digest than the
// source's is what the engine must report itself.
func (c *copier) verify(ctx context.Context, result Result, pushed, want digest.Digest, good Outcome) Result {
	if pushed != want {
		if c.store != ClassicStore {
			return result.failed(failedAt(StepPush, result.Target, fmt.Errorf("the engine pushed %s instead of %s", pushed, want)))
		}
		good = Changed
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

func (t *task) tagged(tag string) string { return t.target + ":" + tag }

func (t *task) targets(tags []string) []string {
	targets := make([]string, len(tags))
	for i, tag := range tags {
		targets[i] = t.tagged(tag)
	}
	return targets
}

// arrivedAs is the outcome of a good copy, or of one that the user wanted reduced.
func (t *task) arrivedAs(whole Outcome) Outcome {
	if t.reduced {
		return OnePlatform
	}
	return whole
}

func (t *task) result(tag string) Result {
	return Result{Repository: t.image.Repository.Name, Tag: tag, Source: t.image.Digest, Target: t.tagged(tag)}
}

// settle gives all of the task's tags one outcome.
func (t *task) settle(tags []string, outcome Outcome, err error) []Result {
	results := make([]Result, len(tags))
	for i, tag := range tags {
		results[i] = t.result(tag)
		results[i].Outcome, results[i].Err = outcome, err
	}
	return results
}

func (r Result) failed(err error) Result {
	r.Outcome, r.Err = Failed, err
	return r
}
