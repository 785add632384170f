package schedule

import (
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

// Grant is permission to pull an item and, later, to push it. Only the schedule writes it.
type Grant struct {
	*plan.Item

	Bring  []plan.BlobID // blobs that the engine lacks, and that pushing the item requires
	Keep   []plan.BlobID // the subset of Bring that later items contain, too
	Unpack []plan.BlobID // the subset of Bring that is worth unpacking: see worthUnpacking
	Spare  []plan.BlobID // blobs that the engine does not need, because the target repository has them
	Upload []plan.BlobID // blobs that pushing the item brings to the target
	Alone  bool          // the item is being retried on its own, because the engine's disk was full

	at       int                 // index among the run's items
	uploaded bool                // the target has the item under one of its tags, by this run's push
	checked  bool                // the target has been asked for the item's tags
	local    []plan.BlobID       // the item's blobs that are not in Spare
	wants    bool                // blobs are kept in the engine for the item's sake
	there    bool                // one of the item's tags is at the target
	follows  bool                // the item has had to wait for others
	offered  bool                // it need not wait any more
	awaited  int                 // items that it waits for
	ended    func(brought int64) // ends its pull in inFlight
}

// Alone returns the grant of an item that is copied on its own, when the engine has none of its blobs.
func Alone(i *plan.Item) *Grant { return &Grant{Item: i, Bring: i.Blobs, Upload: i.Blobs} }

// HeldRef is a reference that the engine holds, with the blobs that the reference keeps there.
type HeldRef struct {
	Ref   string
	Blobs []plan.BlobID
}

// Room says how to free space in the engine before a pull.
type Room struct {
	Evicted []HeldRef // to be released
	Sweep   bool      // the engine is to drop the content of interrupted pulls
}
