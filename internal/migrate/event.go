package migrate

import "time"

// Event is something that a run tells its observer: Listed, Shared, Planned, Started, Working, Moved, Retrying,
// Finished, Recovering or Stopping.
type Event interface{ event() }

// Listed ends the listing of the source.
type Listed struct {
	Repositories int
	Images       int
	Tags         int
	Empty        []string // repositories without a tag
}

// Shared says what of the registry this run copies, where other jobs copy the rest.
type Shared struct {
	Share  Share
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
	Refused       []Result
	// LeftReferrers counts signatures and other referrers of what MIGRATE_PLATFORM leaves behind.
	LeftReferrers int
	Store         Store
}

// Started says that the copy of an image begins.
type Started struct{ Image Image }

// Retrying says that a call has failed, and is made again after the wait.
type Retrying struct {
	Step Step
	Ref  string // may be empty
	Err  error
	Wait time.Duration
}

// Stopping says that no further copies are begun, and why.
type Stopping struct{ Cause error }

// Finished gives the result of one tag, or of the referrers of one image.
type Finished struct{ Result Result }

// Recovering says that images are copied once more, each alone: the engine had skipped layers of theirs.
type Recovering struct{ Images int }

func (Listed) event()     {}
func (Shared) event()     {}
func (Planned) event()    {}
func (Started) event()    {}
func (Finished) event()   {}
func (Recovering) event() {}
func (Retrying) event()   {}
func (Stopping) event()   {}
