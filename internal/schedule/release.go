package schedule

import (
	"slices"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

// unwant records that the item needs none of the blobs kept for later items. It returns what no item needs.
func (s *Schedule) unwant(g *Grant) []HeldRef {
	if g.wants {
		g.wants = false
		plan.Count(s.wanted, g.Blobs, -1)
	}
	return s.release()
}

// release removes and returns the kept references whose blobs are either not wanted, or held by another reference.
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

// drop is called for each reference that is returned for release. Its blobs stay on the disk until then.
func (s *Schedule) drop(h HeldRef) {
	plan.Count(s.pulls.there, h.Blobs, -1)
	s.releasing++
}

// Released records that the engine no longer holds references that the schedule has returned for release.
func (s *Schedule) Released(holds []HeldRef) {
	if len(holds) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.announce()
	for _, h := range holds {
		s.disk.leave(h.Blobs)
	}
	s.releasing -= len(holds)
}
