package schedule

import (
	"cmp"
	"slices"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// trial is a media type that the target may refuse and has not answered for. One item at a time tries it, and the others
// that contain it wait: if the target refuses the type, nothing of them is moved.
type trial struct {
	waiting []*Grant // that can be pulled, once their turn comes; those that try at the least cost are first
	trying  *Grant   // nil: none
}

// trialsOf returns the media types of the grants that the target may refuse. The classic store cannot carry any.
func (s *Schedule) trialsOf(grants []*Grant) map[string]*trial {
	trials := map[string]*trial{}
	if s.disk.store == image.ClassicStore {
		return trials
	}
	for _, g := range grants {
		for _, mediaType := range g.Unknown {
			if trials[mediaType] == nil {
				trials[mediaType] = &trial{}
			}
			trials[mediaType].waiting = append(trials[mediaType].waiting, g)
		}
	}
	for _, t := range trials {
		slices.SortStableFunc(t.waiting, byTrialBytes)
	}
	return trials
}

func byTrialBytes(a, b *Grant) int { return cmp.Compare(a.TrialBytes, b.TrialBytes) }

// enterTrials has an item that waited for others wait for its media types, too. Items with equal costs are in the same
// order for all media types: the last one that enters is the first.
func (s *Schedule) enterTrials(g *Grant) {
	for _, mediaType := range g.Unknown {
		if t := s.trials[mediaType]; t != nil {
			at, _ := slices.BinarySearchFunc(t.waiting, g, byTrialBytes)
			t.waiting = slices.Insert(t.waiting, at, g)
		}
	}
}

// Tried records that the target has answered for the media types, whether it takes or refuses them.
func (s *Schedule) Tried(mediaTypes []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, mediaType := range mediaTypes {
		if s.trials[mediaType] != nil {
			delete(s.trials, mediaType)
			s.announce()
		}
	}
}

// holdsBack reports whether the item has to wait because another one tries one of its media types, or is to try it first.
// All media types have their items in the same order, so that the first of all waiting items is the first for each of its
// types, and no two items wait for each other.
func (s *Schedule) holdsBack(g *Grant) bool {
	return slices.ContainsFunc(g.Unknown, func(mediaType string) bool {
		t := s.trials[mediaType]
		return t != nil && (t.trying != nil || len(t.waiting) > 0 && t.waiting[0] != g)
	})
}

// beginTrials has the item try those of its media types that no other item is trying.
func (s *Schedule) beginTrials(g *Grant) {
	s.leaveTrials(g)
	for _, mediaType := range g.Unknown {
		if t := s.trials[mediaType]; t != nil && t.trying == nil {
			t.trying = g
		}
	}
}

// leaveTrials records that the item neither tries its media types nor waits for them. The next one may try those for which
// there is no answer.
func (s *Schedule) leaveTrials(g *Grant) {
	for _, mediaType := range g.Unknown {
		t := s.trials[mediaType]
		if t == nil {
			continue
		}
		if t.trying == g {
			t.trying = nil
		}
		if i := slices.Index(t.waiting, g); i >= 0 {
			t.waiting = slices.Delete(t.waiting, i, i+1)
		}
	}
}

// taken records that the target has the item, and so has taken its media types.
func (s *Schedule) taken(g *Grant) {
	for _, mediaType := range g.Unknown {
		delete(s.trials, mediaType)
	}
}
