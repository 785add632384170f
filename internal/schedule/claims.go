package schedule

import (
	"slices"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

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
