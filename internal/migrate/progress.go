package migrate

import (
	"sync"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/schedule"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// StepExtract is the last part of a pull, in which the engine unpacks layers. Errors count it as part of the pull.
const StepExtract transfer.Step = "extract"

// Working reports a worker's progress with an image, a few times a second and, with an empty step, at its end.
type Working struct {
	Image   image.Image
	Step    transfer.Step // StepPull, StepExtract, StepPush, or empty
	Current int64         // bytes of the step
	Total   int64         // likewise; it may grow, and is 0 if nothing has to be transferred
}

// Moved says how many of the planned bytes have been migrated. A byte that was pulled but not pushed counts half.
type Moved struct {
	Bytes int64
	Of    int64 // all planned bytes, except those that were at the target already or will not be migrated
}

func (Working) event() {}

func (Moved) event() {}

// steps maps what an engine does with a blob to the step of the copy.
var steps = map[docker.Phase]transfer.Step{docker.Downloading: transfer.StepPull, docker.Extracting: StepExtract, docker.Pushing: transfer.StepPush}

// direction is one of the two transfers of each byte.
type direction int

const (
	inbound  direction = iota // into the engine
	outbound                  // from there to the target
	directions
)

// meter counts the bytes of the planned images, once per direction. The nil meter counts nothing.
type meter struct {
	catalog *plan.Catalog
	observe func(Event)

	mu       sync.Mutex
	images   map[*plan.Item]metered // with results still to come
	users    []int32                // by blob: such images that contain it
	counted  [directions][]bool     // by blob: it has been moved, or does not have to be
	moved    int64                  // bytes
	left     int64
	underWay map[*mover]int64 // bytes of those that are left
}

// metered is what a meter knows of one image.
type metered struct {
	open   int32 // tags without a result
	copied bool  // one of the others was
}

func newMeter(blobs *plan.Catalog, observe func(Event)) *meter {
	return &meter{catalog: blobs, observe: observe, underWay: map[*mover]int64{}}
}

// plan counts what is left to move. Rejected items do not count.
func (m *meter) plan(items []*plan.Item) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.catalog.Len()
	m.images, m.users = make(map[*plan.Item]metered, len(items)), make([]int32, n)
	for d := range m.counted {
		m.counted[d] = make([]bool, n)
	}
	for _, i := range items {
		if i.Rejected() {
			continue
		}
		m.images[i] = metered{open: int32(len(i.Image.Tags))}
		for _, id := range i.Blobs {
			if m.users[id]++; m.users[id] == 1 {
				m.left += int64(directions) * m.catalog.Size(id)
			}
		}
	}
}

// settle records the result of a tag, and reports whether it was the image's last.
func (m *meter) settle(r transfer.Result) bool {
	if m == nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	img, known := m.images[r.Item]
	if !known {
		return false
	}
	img.open--
	img.copied = img.copied || r.Outcome.Arrived() && !r.Found
	if m.images[r.Item] = img; img.open > 0 {
		return false
	}
	m.end(r.Item)
	return true
}

// drop records that nothing of the items will be moved.
func (m *meter) drop(items []*plan.Item) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, i := range items {
		if _, known := m.images[i]; known {
			m.end(i)
		}
	}
}

// end counts the blobs of an image without results to come.
func (m *meter) end(i *plan.Item) {
	if m.images[i].copied {
		m.count(inbound, i.Blobs, true)
		m.count(outbound, i.Blobs, true)
	}
	delete(m.images, i)
	for _, id := range i.Blobs {
		if m.users[id]--; m.users[id] == 0 {
			m.count(inbound, []plan.BlobID{id}, false)
			m.count(outbound, []plan.BlobID{id}, false)
		}
	}
}

// count subtracts the blobs from what is left: they have been moved, or do not have to be.
func (m *meter) count(d direction, blobs []plan.BlobID, moved bool) {
	for _, id := range blobs {
		if int(id) >= len(m.users) || m.counted[d][id] {
			continue
		}
		m.counted[d][id] = true
		m.left -= m.catalog.Size(id)
		if moved {
			m.moved += m.catalog.Size(id)
		}
	}
}

// sizes returns the bytes of the blobs that are left in the direction, by the short names that engines use.
func (m *meter) sizes(d direction, blobs []plan.BlobID) map[string]int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	sizes := map[string]int64{}
	for _, id := range blobs {
		if int(id) < len(m.users) && !m.counted[d][id] {
			sizes[image.Short(m.catalog.Digest(id))] = m.catalog.Size(id)
		}
	}
	return sizes
}

// tell reports progress.
func (m *meter) tell(of Working) {
	m.observe(of)
	m.observe(m.state())
}

func (m *meter) state() Moved {
	m.mu.Lock()
	defer m.mu.Unlock()
	moved := m.moved
	for _, bytes := range m.underWay {
		moved += bytes
	}
	return Moved{Bytes: moved / int64(directions), Of: (m.moved + m.left) / int64(directions)}
}

