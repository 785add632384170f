package migrate

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// retryRule says what is retried: after which cause, at which steps, how often and how soon. Waits double from the first to
// the longest, with 50% random jitter, so that calls that failed together are not repeated together.
type retryRule struct {
	cause    error           // for errors.Is; nil: any
	steps    []transfer.Step // empty: all
	tries    int             // including the first; 0: as many as patience allows
	first    time.Duration   // the wait before the second try
	longest  time.Duration
	patience time.Duration // with an engine that is gone; 0: no bound
}

// retries is the table of retries. The first matching rule applies, so permanent causes come before transient ones.
var retries = []retryRule{
	{cause: transfer.ErrSettled, tries: 1},
	{cause: docker.ErrNotFound, tries: 1},
	{cause: docker.ErrNoSpace, tries: 1},                                           // space has to be freed first
	{cause: docker.ErrInvalid, tries: 1},                                           // the answer would be the same
	{cause: docker.ErrRefused, tries: 1},                                           // likewise
	{cause: docker.ErrClosed, tries: 1},                                            // until someone changes something
	{cause: transfer.ErrIncomplete, tries: 1},                                      // it is copied on its own at the end
	{cause: docker.ErrNotUnpacked, tries: 1},                                       // all of its content is there
	{cause: context.Canceled, tries: 1},                                            // the run is being interrupted
	{cause: docker.ErrBlocked, tries: 2, first: time.Second, longest: time.Second}, // the signature of a bucket's URL may have expired
	{cause: docker.ErrUnauthenticated, tries: 4, first: time.Second, longest: 10 * time.Second},
	// Tokens are valid for minutes, and an engine gets a new one for each push. So a push that outlives its token is retried.
	{cause: docker.ErrDenied, steps: []transfer.Step{transfer.StepPush}, tries: 2, first: time.Second, longest: time.Second},
	{cause: docker.ErrDenied, tries: 1}, // a pull has been retried with new credentials
	{cause: docker.ErrEngineGone, first: time.Second, longest: 10 * time.Second, patience: 5 * time.Minute},
	{steps: []transfer.Step{transfer.StepRemove}, tries: 1}, // a failure does not affect the copy
	// Registries limit requests per minute (GitLab.com: 2,000). See throttles.
	{cause: docker.ErrThrottled, tries: 30, first: firstPause, longest: longestPause},
	{cause: docker.ErrBrokenOff, tries: 3, first: time.Second, longest: 10 * time.Second},
	{cause: docker.ErrStalled, steps: []transfer.Step{transfer.StepTag}, tries: 1}, // there is another way than a load
	{cause: docker.ErrStalled, tries: 3, first: time.Second, longest: 10 * time.Second},
	{cause: docker.ErrUnavailable, tries: 8, first: time.Second / 2, longest: 30 * time.Second},
	{tries: 2, first: time.Second, longest: time.Second}, // an unknown cause
}

// fits reports whether the rule matches a failure.
func (r retryRule) fits(step transfer.Step, err error) bool {
	return (r.cause == nil || errors.Is(err, r.cause)) && (len(r.steps) == 0 || slices.Contains(r.steps, step))
}

// ruleFor returns the index of the rule that applies.
func ruleFor(rules []retryRule, step transfer.Step, err error) int {
	return slices.IndexFunc(rules, func(r retryRule) bool { return r.fits(step, err) })
}

// attempts counts the failures of one call, separately for each rule. It is the call's backoff.BackOff.
type attempts struct {
	rules  []retryRule
	outage *outage
	step   transfer.Step
	last   error
	counts map[int]*attempted // by rule
}

type attempted struct {
	tries int
	waits *backoff.ExponentialBackOff
}

var _ backoff.BackOff = (*attempts)(nil)

// Reset is for backoff.Retry, which calls it before the first try.
func (a *attempts) Reset() { a.counts = map[int]*attempted{} }

// NextBackOff returns the wait before the next try, or backoff.Stop.
func (a *attempts) NextBackOff() time.Duration {
	i := ruleFor(a.rules, a.step, a.last)
	if i < 0 {
		return backoff.Stop
	}
	rule, so := a.rules[i], a.counts[i]
	if so == nil {
		so = &attempted{waits: backoff.NewExponentialBackOff()}
		so.waits.InitialInterval, so.waits.MaxInterval, so.waits.Multiplier = rule.first, rule.longest, 2
		a.counts[i] = so
	}
	so.tries++
	if rule.tries > 0 && so.tries >= rule.tries || rule.patience > 0 && a.outage.duration() >= rule.patience {
		return backoff.Stop
	}
	return so.waits.NextBackOff()
}

