package migrate

import (
	"context"
	"slices"
	"sync"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

// schedule deals out images to the workers that ask the target, that pull and that push, and decides what stays in the
// engine for images to come. Two pulls that race for a blob do its work twice, and two pushes upload it twice: so the
// first image that brings a blob goes ahead, and those that share it follow when it is there.
type schedule struct {
	mu      sync.Mutex
	changed *sync.Cond

	toCheck        []*task // the target has not been asked yet for their tags
	toPull, toPush []*task
	starved        []*task // to be pulled alone, in the end: the engine's disk was full
	pulls, pushes  claims
	delivered      map[string]map[plan.BlobID]bool // by target repository: the blobs that it has
	wanted         []int32                         // by blob: images still to be pulled that consist of it
	needed         []int32                         // by blob: images being pulled that consist of it
	kept           []holding
	disk           disk
	ahead, limit   int  // images pulled and not yet pushed, and how many there may be
	open           int  // images that may still come to be pushed
	stopped        bool // no further pull is begun
	sweeping       bool // one who makes room has the engine swept
	unsweepable    bool // that has failed since a pull last ended
}

// holding is a reference in the engine, and the blobs that it keeps there.
type holding struct {
	ref   string
	blobs []plan.BlobID
}

// claims are the blobs that somebody is bringing to one place, and how many hold each of those that are there.
type claims struct {
	moving []bool
	there  []int32
}

func newClaims(blobs int) claims {
	return claims{moving: make([]bool, blobs), there: make([]int32, blobs)}
}

// free reports whether nobody is bringing any of the blobs.
func (c claims) free(blobs []plan.BlobID) bool {
	return !slices.ContainsFunc(blobs, func(id plan.BlobID) bool { return c.moving[id] })
}

// absent returns those of the blobs that are not there.
func (c claims) absent(blobs []plan.BlobID) []plan.BlobID {
	var absent []plan.BlobID
	for _, id := range blobs {
		if c.there[id] == 0 {
			absent = append(absent, id)
		}
	}
	return absent
}

// claim says that somebody is bringing the blobs.
func (c claims) claim(blobs []plan.BlobID) {
	for _, id := range blobs {
		c.moving[id] = true
	}
}

// settle says that nobody is bringing the blobs any more.
func (c claims) settle(blobs []plan.BlobID) {
	for _, id := range blobs {
		c.moving[id] = false
	}
}

// newSchedule plans for the tasks in their order. limit bounds how far pulls may run ahead of pushes.
func newSchedule(tasks []*task, limit int, space disk) *schedule {
	n := space.catalog.Len()
	s := &schedule{
		toCheck: slices.Clone(tasks), toPull: slices.Clone(tasks), pulls: newClaims(n), pushes: newClaims(n),
		wanted: make([]int32, n), needed: make([]int32, n), disk: space, limit: limit, open: len(tasks),
		delivered: map[string]map[plan.BlobID]bool{},
	}
	s.changed = sync.NewCond(&s.mu)
	for _, t := range tasks {
		t.checked, t.wants = false, true
		plan.Count(s.wanted, t.Blobs, 1)
	}
	return s
}

// nextCheck returns the next image for whose tags the target is to be asked, or nil.
func (s *schedule) nextCheck(ctx context.Context) *task {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.toCheck) == 0 || s.stopped || ctx.Err() != nil {
		return nil
	}
	t := s.toCheck[0]
	s.toCheck = s.toCheck[1:]
	return t
}

// checked says that the image has tags to be copied, or none. It returns what need not be kept in the engine any more.
func (s *schedule) checked(t *task) []holding {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.changed.Broadcast()
	t.checked = true
	if len(t.present) > 0 {
		s.deliver(t)
	}
	if len(t.pending) > 0 {
		return nil
	}
	if i := slices.Index(s.toPull, t); i >= 0 {
		s.toPull = slices.Delete(s.toPull, i, i+1)
	}
	s.open--
	return s.unwant(t)
}

// deliver says that the target repository has all of the image's blobs. An engine with the containerd store pushes an
// image of which the repository has a blob without having that blob itself.
func (s *schedule) deliver(t *task) {
	if s.disk.store == image.ClassicStore {
		return
	}
	blobs := s.delivered[t.Target]
	if blobs == nil {
		blobs = map[plan.BlobID]bool{}
		s.delivered[t.Target] = blobs
	}
	for _, id := range t.Blobs {
		blobs[id] = true
	}
}

