// Package schedule decides when: which item is pulled or pushed next, and what stays on the engine's disk for later items.
// It does no I/O.
package schedule

import (
	"context"
	"slices"
	"sync"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

// Schedule hands out items to the workers that check the target, pull and push, and decides what stays in the engine for
// later items. Two pulls that race for the same missing blob download and unpack it twice, and two pushes upload it twice.
// So one item brings a blob, and the items that share it wait until it has arrived. Its methods may be called concurrently.
type Schedule struct {
	mu      sync.Mutex
	changed *sync.Cond
	barren  bool // nothing can be pulled until the next change

	toCheck        []*Grant // whose tags the target has not been asked for
	toPull, toPush []*Grant
	followers      followers
	postponed      []*Grant // that found the engine's disk full, to be pulled on their own at the end
	pulls, pushes  claims
	delivered      map[string]map[plan.BlobID]bool // by target repository: the blobs that are there
	wanted         []int32                         // by blob: items still to be pulled that contain it
	needed         []int32                         // by blob: items being pulled that contain it
	kept           []HeldRef
	releasing      int               // references that have been returned for release, and have not been released
	trials         map[string]*trial // by media type that the target may refuse and has not answered for
	disk           Disk
	ahead, limit   int  // items pulled but not yet pushed, and the maximum
	untried        bool // no push has arrived yet
	inFlight       inFlight
	open           int  // items that may still reach the push, without those that wait for others
	stopped        bool // no more pulls are started
	sweeping       bool // a worker is having the engine swept
	unsweepable    bool // a sweep has failed since a pull last ended
	littered       bool // a pull has found the engine's disk full, and it has not been swept since
}

// New returns a schedule of the items, in their order. limit is the maximum number of items pulled but not yet pushed.
// Items that refer to others (plan.Item.After) wait for those of them that are among the items.
func New(items []*plan.Item, limit int, space Disk) *Schedule {
	grants := make([]*Grant, len(items))
	for i, item := range items {
		grants[i] = &Grant{Item: item}
	}
	return scheduleOf(grants, limit, space)
}

func scheduleOf(grants []*Grant, limit int, space Disk) *Schedule {
	n := space.catalog.Len()
	s := &Schedule{
		pulls: newClaims(n), pushes: newClaims(n), followers: newFollowers(grants),
		wanted: make([]int32, n), needed: make([]int32, n), disk: space, limit: limit,
		delivered: map[string]map[plan.BlobID]bool{},
	}
	s.changed, s.trials = sync.NewCond(&s.mu), s.trialsOf(grants)
	for i, g := range grants {
		g.at, g.wants = i, true
		plan.Count(s.wanted, g.Blobs, 1)
		if g.follows {
			s.leaveTrials(g) // until it is offered
		} else {
			s.toCheck, s.toPull = append(s.toCheck, g), append(s.toPull, g)
		}
	}
	s.open = len(s.toPull)
	s.breakCircles()
	return s
}

// NextCheck waits for an item whose tags the target is to be asked for. It returns nil if there are no more, or ctx has
// ended.
func (s *Schedule) NextCheck(ctx context.Context) *Grant {
	defer context.AfterFunc(ctx, s.wake)()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.toCheck) == 0 && s.open > 0 && s.followers.waiting > 0 && !s.stopped && ctx.Err() == nil {
		s.changed.Wait()
	}
	if len(s.toCheck) == 0 || s.stopped || ctx.Err() != nil {
		return nil
	}
	g := s.toCheck[0]
	s.toCheck[0], s.toCheck = nil, s.toCheck[1:] // nil, because the array would keep what is done in memory
	return g
}

// Answered records whether the target has one of the item's tags (present), and whether some are left to copy (pending).
// It returns the references that the engine no longer needs to hold.
func (s *Schedule) Answered(g *Grant, present, pending bool) []HeldRef {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.announce()
	g.checked, g.there = true, g.there || present
	if present {
		s.deliver(g)
	}
	if pending {
		return nil
	}
	if i := slices.Index(s.toPull, g); i >= 0 {
		s.toPull = slices.Delete(s.toPull, i, i+1)
	}
	s.leaveTrials(g)
	s.end(g)
	return s.unwant(g)
}

