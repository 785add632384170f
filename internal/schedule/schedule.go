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

// Schedule deals out images to the workers that ask the target, that pull and that push, and decides what stays in the
// engine for images to come. Two pulls that race for a blob do its work twice, and two pushes upload it twice: so the
// first image that brings a blob goes ahead, and those that share it follow when it is there.
type Schedule struct {
	mu      sync.Mutex
	changed *sync.Cond

	toCheck        []*Grant // the target has not been asked yet for their tags
	toPull, toPush []*Grant
	postponed      []*Grant // to be pulled alone, in the end: the engine's disk was full
	pulls, pushes  claims
	delivered      map[string]map[plan.BlobID]bool // by target repository: the blobs that it has
	wanted         []int32                         // by blob: images still to be pulled that consist of it
	needed         []int32                         // by blob: images being pulled that consist of it
	kept           []HeldRef
	disk           Disk
	ahead, limit   int  // images pulled and not yet pushed, and how many there may be
	open           int  // images that may still come to be pushed
	stopped        bool // no further pull is begun
	sweeping       bool // one who makes room has the engine swept
	unsweepable    bool // that has failed since a pull last ended
}

// New deals out the items in their order. limit bounds how far pulls may run ahead of pushes.
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
		toCheck: slices.Clone(grants), toPull: slices.Clone(grants), pulls: newClaims(n), pushes: newClaims(n),
		wanted: make([]int32, n), needed: make([]int32, n), disk: space, limit: limit, open: len(grants),
		delivered: map[string]map[plan.BlobID]bool{},
	}
	s.changed = sync.NewCond(&s.mu)
	for _, g := range grants {
		g.wants = true
		plan.Count(s.wanted, g.Blobs, 1)
	}
	return s
}

// NextCheck returns the next image for whose tags the target is to be asked, or nil.
func (s *Schedule) NextCheck(ctx context.Context) *Grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.toCheck) == 0 || s.stopped || ctx.Err() != nil {
		return nil
	}
	g := s.toCheck[0]
	s.toCheck = s.toCheck[1:]
	return g
}

// Answered says what the target has of the item: one of its tags, and whether tags are left to copy. It returns what need
// not be kept in the engine any more.
func (s *Schedule) Answered(g *Grant, present, pending bool) []HeldRef {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.changed.Broadcast()
	g.checked = true
	if present {
		s.deliver(g)
	}
	if pending {
		return nil
	}
	if i := slices.Index(s.toPull, g); i >= 0 {
		s.toPull = slices.Delete(s.toPull, i, i+1)
	}
	s.open--
	return s.unwant(g)
}

// deliver says that the target repository has all of the image's blobs. An engine with the containerd store pushes an
// image of which the repository has a blob without having that blob itself.
func (s *Schedule) deliver(g *Grant) {
	if s.disk.store == image.ClassicStore {
		return
	}
	blobs := s.delivered[g.Target]
	if blobs == nil {
		blobs = map[plan.BlobID]bool{}
		s.delivered[g.Target] = blobs
	}
	for _, id := range g.Blobs {
		blobs[id] = true
	}
}

// required are the blobs that the engine must have to push the image.
func (s *Schedule) required(g *Grant) []plan.BlobID {
	delivered := s.delivered[g.Target]
	if len(delivered) == 0 {
		return g.Blobs
	}
	var required []plan.BlobID
	for _, id := range g.Blobs {
		if !delivered[id] {
			required = append(required, id)
		}
	}
	return required
}

// NextPull waits for an image that can be pulled without racing for a blob, and for which there is room or can be made,
// and claims what it brings. It returns false when there is no image to come, or the context has ended. Where it
// returns no image, room has to be made first.
func (s *Schedule) NextPull(ctx context.Context) (g *Grant, r Room, more bool) {
	defer context.AfterFunc(ctx, s.wake)()
	s.mu.Lock()
	defer s.mu.Unlock()
	for ctx.Err() == nil && !s.stopped && len(s.toPull)+len(s.postponed) > 0 {
		if s.ahead < s.limit {
			g, r = s.takePull()
		}
		if g != nil {
			s.beginPull(g)
		}
		if g != nil || r.Sweep {
			return g, r, true
		}
		s.changed.Wait()
	}
	return nil, Room{}, false
}

// takePull takes the first image that fits as things are, or else the first for which room can be made. An image that
// is too large for the budget goes when nothing else is under way. An image waits until it is known which of the
// repository's older images are at the target: it may need little besides them.
func (s *Schedule) takePull() (*Grant, Room) {
	crowded := -1
	var unchecked *Grant
	for i, g := range s.toPull {
		if !g.checked {
			unchecked = g
		}
		if unchecked != nil && unchecked.Target == g.Target {
			continue
		}
		required := s.required(g)
		if !s.pulls.free(required) {
			continue
		}
		if s.disk.fits(s.disk.Need(required)) {
			s.toPull = slices.Delete(s.toPull, i, i+1)
			return g, Room{}
		}
		if crowded < 0 {
			crowded = i
		}
	}
	if crowded < 0 {
		return s.takePostponed()
	}
	if s.sweeping {
		return nil, Room{}
	}
	if len(s.disk.pinned) > 0 && !s.unsweepable {
		s.sweeping = true
		return nil, Room{Sweep: true}
	}
	g := s.toPull[crowded]
	evicted, enough := s.makeRoom(g)
	if !enough && s.ahead > 0 {
		return nil, Room{}
	}
	s.evict(evicted)
	s.toPull = slices.Delete(s.toPull, crowded, crowded+1)
	return g, Room{Evicted: evicted}
}

