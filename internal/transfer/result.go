package transfer

import (
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

// Outcome is the result of a run for one tag.
type Outcome string

// The outcomes. See Arrived for those that mean that the tag is at the target.
const (
	Exact       Outcome = "exact"        // the target answers with the digest that the source lists
	Present     Outcome = "present"      // it already did before this run, or it still has the digest of an earlier run
	Changed     Outcome = "changed"      // the classic store recompressed layers; report.json keeps both digests
	OnePlatform Outcome = "one platform" // of an index, because the user asked for that platform by name
	Trimmed     Outcome = "trimmed"      // an index, written anew without the artifacts that the user wanted left out
	Refused     Outcome = "refused"      // it cannot arrive intact: the plan knows, or GitLab has refused its media type
	Failed      Outcome = "failed"
	Conflict    Outcome = "conflict"    // somebody else has pushed another image under the tag, which is left alone
	Kept        Outcome = "kept"        // likewise, as the user wants it
	NotStarted  Outcome = "not started" // the run ended before it was copied
	Missing     Outcome = "missing"     // compared: the target has no such tag
	Different   Outcome = "different"   // compared: the target has another image under the tag
	Extra       Outcome = "extra"       // compared: the target has a tag that an earlier run brought, and the source does not list it
)

// Outcomes lists all outcomes.
var Outcomes = []Outcome{
	Exact, Present, Changed, OnePlatform, Trimmed, Refused, Failed, Conflict, Kept, NotStarted, Missing, Different, Extra,
}

// Arrived reports whether the tag is at the target.
func (o Outcome) Arrived() bool {
	switch o {
	case Refused, Failed, Conflict, Kept, NotStarted, Missing, Different:
		return false
	}
	return true
}

// Accepted reports whether nothing is left to do: the tag is at the target, or the user wants what GitLab has instead.
func (o Outcome) Accepted() bool { return o.Arrived() || o == Kept }

// Result is the outcome of one tag, of the referrers of one image, or (with neither) of a repository that could not be
// listed.
type Result struct {
	Item       *plan.Item // what the result is about; nil if that was not planned
	Repository string
	Tag        string
	SourceURI  string        // of the repository, as an engine pulls from it; empty if the source was not asked
	Referrers  int           // if not 0, the tag lists that many referrers of Subject
	Subject    digest.Digest // of the referrers
	Source     digest.Digest // as the source lists it
	Root       digest.Digest // what is copied of it: the same, or a part of an index; empty if that is not known
	Target     string        // the complete reference at the target
	Pushed     digest.Digest // as the target answers; empty if it has nothing, or was not asked
	LeftOut    []string      // kinds of artifacts that the index was written anew without
	Found      bool          // the tag was at the target before this run touched it, whatever the outcome calls it
	Replaced   digest.Digest // the digest that the tag had at the target before the push; empty: the tag did not exist
	Bytes      int64         // of its layers and configs, each once; the listed size if no manifest was read
	Outcome    Outcome
	Err        error // why it did not arrive
}

// Name returns the short name: "team/app:1.2".
func (r Result) Name() string {
	switch {
	case r.Referrers > 0:
		return fmt.Sprintf("%s@%s (its referrers: %d)", r.Repository, r.Subject, r.Referrers)
	case r.Tag == "":
		return r.Repository
	}
	return r.Repository + ":" + r.Tag
}

// Step is a part of the copy of an image.
type Step string

// The steps, in their order.
const (
	StepList   Step = "list"
	StepPlan   Step = "plan"
	StepPull   Step = "pull"
	StepCheck  Step = "check"
	StepTag    Step = "tag"
	StepPush   Step = "push"
	StepVerify Step = "verify"
	StepReturn Step = "pull back" // from the target, of a verification
	StepRemove Step = "remove"    // never the end of a copy
)

// StepError says at which step a copy failed, and has the remedy, if one is known.
type StepError struct {
	Step   Step
	Ref    string
	Err    error
	Remedy string
}

// Error returns step, reference and cause. Reports place the remedy.
func (e *StepError) Error() string { return fmt.Sprintf("%s %s: %v", e.Step, e.Ref, e.Err) }

// Unwrap returns the cause.
func (e *StepError) Unwrap() error { return e.Err }

// Cause returns the text of an error without the reference, so that equal failures have equal texts.
func Cause(err error) string {
	var step *StepError
	if !errors.As(err, &step) {
		return err.Error()
	}
	return string(step.Step) + ": " + step.Err.Error()
}

// FailedAt returns a *StepError with the remedy for the cause.
func FailedAt(step Step, ref string, err error) error {
	return &StepError{Step: step, Ref: ref, Err: err, Remedy: remedy(step, err)}
}

// remedy says what a user can do about the cause at the step; it is empty if that is not known.
func remedy(step Step, err error) string {
	if refusal := new(docker.Refusal); errors.As(err, &refusal) {
		return refusal.Remedy()
	}
	switch {
	case EndsRun(err):
		return "" // the error has its own
	case step == StepPush && errors.Is(err, docker.ErrDenied):
		return "GitLab denies a push when the user's role is below Developer, when the path is more than two levels below the " +
			"project, or when the job that the token belongs to has ended"
	case (step == StepReturn || step == StepVerify) && errors.Is(err, docker.ErrDenied):
		return "GitLab denies reading when a token lacks the scope read_registry, when its user's role is below Reporter, or " +
			"when the job that it belongs to has ended"
	case step == StepPull && errors.Is(err, docker.ErrDenied):
		return "the policy must allow ecr:BatchGetImage and ecr:GetDownloadUrlForLayer on this repository"
	case step == StepPull && errors.Is(err, docker.ErrNotFound):
		return "it was listed and is gone: deleted or archived since, or a layer of it is missing in ECR"
	case errors.Is(err, docker.ErrNoSpace) && step == StepPush:
		return "the disk of the engine, or of GitLab's registry, is full: make room there, and run again"
	case errors.Is(err, docker.ErrNoSpace):
		return "nothing else was in the engine by then: give the engine a larger disk"
	case errors.Is(err, ErrIncomplete):
		return "another image on this engine holds the same files, compressed otherwise (moby/moby#52897): " +
			"use an engine without images of its own, such as a fresh docker:dind"
	}
	return ""
}

// crowded corrects the remedy for a full disk of an engine that other images share.
func crowded(err error) error {
	if failed := new(StepError); errors.As(err, &failed) && errors.Is(err, docker.ErrNoSpace) {
		failed.Remedy = "other images were in the engine, too: run again, and if that is not enough, give the engine a larger disk"
	}
	return err
}

// DigestChange records a tag that is at the target with another digest than the source's, as the classic store leaves it.
type DigestChange struct {
	Source digest.Digest // as the source listed it
	Root   digest.Digest // what was copied of it, see Result
	Pushed digest.Digest // as the target answered
}

// Rejection returns why nothing of the item is copied, or nil.
func Rejection(i *plan.Item) error {
	if i.Failure != nil {
		return FailedAt(StepPlan, i.Failure.Ref, i.Failure.Err)
	}
	return i.Refusal
}

// Rejections returns the results of an item that is not copied, because it was refused or could not be planned.
func Rejections(i *plan.Item) []Result {
	switch {
	case i.Failure != nil:
		return Settle(i, i.Image.Tags, Failed, Rejection(i))
	case i.Refusal != nil:
		return Settle(i, i.Image.Tags, Refused, i.Refusal)
	}
	return nil
}
