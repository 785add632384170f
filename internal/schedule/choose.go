package schedule

import (
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

// choose returns the indexes in toPull of the item to be pulled next, among those that fit on the disk, and of the first that
// does not fit; -1: there is none. An item waits until the target has been asked for the older items of its repository: it
// may need only a few blobs that they do not have.
func (s *Schedule) choose() (fitting, crowded int) {
	fitting, crowded = -1, -1
	var unchecked *Grant
	most, end := int64(-1), 0
	for i, g := range s.toPull {
		switch {
		case g.follows:
		case end == 0:
			end = g.at + s.window()
		case fitting >= 0 && g.at >= end:
			return fitting, crowded
		}
		if !g.checked && !g.follows {
			unchecked = g
		}
		if !g.checked || unchecked != nil && unchecked.Target == g.Target || s.holdsBack(g) {
			continue
		}
		required := s.required(g)
		switch {
		case !s.pulls.free(required):
		case !s.inFlight.admits(s.bytes(s.pulls.absent(required))):
		case !s.disk.fits(s.disk.Need(required)):
			if crowded < 0 {
				crowded = i
			}
		case g.follows:
			return i, crowded
		default:
			if bytes := s.awaited(required); bytes > most {
				fitting, most = i, bytes
			}
		}
	}
	return fitting, crowded
}

// window is how many items, from the first on, the next one is chosen from. What items share stays on the disk until the last
// of them has been pulled, so the window is small, and when half of the disk is used, items are pulled in their order.
func (s *Schedule) window() int {
	if s.disk.used > s.disk.budget/2 {
		return 1
	}
	return 2 * s.limit
}

// awaited returns the bytes that other items wait for, once for each of them, among the blobs that pulling an item brings. On
// a slow network, what many wait for must not share the link with what nobody waits for.
func (s *Schedule) awaited(required []plan.BlobID) (bytes int64) {
	for _, id := range s.pulls.absent(required) {
		bytes += s.disk.catalog.Size(id) * int64(s.wanted[id]-1)
	}
	return bytes
}