// takePostponed takes an image that found the disk full, when it has the engine for itself.
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

// Swept says that the engine has been swept, or could not be because of what was under way.
func (s *Schedule) Swept(done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.changed.Broadcast()
	s.sweeping, s.unsweepable = false, !done
	if done {
		s.disk.sweep()
	}
}

func (s *Schedule) beginPull(g *Grant) {
	s.ahead++
	required := s.required(g)
	g.Bring = s.pulls.absent(required)
	g.Spare = slices.DeleteFunc(s.pulls.absent(g.Blobs), func(id plan.BlobID) bool { return slices.Contains(required, id) })
	g.local = slices.DeleteFunc(slices.Clone(g.Blobs), func(id plan.BlobID) bool { return slices.Contains(g.Spare, id) })
	g.Keep = slices.DeleteFunc(slices.Clone(g.Bring), func(id plan.BlobID) bool { return s.wanted[id] < 2 })
	s.pulls.claim(g.Bring)
	plan.Count(s.needed, g.local, 1)
	s.disk.use(g.local)
}

// endPull gives back what the pull of the image has needed. The engine keeps the blobs that came by pulls which were cut
// off until it is swept.
func (s *Schedule) endPull(g *Grant, cut []plan.BlobID) {
	s.disk.pin(cut)
	s.unsweepable = false
	plan.Count(s.needed, g.local, -1)
}

// Stop says that no further pull is begun, though the context goes on: what has been pulled is still to be pushed.
func (s *Schedule) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.changed.Broadcast()
}

// toCome reports whether there may still be something to push.
func (s *Schedule) toCome() bool { return s.open > 0 && (s.ahead > 0 || !s.stopped) }

// NextPush waits for an image that can be pushed without racing for a blob, and claims what it brings. It returns nil
// when there is none to come, or the context has ended.
func (s *Schedule) NextPush(ctx context.Context) *Grant {
	defer context.AfterFunc(ctx, s.wake)()
	s.mu.Lock()
	defer s.mu.Unlock()
	for ctx.Err() == nil && s.toCome() {
		i := slices.IndexFunc(s.toPush, func(g *Grant) bool { return s.pushes.free(s.required(g)) })
		if i >= 0 {
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
	s.changed.Broadcast()
}

// Pulled says that the image is in the engine, to be pushed, and hands over what holds its blobs there. It returns
// what need not be kept.
//
// The classic store notes the registries that have a layer in a file, which it reads, changes and writes without a lock
// (moby v20.10, distribution/metadata/v2_metadata_service.go): the pull of an image that shares a layer can undo what
// the push of the layer notes, and the next push uploads it again. There nobody pulls it until it has been pushed.
func (s *Schedule) Pulled(g *Grant, holds []HeldRef, cut []plan.BlobID) []HeldRef {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.changed.Broadcast()
	s.endPull(g, cut)
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

// Dropped says that the image could not be pulled, and returns what need not be kept for it any more.
func (s *Schedule) Dropped(g *Grant, cut []plan.BlobID) []HeldRef {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.changed.Broadcast()
	s.leave(g)
	s.endPull(g, cut)
	s.pulls.settle(g.Bring)
	s.open--
	return s.unwant(g)
}

// Postpone says that the engine's disk was full when the image was pulled. It is to be pulled once more, alone, and
// from now on less is kept. What it returns has to leave the engine.
func (s *Schedule) Postpone(g *Grant, cut []plan.BlobID) []HeldRef {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.changed.Broadcast()
	s.disk.budget = min(s.disk.budget, s.disk.used/10*9)
	s.leave(g)
	s.endPull(g, cut)
	s.pulls.settle(g.Bring)
	g.Alone = true
	s.postponed = append(s.postponed, g)
	return s.unwant(g)
}

// Pushed says that the push of the image has ended, with its blobs at the target or not.
func (s *Schedule) Pushed(g *Grant, arrived bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.changed.Broadcast()
	s.pushes.settle(g.Upload)
	if s.disk.store == image.ClassicStore {
		s.pulls.settle(g.Bring)
	}
	if arrived {
		plan.Count(s.pushes.there, g.Blobs, 1)
		s.deliver(g)
	}
	s.leave(g)
	s.open--
}

// leave says that the image itself is not in the engine any more.
func (s *Schedule) leave(g *Grant) {
	s.ahead--
	s.disk.leave(g.local)
}

// unwant says that the image needs nothing any more of what is kept for images to come, and returns what nobody needs.
func (s *Schedule) unwant(g *Grant) []HeldRef {
	if g.wants {
		g.wants = false
		plan.Count(s.wanted, g.Blobs, -1)
	}
	return s.release()
}

// release takes out of what is kept each reference whose blobs are either not wanted, or held by another.
func (s *Schedule) release() []HeldRef {
	var released []HeldRef
	s.kept = slices.DeleteFunc(s.kept, func(h HeldRef) bool {
		if slices.ContainsFunc(h.Blobs, s.lastHolder) {
			return false
		}
		s.drop(h)
		released = append(released, h)
		return true
	})
	return released
}

func (s *Schedule) lastHolder(id plan.BlobID) bool {
	return s.pulls.there[id] == 1 && s.wanted[id] > 0
}

func (s *Schedule) drop(h HeldRef) {
	plan.Count(s.pulls.there, h.Blobs, -1)
	s.disk.leave(h.Blobs)
}

// Rest returns all that is left when the workers have gone: images that were not started, images that were pulled and
// not pushed, and what is in the engine for others.
func (s *Schedule) Rest() (unstarted, unpushed []*Grant, kept []HeldRef) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(s.toPull, s.postponed...), s.toPush, s.kept
}