// follow returns a listener for the calls that transfer the item, until end is called.
func (m *meter) follow(g *schedule.Grant, d direction) (_ docker.Listener, end func(well bool)) {
	if m == nil {
		return nil, func(bool) {}
	}
	m.mu.Lock()
	m.count(inbound, g.Spare, false)
	m.count(outbound, g.Spare, false)
	m.mu.Unlock()
	f := &mover{meter: m, grant: g}
	f.begin(d)
	f.tell(stepOf(d))
	return f.see, func(well bool) { f.end(well && d == inbound) }
}

// tellPause is the minimum time between two progress events of one worker with the same step.
const tellPause = 250 * time.Millisecond

// mover follows what a worker moves for one image.
type mover struct {
	meter *meter
	grant *schedule.Grant

	mu        sync.Mutex
	direction direction
	planned   int64 // bytes that are left in the direction
	blobs     map[string]*moving
	total     int64 // bytes of the blobs
	done      map[transfer.Step]int64
	loading   int // blobs that are being pulled
	told      transfer.Step
	toldAt    time.Time
	ended     bool
}

// moving is one blob of a mover.
type moving struct {
	size    int64                   // bytes
	done    map[transfer.Step]int64 // bytes
	loading bool
}

// begin starts over in a direction.
func (f *mover) begin(d direction) {
	f.direction, f.planned, f.total, f.loading = d, 0, 0, 0
	f.blobs, f.done = map[string]*moving{}, map[transfer.Step]int64{}
	blobs := f.grant.Bring
	if d == outbound {
		blobs = f.grant.Upload
	}
	for name, size := range f.meter.sizes(d, blobs) {
		f.blobs[name] = &moving{size: size, done: map[transfer.Step]int64{}}
		f.planned += size
	}
	f.total = f.planned
}

// see takes what the engine reports.
func (f *mover) see(t docker.Progress) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return
	}
	d := inbound
	if t.Phase == docker.Pushing {
		d = outbound
	}
	if d != f.direction {
		f.begin(d)
	}
	f.take(t)
	step := steps[t.Phase]
	if step == StepExtract && f.loading > 0 {
		step = transfer.StepPull
	}
	if step != f.told || time.Since(f.toldAt) >= tellPause {
		f.tell(step)
	}
}

// take records the progress of a blob, which never decreases.
func (f *mover) take(t docker.Progress) {
	blob := f.blobs[t.Blob]
	if blob == nil {
		blob = &moving{done: map[transfer.Step]int64{}}
		f.blobs[t.Blob] = blob
	}
	if blob.size == 0 && t.Total > 0 { // not in the plan, or the store counts in another unit
		blob.size = min(t.Total, plan.MaxBlob)
		f.total += blob.size
	}
	if loading := t.Phase == docker.Downloading && !t.Over; loading != blob.loading {
		blob.loading = loading
		if loading {
			f.loading++
		} else {
			f.loading--
		}
	}
	if t.Phase == docker.Extracting {
		f.advance(blob, transfer.StepPull, blob.size)
	}
	f.advance(blob, steps[t.Phase], part(t, blob.size))
}

// part returns how much of size bytes the progress stands for.
func part(t docker.Progress, size int64) int64 {
	switch {
	case t.Over:
		return size
	case t.Total <= 0:
		return 0
	}
	return int64(float64(size) * float64(min(max(0, t.Current), t.Total)) / float64(t.Total))
}

func (f *mover) advance(blob *moving, step transfer.Step, to int64) {
	if more := to - blob.done[step]; more > 0 {
		blob.done[step] += more
		f.done[step] += more
	}
}

// tell reports the progress of the step.
func (f *mover) tell(step transfer.Step) {
	f.told, f.toldAt = step, time.Now()
	underWay := int64(0)
	if f.total > 0 {
		underWay = int64(float64(f.planned) * float64(f.done[stepOf(f.direction)]) / float64(f.total))
	}
	f.meter.mu.Lock()
	f.meter.underWay[f] = underWay
	f.meter.mu.Unlock()
	f.meter.tell(Working{Image: f.grant.Image, Step: step, Current: f.done[step], Total: f.total})
}

// stepOf returns the step that moves bytes in the direction.
func stepOf(d direction) transfer.Step {
	if d == outbound {
		return transfer.StepPush
	}
	return transfer.StepPull
}

// end ends the transfer. If pulled, everything is in the engine.
func (f *mover) end(pulled bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	f.meter.mu.Lock()
	delete(f.meter.underWay, f)
	if pulled {
		f.meter.count(inbound, f.grant.Bring, true)
	}
	f.meter.mu.Unlock()
	f.meter.tell(Working{Image: f.grant.Image})
}
