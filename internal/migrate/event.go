package migrate

import (
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// Event is something that a run tells its observer: Chosen, Listed, Shared, Planned, Comparing, Started, Working, Moved,
// Worked, Retrying, Finished, Recovering, PulledBack or Stopping.
type Event interface{ event() }

// Chosen says which part of the source the run is about, where that is not everything. It comes before Listed, which
// counts that part alone.
type Chosen plan.Chosen

// Listed ends the listing of the source.
type Listed plan.Listed

// Shared says what of the registry this run copies, where other jobs copy the rest.
type Shared struct {
	Share  plan.Share
	Tags   int
	Listed int // tags in the whole registry
}

// Planned ends the planning, which is that of the share: nothing has been copied yet.
type Planned struct {
	Tags  int
	Blobs int   // layers and configs of all that is not refused, each once
	Bytes int64 // of the blobs, as the source holds them
	// BytesUnshared is what they would be if no image shared a blob with another.
	BytesUnshared int64
	Refused       []transfer.Result
	// LeftReferrers counts signatures and other referrers of what MIGRATE_PLATFORM leaves behind.
	LeftReferrers int
	Store         image.Store
	Contents      []plan.Content    // by repository, in the order of their names
	MostShared    []plan.SharedBlob // that save the most bytes
	BySize        []plan.BlobClass  // the blobs by their bytes, from the smallest
	ByUse         []plan.BlobClass  // the blobs by how many images consist of them, from one
}

// Comparing begins the comparison of a verification: nothing is copied.
type Comparing struct {
	Tags  int
	Store image.Store
}

// PulledBack says that the engine has pulled a tag from the target, whole, and dropped it again.
type PulledBack struct{ Result transfer.Result }

// Started says that the copy of an image begins.
type Started struct{ Image image.Image }

// Worked says that a worker is through with an image, for good or not.
type Worked struct {
	Step   transfer.Step // StepPull or StepPush; empty for an image that was copied alone, from pull to push
	Worker int           // of those of the step, from 0
	Image  image.Image
	Began  time.Time
	Well   bool
	Bytes  int64 // that had to be moved, as manifests tell; 0 unless all went well
}

// Retrying says that a call has failed, and is made again after the wait.
type Retrying struct {
	Step transfer.Step
	Ref  string // may be empty
	Err  error
	Wait time.Duration
}

// Stopping says that no further copies are begun, and why.
type Stopping struct{ Cause error }

// Finished gives the result of one tag, or of the referrers of one image.
type Finished struct{ Result transfer.Result }

// Recovering says that images are copied once more, each alone: the engine had skipped layers of theirs.
type Recovering struct{ Images int }

func (Chosen) event() {}

func (Listed) event() {}

func (Shared) event() {}

func (Planned) event() {}

func (Comparing) event() {}

func (PulledBack) event() {}

func (Started) event() {}

func (Finished) event() {}

func (Recovering) event() {}

func (Worked) event() {}

func (Retrying) event() {}

func (Stopping) event() {}
