package docker

import (
	"github.com/opencontainers/go-digest"
)

// Cut says when a pull is cut off.
type Cut struct {
	Layers  []digest.Digest // that the engine has to have by then
	Unpack  []digest.Digest // that it has to have unpacked by then, too
	Arrived func()          // is called when the engine has the layers; nil: nothing is
}

// Arrivals are the layers that a Cut waits for.
type Arrivals struct {
	cut              Cut
	coming, unpacked map[string]bool // that have not arrived, and that have not been unpacked, by the engine's names for them
}

// NewArrivals returns the Arrivals of a cut at the beginning of its pull. name returns the engine's name for a layer.
func NewArrivals(cut Cut, name func(digest.Digest) string) *Arrivals {
	named := func(layers []digest.Digest) map[string]bool {
		names := map[string]bool{}
		for _, layer := range layers {
			names[name(layer)] = true
		}
		return names
	}
	return &Arrivals{cut, named(cut.Layers), named(cut.Unpack)}
}

// arrivedStatuses are the statuses of a layer that the engine has completely, and whether it has unpacked it.
var arrivedStatuses = map[string]bool{"Already exists": false, "Download complete": false, "Extracting": false, "Pull complete": true}

// See takes a message of the pull, and reports whether the pull is to be cut off.
func (a *Arrivals) See(m Message) bool {
	unpacked, arrived := arrivedStatuses[m.Status]
	if arrived {
		delete(a.coming, m.ID)
	}
	if unpacked {
		delete(a.unpacked, m.ID)
	}
	if a.Complete() && a.cut.Arrived != nil {
		a.cut.Arrived()
		a.cut.Arrived = nil
	}
	return a.Complete() && len(a.unpacked) == 0
}

// Complete reports whether the engine has the layers.
func (a *Arrivals) Complete() bool { return len(a.coming) == 0 }
