package schedule

import (
	"slices"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

// claims says, for one place, which blobs are being brought there, and how many references or items hold each blob there.
type claims struct {
	moving []bool
	there  []int32
}

func newClaims(blobs int) claims {
	return claims{moving: make([]bool, blobs), there: make([]int32, blobs)}
}

// free reports whether none of the blobs is being brought.
func (c claims) free(blobs []plan.BlobID) bool {
	return !slices.ContainsFunc(blobs, func(id plan.BlobID) bool { return c.moving[id] })
}

// absent returns the blobs that are not there.
func (c claims) absent(blobs []plan.BlobID) []plan.BlobID { return c.appendAbsent(nil, blobs) }

// appendAbsent appends the blobs that are not there to found.
func (c claims) appendAbsent(found, blobs []plan.BlobID) []plan.BlobID {
	for _, id := range blobs {
		if c.there[id] == 0 {
			found = append(found, id)
		}
	}
	return found
}

// claim marks the blobs as being brought.
func (c claims) claim(blobs []plan.BlobID) {
	for _, id := range blobs {
		c.moving[id] = true
	}
}

// settle marks the blobs as no longer being brought.
func (c claims) settle(blobs []plan.BlobID) {
	for _, id := range blobs {
		c.moving[id] = false
	}
}

// deliver records that the target repository has all blobs of the item. An engine with the containerd store can push an
// image without having the blobs that the repository has.
func (s *Schedule) deliver(g *Grant) {
	s.taken(g)
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

// required returns the blobs that the engine must have to push the item.
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
