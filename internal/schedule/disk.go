package schedule

import (
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

// unlimited is the disk of an engine of which nobody has said how much may be used.
const unlimited = int64(1) << 62

// expansion is how many times larger a layer is when it is unpacked. Real layers lie between 2 and 4.
const expansion = 3

// Disk is what the images of this run take up in the engine, by what their manifests tell: an estimate, since a
// manifest does not tell the size of an unpacked layer.
type Disk struct {
	catalog  *plan.Catalog
	store    image.Store
	budget   int64         // bytes
	used     int64         // bytes
	users    []int32       // by blob: images under way that consist of it, and references that hold it
	unpacked []bool        // by blob: the engine has unpacked it, too
	pinned   []plan.BlobID // that the engine keeps until it is swept, with what it has unpacked of them
}

// NewDisk returns the disk of an engine in which a run may use budget bytes; 0: any number.
func NewDisk(blobs *plan.Catalog, store image.Store, budget int64) Disk {
	if budget <= 0 {
		budget = unlimited
	}
	n := blobs.Len()
	return Disk{catalog: blobs, store: store, budget: budget, users: make([]int32, n), unpacked: make([]bool, n)}
}

// cost is what the blob takes up, in bytes. The classic store keeps layers unpacked alone; while it pulls, the packed
// layer lies beside.
func (d *Disk) cost(id plan.BlobID) int64 {
	if d.store == image.ClassicStore || d.unpacked[id] {
		return d.catalog.Size(id) * (1 + expansion)
	}
	return d.catalog.Size(id)
}

// Need is what the blobs would add, in bytes, where those that are large are unpacked.
func (d *Disk) Need(blobs []plan.BlobID) int64 {
	var bytes int64
	for _, id := range blobs {
		if d.users[id] > 0 {
			continue
		}
		size := d.catalog.Size(id)
		if d.store == image.ClassicStore || size > image.MaxBlobPull {
			size *= 1 + expansion
		}
		bytes += size
	}
	return bytes
}

// fits reports whether so many more bytes are within the budget.
func (d *Disk) fits(bytes int64) bool { return d.used+bytes <= d.budget }

// use counts one more user of each blob.
func (d *Disk) use(blobs []plan.BlobID) {
	for _, id := range blobs {
		if d.users[id] == 0 {
			d.unpacked[id] = d.catalog.Size(id) > image.MaxBlobPull
			d.used += d.cost(id)
		}
		d.users[id]++
	}
}

// leave counts one user less, and the blobs as gone with their last.
func (d *Disk) leave(blobs []plan.BlobID) {
	for _, id := range blobs {
		if d.users[id]--; d.users[id] == 0 {
			d.used -= d.cost(id)
		}
	}
}

// pin says that the engine keeps the blobs until it is swept.
func (d *Disk) pin(blobs []plan.BlobID) {
	d.use(blobs)
	d.pinned = append(d.pinned, blobs...)
}

// sweep says that the engine keeps nothing any more but what is referred to, and none of that unpacked.
func (d *Disk) sweep() {
	for _, id := range d.pinned {
		before := d.cost(id)
		d.unpacked[id] = false
		d.used -= before - d.cost(id)
	}
	d.leave(d.pinned)
	d.pinned = nil
}