// Retry retries a call that is not part of a copy, by the same table.
func Retry(ctx context.Context, observe func(Retrying), call func() error) error {
	return retryingEngine{rules: retries, outage: &outage{}, observe: observe}.try(ctx, "", "", call)
}

// retryingEngine is an engine that retries its calls by the table. Pushes are retried by their callers, which ask the
// target before each try.
type retryingEngine struct {
	transfer.Engine
	rules   []retryRule
	outage  *outage
	busy    *throttles // registries that throttle calls
	observe func(Retrying)
}

// try makes a call until it succeeds or the table gives up.
func (e retryingEngine) try(ctx context.Context, step transfer.Step, ref string, call func() error) error {
	so := &attempts{rules: e.rules, outage: e.outage, step: step}
	registry := registryOf(step, ref)
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		if step != transfer.StepPush { // which begins with a question that waits
			if so.last = e.busy.pass(ctx, registry); so.last != nil {
				return struct{}{}, so.last
			}
		}
		began := time.Now()
		so.last = call()
		e.busy.note(registry, began, so.last)
		e.outage.note(so.last)
		return struct{}{}, so.last
	}, backoff.WithBackOff(so), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, wait time.Duration) {
		e.observe(Retrying{Step: step, Ref: ref, Err: err, Wait: wait})
	}))
	return err
}

func (e retryingEngine) Pull(ctx context.Context, ref string, progress docker.Listener) error {
	return e.try(ctx, transfer.StepPull, ref, func() error { return e.Engine.Pull(ctx, ref, e.outage.hearing(progress)) })
}

func (e retryingEngine) PullIndex(ctx context.Context, ref string, platform ocispec.Platform, progress docker.Listener) error {
	return e.try(ctx, transfer.StepPull, ref, func() error { return e.Engine.PullIndex(ctx, ref, platform, e.outage.hearing(progress)) })
}

func (e retryingEngine) PullContent(ctx context.Context, ref string, cut docker.Cut, progress docker.Listener) error {
	return e.try(ctx, transfer.StepPull, ref, func() error { return e.Engine.PullContent(ctx, ref, cut, e.outage.hearing(progress)) })
}

func (e retryingEngine) Sweep(ctx context.Context) error {
	return e.try(ctx, transfer.StepPull, "", func() error { return e.Engine.Sweep(ctx) })
}

func (e retryingEngine) Load(ctx context.Context, archive []byte) error {
	return e.try(ctx, transfer.StepTag, "", func() error { return e.Engine.Load(ctx, archive) })
}

func (e retryingEngine) Missing(ctx context.Context, ref string) (missing []digest.Digest, err error) {
	err = e.try(ctx, transfer.StepCheck, ref, func() (err error) {
		missing, err = e.Engine.Missing(ctx, ref)
		return err
	})
	return missing, err
}

func (e retryingEngine) Local(ctx context.Context) (images []image.Local, err error) {
	err = e.try(ctx, transfer.StepCheck, "", func() (err error) {
		images, err = e.Engine.Local(ctx)
		return err
	})
	return images, err
}

func (e retryingEngine) Find(ctx context.Context, ref string) (found image.Local, err error) {
	err = e.try(ctx, transfer.StepCheck, ref, func() (err error) {
		found, err = e.Engine.Find(ctx, ref)
		return err
	})
	return found, err
}

func (e retryingEngine) Platform(ctx context.Context, ref string) (platform ocispec.Platform, err error) {
	err = e.try(ctx, transfer.StepCheck, ref, func() (err error) {
		platform, err = e.Engine.Platform(ctx, ref)
		return err
	})
	return platform, err
}

func (e retryingEngine) ImageID(ctx context.Context, ref string) (id digest.Digest, err error) {
	err = e.try(ctx, transfer.StepCheck, ref, func() (err error) {
		id, err = e.Engine.ImageID(ctx, ref)
		return err
	})
	return id, err
}

func (e retryingEngine) Tag(ctx context.Context, source, target string) error {
	return e.try(ctx, transfer.StepTag, target, func() error { return e.Engine.Tag(ctx, source, target) })
}

func (e retryingEngine) Push(ctx context.Context, ref string, progress docker.Listener) (pushed digest.Digest, err error) {
	return e.Engine.Push(ctx, ref, e.outage.hearing(progress))
}

func (e retryingEngine) Resolve(ctx context.Context, ref string) (resolved image.Resolved, err error) {
	err = e.try(ctx, transfer.StepVerify, ref, func() (err error) {
		resolved, err = e.Engine.Resolve(ctx, ref)
		return err
	})
	return resolved, err
}

func (e retryingEngine) Remove(ctx context.Context, ref string) error {
	return e.try(ctx, transfer.StepRemove, ref, func() error { return e.Engine.Remove(ctx, ref) })
}
