package schedule

import (
	"cmp"
	"slices"
)

// candidate is a reference that is held for later items and could be released.
type candidate struct {
	HeldRef
	freed int64 // bytes that releasing it frees
	again int64 // bytes that would have to be pulled again
	users int32 // later items that need them
}

// makeRoom chooses references to release until the item fits: those first that are cheapest to pull again for the room that
// they free. It reports whether that is enough.
func (s *Schedule) makeRoom(g *Grant) (evicted []HeldRef, enough bool) {
	candidates := s.candidates(g)
	slices.SortStableFunc(candidates, func(a, b candidate) int {
		return cmp.Or(
			cmp.Compare(float64(a.again)/float64(a.freed), float64(b.again)/float64(b.freed)),
			cmp.Compare(a.users, b.users),
		)
	})
	need := s.disk.Need(s.required(g))
	for _, c := range candidates {
		if s.disk.fits(need) {
			break
		}
		need -= c.freed
		evicted = append(evicted, c.HeldRef)
	}
	return evicted, s.disk.fits(need)
}

// candidates returns the references whose release frees something, and that no item being pulled needs. What the item itself
// would have to bring again is not freed: a reference to a large layer may be kept for the sake of a small config alone.
func (s *Schedule) candidates(g *Grant) []candidate {
	var found []candidate
	for _, h := range s.kept {
		c := candidate{HeldRef: h}
		busy := false
		for _, id := range h.Blobs {
			sole := s.pulls.there[id] == 1
			busy = busy || sole && s.needed[id] > 0
			if sole && s.disk.users[id] == 1 {
				c.freed += s.disk.cost(id)
			}
			if sole && slices.Contains(g.Blobs, id) {
				c.freed -= s.disk.added(id)
			}
			if sole && s.wanted[id] > 0 {
				c.again += s.disk.catalog.Size(id)
				c.users += s.wanted[id]
			}
		}
		if !busy && c.freed > 0 {
			found = append(found, c)
		}
	}
	return found
}

// evict removes the references from those that are kept.
func (s *Schedule) evict(evicted []HeldRef) {
	for _, h := range evicted {
		s.drop(h)
	}
	s.kept = slices.DeleteFunc(s.kept, func(h HeldRef) bool {
		return slices.ContainsFunc(evicted, func(e HeldRef) bool { return e.Ref == h.Ref })
	})
}