// required are the blobs that the engine must have to push the image.
func (s *schedule) required(t *task) []plan.BlobID {
	delivered := s.delivered[t.Target]
	if len(delivered) == 0 {
		return t.Blobs
	}
	var required []plan.BlobID
	for _, id := range t.Blobs {
		if !delivered[id] {
			required = append(required, id)
		}
	}
	return required
}

// room is what has to be done before an image is pulled.
type room struct {
	evicted []holding // to leave the engine
	sweep   bool      // the engine is to drop what it keeps of pulls that were cut off
}

// nextPull waits for an image that can be pulled without racing for a blob, and for which there is room or can be made,
// and claims what it brings. It returns false when there is no image to come, or the context has ended. Where it
// returns no image, room has to be made first.
func (s *schedule) nextPull(ctx context.Context) (t *task, r room, more bool) {
	defer context.AfterFunc(ctx, s.wake)()
	s.mu.Lock()
	defer s.mu.Unlock()
	for ctx.Err() == nil && !s.stopped && len(s.toPull)+len(s.starved) > 0 {
		if s.ahead < s.limit {
			t, r = s.takePull()
		}
		if t != nil {
			s.beginPull(t)
		}
		if t != nil || r.sweep {
			return t, r, true
		}
		s.changed.Wait()
	}
	return nil, room{}, false
}

// takePull takes the first image that fits as things are, or else the first for which room can be made. An image that
// is too large for the budget goes when nothing else is under way. An image waits until it is known which of the
// repository's older images are at the target: it may need little besides them.
func (s *schedule) takePull() (*task, room) {
	crowded := -1
	var unchecked *task
	for i, t := range s.toPull {
		if !t.checked {
			unchecked = t
		}
		if unchecked != nil && unchecked.Target == t.Target {
			continue
		}
		required := s.required(t)
		if !s.pulls.free(required) {
			continue
		}
		if s.disk.fits(s.disk.need(required)) {
			s.toPull = slices.Delete(s.toPull, i, i+1)
			return t, room{}
		}
		if crowded < 0 {
			crowded = i
		}
	}
	if crowded < 0 {
		return s.takeStarved()
	}
	if s.sweeping {
		return nil, room{}
	}
	if len(s.disk.pinned) > 0 && !s.unsweepable {
		s.sweeping = true
		return nil, room{sweep: true}
	}
	t := s.toPull[crowded]
	evicted, enough := s.makeRoom(t)
	if !enough && s.ahead > 0 {
		return nil, room{}
	}
	s.evict(evicted)
	s.toPull = slices.Delete(s.toPull, crowded, crowded+1)
	return t, room{evicted: evicted}
}

// takeStarved takes an image that found the disk full, when it has the engine for itself.
func (s *schedule) takeStarved() (*task, room) {
	if len(s.toPull) > 0 || len(s.starved) == 0 || s.ahead > 0 || s.sweeping {
		return nil, room{}
	}
	t, evicted := s.starved[0], slices.Clone(s.kept)
	s.starved = s.starved[1:]
	s.evict(evicted)
	s.sweeping = true
	return t, room{evicted: evicted, sweep: true}
}

// swept says that the engine has been swept, or could not be because of what was under way.
func (s *schedule) swept(done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.changed.Broadcast()
	s.sweeping, s.unsweepable = false, !done
	if done {
		s.disk.sweep()
	}
}

func (s *schedule) beginPull(t *task) {
	s.ahead++
	required := s.required(t)
	t.absent = s.pulls.absent(required)
	t.there = slices.DeleteFunc(s.pulls.absent(t.Blobs), func(id plan.BlobID) bool { return slices.Contains(required, id) })
	t.local = slices.DeleteFunc(slices.Clone(t.Blobs), func(id plan.BlobID) bool { return slices.Contains(t.there, id) })
	t.shared = slices.DeleteFunc(slices.Clone(t.absent), func(id plan.BlobID) bool { return s.wanted[id] < 2 })
	s.pulls.claim(t.absent)
	plan.Count(s.needed, t.local, 1)
	s.disk.use(t.local)
}

// endPull gives back what the pull of the image has needed.
func (s *schedule) endPull(t *task) {
	s.unsweepable = false
	if t.work != nil {
		s.disk.pin(t.work.cut)
		t.work.cut = nil
	}
	plan.Count(s.needed, t.local, -1)
}

// stop says that no further pull is begun, though the context goes on: what has been pulled is still to be pushed.
func (s *schedule) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.changed.Broadcast()
}

