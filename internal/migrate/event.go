package migrate

import (
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// Event is what a run reports to its observer: Chosen, Listed, Shared, Planned, Comparing, Started, Working, Moved, Worked,
// Retrying, Finished, Recovering, PulledBack, Entered or Stopping.
type Event interface{ event() }

// Chosen says which part of the source was chosen, if that is not everything. It comes before Listed, which counts only that
// part.
type Chosen plan.Chosen

// Listed says that the source has been listed.
type Listed plan.Listed

// Shared says which share of the registry this run copies, if other jobs copy the rest.
type Shared struct {
	Share  plan.Share
	Tags   int
	Listed int // tags in the whole registry
}

// Planned says that the run's share has been planned. Nothing has been copied yet.
type Planned struct {
	Tags  int
	Blobs int   // layers and configs of everything that is not refused, each once
	Bytes int64 // of the blobs, as the source holds them
	// BytesUnshared is the sum of the images' bytes, as if none of them shared a blob.
	BytesUnshared int64
	Refused       []transfer.Result
	// LeftReferrers counts signatures and other referrers of what MIGRATE_PLATFORM leaves behind.
	LeftReferrers int
	Store         image.Store
	Unknown       []plan.UnknownType // media types that GitLab is not known to take
	Contents      []plan.Content     // by repository, in the order of their names
}

// Entered says what the run has found in the engine, before it copies anything.
type Entered transfer.Stay

// Comparing says that a verification begins.
type Comparing struct {
	Tags  int
	Store image.Store
}

// PulledBack says that the engine has pulled a complete tag from the target, and removed it again.
type PulledBack struct{ Result transfer.Result }

// Started says that the copy of an image begins.
type Started struct{ Image image.Image }

// Worked says that a worker has finished with an image, successfully (Well) or not.
type Worked struct {
	Step   transfer.Step // StepPull or StepPush; empty for an image that was copied on its own, from pull to push
	Worker int           // number among the workers of the step, from 0
	Image  image.Image
	Began  time.Time
	Well   bool
	Bytes  int64 // moved, from the manifests; 0 unless Well
}

// Retrying says that a call has failed, and is retried after the wait.
type Retrying struct {
	Step transfer.Step
	Ref  string // may be empty
	Err  error
	Wait time.Duration
}

// Stopping says that no more copies are started, and why.
type Stopping struct{ Cause error }

// Finished gives the result of one tag, or of the referrers of one image.
type Finished struct{ Result transfer.Result }

// Recovering says that images are retried one by one, because the engine has skipped layers of them.
type Recovering struct{ Images int }

func (Chosen) event() {}

func (Listed) event() {}

func (Shared) event() {}

func (Planned) event() {}

func (Entered) event() {}

func (Comparing) event() {}

func (PulledBack) event() {}

func (Started) event() {}

func (Finished) event() {}

func (Recovering) event() {}

func (Worked) event() {}

func (Retrying) event() {}

func (Stopping) event() {}
