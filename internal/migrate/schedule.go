package migrate

import (
	"context"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
)

// schedule deals out images to the workers that pull and to those that push, and keeps in the engine what images to
// come will need. Two pulls that race for a layer do its work twice, and two pushes upload it twice: so the first
// image that brings a layer goes ahead, and those that share it follow when it is there.
type schedule struct {
	mu      sync.Mutex
	changed *sync.Cond

	toPull, toPush []*task
	pulls, pushes  claims
	wanted         map[digest.Digest]int // images still to be pulled that need the layer
	held           map[digest.Digest]int // pushed images kept in the engine that hold the layer
	kept           []*task
	ahead, limit   int // images pulled and not yet pushed, and how many there may be
	open           int // images that may still come to be pushed
}

// claims are the layers that somebody is bringing to one place, and those that are there.
type claims struct {
	moving map[digest.Digest]bool
	there  map[digest.Digest]bool
}

func newClaims() claims {
	return claims{moving: map[digest.Digest]bool{}, there: map[digest.Digest]bool{}}
}

// free reports whether nobody is bringing any of the layers.
func (c claims) free(layers []digest.Digest) bool {
	return !slices.ContainsFunc(layers, func(d digest.Digest) bool { return c.moving[d] })
}

// claim takes those of the layers that are not there yet.
func (c claims) claim(layers []digest.Digest) {
	for _, d := range layers {
		if !c.there[d] {
			c.moving[d] = true
		}
	}
}

// settle gives the layers back, which are there now, or are not.
func (c claims) settle(layers []digest.Digest, there bool) {
	for _, d := range layers {
		delete(c.moving, d)
		c.there[d] = c.there[d] || there
	}
}

// newSchedule plans for the tasks in their order. limit bounds how far pulls may run ahead of pushes.
func newSchedule(tasks []*task, limit int) *schedule {
	s := &schedule{
		toPull: slices.Clone(tasks), pulls: newClaims(), pushes: newClaims(),
		wanted: map[digest.Digest]int{}, held: map[digest.Digest]int{},
		limit: limit, open: len(tasks),
	}
	s.changed = sync.NewCond(&s.mu)
	for _, t := range tasks {
		for _, d := range t.layers() {
			s.wanted[d]++
		}
	}
	return s
}

// layers are the blobs of the image, each once, configs included.
func (t *task) layers() []digest.Digest {
	if t.blobs == nil {
		for _, leaf := range t.tree.Leaves() {
			t.blobs = append(t.blobs, leaf.Config.Digest)
			for _, layer := range leaf.Layers {
				t.blobs = append(t.blobs, layer.Digest)
			}
		}
		slices.Sort(t.blobs)
		t.blobs = slices.Compact(t.blobs)
	}
	return t.blobs
}

// nextPull waits for an image that can be pulled without racing for a layer, and claims what it brings. It returns nil
// when there is none to come, or the context has ended.
func (s *schedule) nextPull(ctx context.Context) *task {
	return s.next(ctx, func() (*task, bool) {
		if s.ahead >= s.limit {
			return nil, len(s.toPull) == 0
		}
		t := take(&s.toPull, s.pulls)
		if t != nil {
			s.ahead++
		}
		return t, len(s.toPull) == 0
	})
}

// nextPush waits likewise for an image that can be pushed.
func (s *schedule) nextPush(ctx context.Context) *task {
	return s.next(ctx, func() (*task, bool) {
		return take(&s.toPush, s.pushes), s.open == 0
	})
}

// next waits until find has a task, or says that there is none to come.
func (s *schedule) next(ctx context.Context, find func() (t *task, last bool)) *task {
	defer context.AfterFunc(ctx, s.wake)()
	s.mu.Lock()
	defer s.mu.Unlock()
	for ctx.Err() == nil {
		t, last := find()
		if t != nil || last {
			return t
		}
		s.changed.Wait()
	}
	return nil
}

// take removes the first task whose layers nobody is bringing, and claims them for it.
func take(tasks *[]*task, moving claims) *task {
	i := slices.IndexFunc(*tasks, func(t *task) bool { return moving.free(t.layers()) })
	if i < 0 {
		return nil
	}
	t := (*tasks)[i]
	*tasks = slices.Delete(*tasks, i, i+1)
	moving.claim(t.layers())
	return t
}

func (s *schedule) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
}

// pulled says that the image is in the engine, to be pushed, and returns what need not be kept there any more.
func (s *schedule) pulled(t *task) []*task {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.changed.Broadcast()
	s.pulls.settle(t.layers(), true)
	s.toPush = append(s.toPush, t)
	return s.unwant(t)
}

// dropped says that the image could not be pulled, and returns what need not be kept for it any more.
func (s *schedule) dropped(t *task) []*task {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.changed.Broadcast()
	s.pulls.settle(t.layers(), false)
	s.ahead--
	s.open--
	return s.unwant(t)
}

// pushed says that the push of the image has ended, with its layers at the target or not, and returns the images that
// can be removed from the engine: this one too, unless it holds a layer that an image to come needs.
func (s *schedule) pushed(t *task, arrived bool) []*task {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.changed.Broadcast()
	s.pushes.settle(t.layers(), arrived)
	s.ahead--
	s.open--
	s.kept = append(s.kept, t)
	for _, d := range t.layers() {
		s.held[d]++
	}
	return s.release()
}

func (s *schedule) unwant(t *task) []*task {
	for _, d := range t.layers() {
		s.wanted[d]--
	}
	return s.release()
}

// release takes out of what is kept each image whose layers are either not wanted, or held by another kept image.
func (s *schedule) release() []*task {
	var released []*task
	s.kept = slices.DeleteFunc(s.kept, func(t *task) bool {
		if slices.ContainsFunc(t.layers(), s.lastHolder) {
			return false
		}
		for _, d := range t.layers() {
			s.held[d]--
		}
		released = append(released, t)
		return true
	})
	return released
}

func (s *schedule) lastHolder(d digest.Digest) bool { return s.wanted[d] > 0 && s.held[d] == 1 }

// rest returns all that is left when the workers have gone: images that were not started, images that were pulled and
// not pushed, and images that are in the engine for others.
func (s *schedule) rest() (unstarted, unpushed, kept []*task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.toPull, s.toPush, s.kept
}