// NextPull waits for an item that can be pulled without a race for a blob, and that fits on the disk or for which room can
// be made. It claims the blobs that the item brings. If it returns a room but no grant, that room has to be made before
// the next call. more is false when nothing more can come to be pulled, or ctx has ended.
func (s *Schedule) NextPull(ctx context.Context) (g *Grant, r Room, more bool) {
	defer context.AfterFunc(ctx, s.wake)()
	s.mu.Lock()
	defer s.mu.Unlock()
	for ctx.Err() == nil && !s.stopped && s.open > 0 {
		if s.ahead < s.allowed() && !s.barren {
			g, r = s.takePull()
		}
		if g != nil {
			s.beginPull(g)
		}
		if g != nil || r.Sweep {
			return g, r, true
		}
		s.barren = true
		s.changed.Wait()
	}
	return nil, Room{}, false
}

// takePull takes an item that fits, or else the first for which room can be made. An item larger than the budget is pulled
// when nothing else is under way.
func (s *Schedule) takePull() (*Grant, Room) {
	if s.littered && !s.unsweepable {
		return nil, Room{Sweep: s.claimSweep()}
	}
	switch fitting, crowded := s.choose(); {
	case fitting >= 0:
		g := s.toPull[fitting]
		s.toPull = slices.Delete(s.toPull, fitting, fitting+1)
		return g, Room{}
	case crowded >= 0:
		return s.takeCrowded(crowded)
	}
	return s.takePostponed()
}

// takeCrowded takes the item at the index of toPull if room can be made for it, and none is being made.
func (s *Schedule) takeCrowded(at int) (*Grant, Room) {
	if s.sweeping || s.releasing > 0 {
		return nil, Room{}
	}
	if len(s.disk.pinned) > 0 && !s.unsweepable {
		return nil, Room{Sweep: s.claimSweep()}
	}
	g := s.toPull[at]
	evicted, enough := s.makeRoom(g)
	if !enough && s.ahead > 0 {
		return nil, Room{}
	}
	s.evict(evicted)
	s.toPull = slices.Delete(s.toPull, at, at+1)
	return g, Room{Evicted: evicted}
}

// claimSweep reports whether the caller is to have the engine swept: nobody else does.
func (s *Schedule) claimSweep() bool {
	claimed := !s.sweeping
	s.sweeping = true
	return claimed
}

// takePostponed takes an item that found the disk full, once nothing else is under way.
func (s *Schedule) takePostponed() (*Grant, Room) {
	if len(s.toPull) > 0 || len(s.postponed) == 0 || s.ahead > 0 || s.sweeping {
		return nil, Room{}
	}
	g, evicted := s.postponed[0], slices.Clone(s.kept)
	s.postponed = s.postponed[1:]
	s.evict(evicted)
	s.sweeping = true
	return g, Room{Evicted: evicted, Sweep: true}
}

// Swept records whether the engine has been swept, or could not be because of the calls under way.
func (s *Schedule) Swept(done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.announce()
	s.sweeping, s.unsweepable = false, !done
	if done {
		s.littered = false
		s.disk.sweep()
	}
}

func (s *Schedule) beginPull(g *Grant) {
	s.beginTrials(g)
	s.ahead++
	required := s.required(g)
	g.Bring = s.pulls.absent(required)
	g.Spare = slices.DeleteFunc(s.pulls.absent(g.Blobs), func(id plan.BlobID) bool { return slices.Contains(required, id) })
	g.local = slices.DeleteFunc(slices.Clone(g.Blobs), func(id plan.BlobID) bool { return slices.Contains(g.Spare, id) })
	g.Keep = slices.DeleteFunc(slices.Clone(g.Bring), func(id plan.BlobID) bool { return s.wanted[id] < 2 })
	g.Unpack = s.worthUnpacking(g)
	s.pulls.claim(g.Bring)
	s.countInFlight(g)
	plan.Count(s.needed, g.local, 1)
	s.disk.use(g.local)
}

// endPull ends the pull of an item, which has brought so many bytes. The engine keeps the blobs of interrupted pulls (cut)
// until it is swept.
func (s *Schedule) endPull(g *Grant, brought int64, cut []plan.BlobID) {
	g.ended(brought)
	g.ended = nil
	s.disk.pin(cut)
	s.unsweepable = false
	plan.Count(s.needed, g.local, -1)
}

// Stop starts no more pulls. What has been pulled is still pushed.
func (s *Schedule) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.announce()
}

// toCome reports whether there may be more to push.
func (s *Schedule) toCome() bool { return s.open > 0 && (s.ahead > 0 || !s.stopped) }