// toCome reports whether there may still be something to push.
func (s *schedule) toCome() bool { return s.open > 0 && (s.ahead > 0 || !s.stopped) }

// nextPush waits for an image that can be pushed without racing for a blob, and claims what it brings. It returns nil
// when there is none to come, or the context has ended.
func (s *schedule) nextPush(ctx context.Context) *task {
	defer context.AfterFunc(ctx, s.wake)()
	s.mu.Lock()
	defer s.mu.Unlock()
	for ctx.Err() == nil && s.toCome() {
		i := slices.IndexFunc(s.toPush, func(t *task) bool { return s.pushes.free(s.required(t)) })
		if i >= 0 {
			t := s.toPush[i]
			s.toPush = slices.Delete(s.toPush, i, i+1)
			t.claimed = s.pushes.absent(s.required(t))
			s.pushes.claim(t.claimed)
			return t
		}
		s.changed.Wait()
	}
	return nil
}

func (s *schedule) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
}

// pulled says that the image is in the engine, to be pushed, and hands over what holds its blobs there. It returns
// what need not be kept.
//
// The classic store notes the registries that have a layer in a file, which it reads, changes and writes without a lock
// (moby v20.10, distribution/metadata/v2_metadata_service.go): the pull of an image that shares a layer can undo what
// the push of the layer notes, and the next push uploads it again. There nobody pulls it until it has been pushed.
func (s *schedule) pulled(t *task, holds []holding) []holding {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.changed.Broadcast()
	s.endPull(t)
	if s.disk.store != image.ClassicStore {
		s.pulls.settle(t.absent)
	}
	for _, h := range holds {
		plan.Count(s.pulls.there, h.blobs, 1)
		s.disk.use(h.blobs)
	}
	s.kept = append(s.kept, holds...)
	s.toPush = append(s.toPush, t)
	return s.unwant(t)
}

// dropped says that the image could not be pulled, and returns what need not be kept for it any more.
func (s *schedule) dropped(t *task) []holding {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.changed.Broadcast()
	s.leave(t)
	s.endPull(t)
	s.pulls.settle(t.absent)
	s.open--
	return s.unwant(t)
}

// postpone says that the engine's disk was full when the image was pulled. It is to be pulled once more, alone, and
// from now on less is kept. What it returns has to leave the engine.
func (s *schedule) postpone(t *task) []holding {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.changed.Broadcast()
	s.disk.budget = min(s.disk.budget, s.disk.used/10*9)
	s.leave(t)
	s.endPull(t)
	s.pulls.settle(t.absent)
	t.alone = true
	s.starved = append(s.starved, t)
	return s.unwant(t)
}

// pushed says that the push of the image has ended, with its blobs at the target or not.
func (s *schedule) pushed(t *task, arrived bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.changed.Broadcast()
	s.pushes.settle(t.claimed)
	if s.disk.store == image.ClassicStore {
		s.pulls.settle(t.absent)
	}
	if arrived {
		plan.Count(s.pushes.there, t.Blobs, 1)
		s.deliver(t)
	}
	s.leave(t)
	s.open--
}

// leave says that the image itself is not in the engine any more.
func (s *schedule) leave(t *task) {
	s.ahead--
	s.disk.leave(t.local)
}

// unwant says that the image needs nothing any more of what is kept for images to come, and returns what nobody needs.
func (s *schedule) unwant(t *task) []holding {
	if t.wants {
		t.wants = false
		plan.Count(s.wanted, t.Blobs, -1)
	}
	return s.release()
}

// release takes out of what is kept each reference whose blobs are either not wanted, or held by another.
func (s *schedule) release() []holding {
	var released []holding
	s.kept = slices.DeleteFunc(s.kept, func(h holding) bool {
		if slices.ContainsFunc(h.blobs, s.lastHolder) {
			return false
		}
		s.drop(h)
		released = append(released, h)
		return true
	})
	return released
}

func (s *schedule) lastHolder(id plan.BlobID) bool {
	return s.pulls.there[id] == 1 && s.wanted[id] > 0
}

func (s *schedule) drop(h holding) {
	plan.Count(s.pulls.there, h.blobs, -1)
	s.disk.leave(h.blobs)
}

// rest returns all that is left when the workers have gone: images that were not started, images that were pulled and
// not pushed, and what is in the engine for others.
func (s *schedule) rest() (unstarted, unpushed []*task, kept []holding) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(s.toPull, s.starved...), s.toPush, s.kept
}
