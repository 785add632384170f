package schedule

import (
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

// Grant is leave to pull an item, and later to push it. The schedule writes it.
type Grant struct {
	*plan.Item

	Bring  []plan.BlobID // blobs that the engine does not have, and that the item's push needs
	Keep   []plan.BlobID // those of them that later items consist of, too
	Spare  []plan.BlobID // blobs that the engine need not have, because the target repository has them
	Upload []plan.BlobID // blobs that the item's push is to bring to the target
	Alone  bool          // the item is tried once more by itself, because the engine's disk was full

	checked bool          // the target has been asked for the item's tags
	local   []plan.BlobID // the blobs that are not spare
	wants   bool          // the item counts among those for whose sake blobs are kept in the engine
}

// Alone is the grant of an item that is copied when the engine has nothing of it, and nothing else is under way.
func Alone(i *plan.Item) *Grant { return &Grant{Item: i, Bring: i.Blobs, Upload: i.Blobs} }

// HeldRef is a reference in the engine, and the blobs that it keeps there.
type HeldRef struct {
	Ref   string
	Blobs []plan.BlobID
}

// Room is what has to be done before an image is pulled.
type Room struct {
	Evicted []HeldRef // to leave the engine
	Sweep   bool      // the engine is to drop what it keeps of pulls that were cut off
}