// NextPush waits for an item that can be pushed without a race for a blob, and claims the blobs that it uploads. It returns
// nil when there is nothing left to push, or ctx has ended.
func (s *Schedule) NextPush(ctx context.Context) *Grant {
	defer context.AfterFunc(ctx, s.wake)()
	s.mu.Lock()
	defer s.mu.Unlock()
	for ctx.Err() == nil && s.toCome() {
		if i := s.choosePush(); i >= 0 {
			g := s.toPush[i]
			s.toPush = slices.Delete(s.toPush, i, i+1)
			g.Upload = s.pushes.absent(s.required(g))
			s.pushes.claim(g.Upload)
			return g
		}
		s.changed.Wait()
	}
	return nil
}

func (s *Schedule) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.announce()
}

// announce wakes all workers that wait for a change.
func (s *Schedule) announce() {
	s.barren = false
	s.changed.Broadcast()
}

// Pulled records that the item is in the engine, ready to be pushed, and takes over the references that hold its blobs. It
// returns those that the engine no longer needs to hold.
//
// The classic store keeps the registries that have a layer in a file, which it reads and writes without a lock (moby v20.10,
// distribution/metadata/v2_metadata_service.go). Pulling an image that shares the layer can undo what pushing the layer has
// written, and the next push uploads it again. So on that store nobody pulls a layer until it has been pushed.
func (s *Schedule) Pulled(g *Grant, holds []HeldRef, cut []plan.BlobID) []HeldRef {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.announce()
	s.endPull(g, s.disk.catalog.Bytes(g.Bring), cut)
	if s.disk.store != image.ClassicStore {
		s.pulls.settle(g.Bring)
	}
	for _, h := range holds {
		plan.Count(s.pulls.there, h.Blobs, 1)
		s.disk.use(h.Blobs)
	}
	s.kept = append(s.kept, holds...)
	s.toPush = append(s.toPush, g)
	return s.unwant(g)
}

// Dropped records that the item could not be pulled. It returns the references that the engine no longer needs to hold.
func (s *Schedule) Dropped(g *Grant, cut []plan.BlobID) []HeldRef {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.announce()
	s.leave(g)
	s.endPull(g, 0, cut)
	s.pulls.settle(g.Bring)
	s.end(g)
	return s.unwant(g)
}

// Postpone records that the engine's disk was full when the item was pulled. The item is retried on its own at the end, and
// the disk budget shrinks. No other pull starts before the engine has been swept. The references that it returns have to be
// released.
func (s *Schedule) Postpone(g *Grant, cut []plan.BlobID) []HeldRef {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.announce()
	s.disk.budget = min(s.disk.budget, s.disk.used/10*9)
	s.leave(g)
	s.endPull(g, 0, cut)
	s.pulls.settle(g.Bring)
	g.Alone, s.littered = true, true
	s.postponed = append(s.postponed, g)
	return s.unwant(g)
}

// Uploaded records that the target has the item under one of its tags, so that others need not wait for its blobs. The push
// of the other tags may go on.
func (s *Schedule) Uploaded(g *Grant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.announce()
	s.upload(g)
}

func (s *Schedule) upload(g *Grant) {
	if g.uploaded {
		return
	}
	g.uploaded, s.untried = true, false
	s.pushes.settle(g.Upload)
	plan.Count(s.pushes.there, g.Blobs, 1)
	s.deliver(g)
}

// Pushed records that the push of the item has ended, and whether all of its tags are at the target.
func (s *Schedule) Pushed(g *Grant, arrived bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.announce()
	if arrived {
		s.upload(g)
	}
	if !g.uploaded {
		s.pushes.settle(g.Upload)
	}
	if s.disk.store == image.ClassicStore {
		s.pulls.settle(g.Bring)
	}
	s.leave(g)
	s.end(g)
}

// leave records that the item itself is no longer in the engine.
func (s *Schedule) leave(g *Grant) {
	s.leaveTrials(g)
	s.ahead--
	s.disk.leave(g.local)
}

// Rest returns what is left when the workers have ended: items that were not started, items that were pulled but not
// pushed, and the references that the engine holds for others. Lists that Unoffered returns are not among them.
func (s *Schedule) Rest() (unstarted, unpushed []*Grant, kept []HeldRef) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Concat(s.toPull, s.postponed, s.followers.unoffered(false)), s.toPush, s.kept
}
