package schedule

import (
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

// unlimited is the disk budget in bytes if none is set.
const unlimited = int64(1) << 62

// expansion is the assumed ratio of unpacked to compressed layer size. Real layers have 2 to 4.
const expansion = 3

// Disk estimates how much of the engine's disk the images of a run occupy. Manifests give compressed sizes only.
type Disk struct {
	catalog  *plan.Catalog
	store    image.Store
	budget   int64         // bytes
	used     int64         // bytes
	users    []int32       // by blob: items under way that contain it, and references that hold it
	unpacked []bool        // by blob: the engine has it unpacked, too
	pinned   []plan.BlobID // blobs that the engine keeps, packed and unpacked, until it is swept
}

// NewDisk returns the disk of an engine in which a run may use budget bytes; 0: any number.
func NewDisk(blobs *plan.Catalog, store image.Store, budget int64) Disk {
	if budget <= 0 {
		budget = unlimited
	}
	n := blobs.Len()
	return Disk{catalog: blobs, store: store, budget: budget, users: make([]int32, n), unpacked: make([]bool, n)}
}

// cost returns the bytes that a blob occupies. The classic store keeps layers unpacked only, but has the compressed layer,
// too, while it pulls.
func (d *Disk) cost(id plan.BlobID) int64 {
	if d.store == image.ClassicStore || d.unpacked[id] {
		return d.catalog.Size(id) * (1 + expansion)
	}
	return d.catalog.Size(id)
}

// Need returns the bytes that the blobs would add. Large blobs come with their image and are unpacked.
func (d *Disk) Need(blobs []plan.BlobID) int64 {
	var bytes int64
	for _, id := range blobs {
		if d.users[id] == 0 {
			bytes += d.added(id)
		}
	}
	return bytes
}

// added returns the bytes that a blob adds if the engine does not have it.
func (d *Disk) added(id plan.BlobID) int64 {
	size := d.catalog.Size(id)
	if d.store == image.ClassicStore || d.isLarge(id) {
		size *= 1 + expansion
	}
	return size
}

// isLarge reports whether the engine cannot pull the blob by itself.
func (d *Disk) isLarge(id plan.BlobID) bool { return d.catalog.Size(id) > image.MaxBlobPull }

// fits reports whether that many more bytes are within the budget.
func (d *Disk) fits(bytes int64) bool { return d.used+bytes <= d.budget }

// use adds a user to each blob.
func (d *Disk) use(blobs []plan.BlobID) {
	for _, id := range blobs {
		if d.users[id] == 0 {
			d.unpacked[id] = d.isLarge(id)
			d.used += d.cost(id)
		}
		d.users[id]++
	}
}

// leave removes a user from each blob. A blob is gone with its last user.
func (d *Disk) leave(blobs []plan.BlobID) {
	for _, id := range blobs {
		if d.users[id]--; d.users[id] == 0 {
			d.used -= d.cost(id)
		}
	}
}

// pin records that the engine keeps the blobs until it is swept.
func (d *Disk) pin(blobs []plan.BlobID) {
	d.use(blobs)
	d.pinned = append(d.pinned, blobs...)
}

// sweep records that the engine has dropped everything that no reference holds, and what it had unpacked.
func (d *Disk) sweep() {
	for _, id := range d.pinned {
		before := d.cost(id)
		d.unpacked[id] = false
		d.used -= before - d.cost(id)
	}
	d.leave(d.pinned)
	d.pinned = nil
}
