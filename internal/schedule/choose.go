package schedule

import (
	"slices"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

// reach is how many items, from the first on, are considered if none of the window can be pulled.
const reach = 1000

// choose returns the indexes in toPull of the item to be pulled next, among those that fit on the disk, and of the first that
// does not fit; -1: there is none. An item waits until the target has been asked for the older items of its repository: it
// may need only a few blobs that they do not have.
func (s *Schedule) choose() (fitting, crowded int) {
	fitting, crowded = -1, -1
	var unchecked *Grant
	buffer := make([]plan.BlobID, 0, 64)
	most, end := int64(-1), 0
	for i, g := range s.toPull[:min(len(s.toPull), reach)] {
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
		absent := s.brings(g, buffer)
		switch {
		case absent == nil:
		case !s.disk.fits(s.disk.Need(absent)):
			if crowded < 0 {
				crowded = i
			}
		case g.follows:
			return i, crowded
		default:
			if weight := plan.Weight(s.awaited(absent), len(g.Image.Tags)); weight > most {
				fitting, most = i, weight
			}
		}
	}
	return fitting, crowded
}

// brings returns the blobs that pulling the item brings, in the buffer if that is large enough. It returns nil if somebody else
// brings some of them, or too much is being pulled.
func (s *Schedule) brings(g *Grant, buffer []plan.BlobID) []plan.BlobID {
	required := s.required(g)
	if !s.pulls.free(required) {
		return nil
	}
	absent := s.pulls.appendAbsent(buffer[:0], required)
	if !s.inFlight.admits(s.disk.catalog.Bytes(absent)) {
		return nil
	}
	return absent
}

// worthUnpacking returns those of the large blobs that the item brings on which others of the next have large layers of their
// own. Such an item is pulled as an image, and while its layers arrive, the engine unpacks what is below them, again for each,
// unless that is unpacked already.
func (s *Schedule) worthUnpacking(g *Grant) (worth []plan.BlobID) {
	if s.halfFull() {
		return nil
	}
	for _, next := range s.toPull[:min(len(s.toPull), s.window())] {
		if !slices.ContainsFunc(s.required(next), func(id plan.BlobID) bool {
			return s.disk.isLarge(id) && s.pulls.there[id] == 0 && !slices.Contains(g.Bring, id)
		}) {
			continue
		}
		for _, id := range g.Bring {
			if s.disk.isLarge(id) && slices.Contains(next.Blobs, id) && !slices.Contains(worth, id) {
				worth = append(worth, id)
			}
		}
	}
	return worth
}

// window is how many items, from the first on, the next one is chosen from. What items share stays on the disk until the last
// of them has been pulled, so the window is small, and when half of the disk is used, items are pulled in their order.
func (s *Schedule) window() int {
	if s.halfFull() {
		return 1
	}
	return 2 * s.limit
}

// halfFull reports whether more than half of the disk is used.
func (s *Schedule) halfFull() bool { return s.disk.used > s.disk.budget/2 }

// awaited returns the bytes that other items wait for, once for each of them, among the blobs that pulling an item brings. On
// a slow network, what many wait for must not share the link with what nobody waits for.
func (s *Schedule) awaited(brings []plan.BlobID) (bytes int64) {
	for _, id := range brings {
		bytes += s.disk.catalog.Size(id) * int64(s.wanted[id]-1)
	}
	return bytes
}

// choosePush returns the index in toPush of the item to be pushed next, or -1 if there is none. The one with the most tags
// takes longest, so it goes first.
func (s *Schedule) choosePush() int {
	chosen, most := -1, -1
	for i, g := range s.toPush {
		if tags := len(g.Image.Tags); tags > most && s.pushes.free(s.required(g)) {
			chosen, most = i, tags
		}
	}
	return chosen
}
