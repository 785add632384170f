package schedule

import (
	"slices"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

// followers are the items that refer to others, and wait for them: the target may refuse a manifest whose subject it does
// not have.
type followers struct {
	all     []*Grant
	of      map[*plan.Item][]*Grant // by item that is waited for
	waiting int                     // followers that may still be offered
}

// newFollowers finds the followers among the grants.
func newFollowers(grants []*Grant) followers {
	f := followers{of: map[*plan.Item][]*Grant{}}
	among := make(map[*plan.Item]bool, len(grants))
	for _, g := range grants {
		among[g.Item] = true
	}
	for _, g := range grants {
		for _, before := range g.After {
			if among[before] {
				f.of[before] = append(f.of[before], g)
				g.awaited++
			}
		}
		if g.follows = g.awaited > 0; g.follows {
			f.all = append(f.all, g)
		}
	}
	f.waiting = len(f.all)
	return f
}

// Arrived records that what refers to the item can follow, because one of the item's tags is at the target. It is called
// before the item ends.
func (s *Schedule) Arrived(g *Grant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.there = true
}

// end records that the item has ended, and lets others follow.
func (s *Schedule) end(g *Grant) {
	s.letFollow(g)
	s.open--
	s.breakCircles()
}

// letFollow offers what refers to an item that is at the target, and images that have nothing left to wait for. A list of
// referrers is never offered if its subject is not at the target, and what waits for the list goes on without it.
func (s *Schedule) letFollow(g *Grant) {
	for _, later := range s.followers.of[g.Item] {
		later.awaited--
		switch {
		case later.offered:
		case g.there || later.awaited == 0 && later.List == nil:
			s.offer(later)
		case later.awaited == 0:
			s.followers.waiting--
			s.letFollow(later)
		}
	}
}

// offer adds an item to those to be copied, ahead of what has not waited: items are copied soon after those that they refer
// to.
func (s *Schedule) offer(g *Grant) {
	g.offered = true
	s.followers.waiting--
	s.open++
	s.toCheck = append(s.toCheck, g)
	s.enterTrials(g)
	at := slices.IndexFunc(s.toPull, func(other *Grant) bool { return !other.follows })
	if at < 0 {
		at = len(s.toPull)
	}
	s.toPull = slices.Insert(s.toPull, at, g)
}

// breakCircles offers images that wait for each other, once everything else has ended.
func (s *Schedule) breakCircles() {
	if s.open > 0 || s.followers.waiting == 0 {
		return
	}
	for _, g := range s.followers.unoffered(false) {
		s.offer(g)
	}
}

// unoffered returns the lists of referrers that have not been offered, or else the images.
func (f followers) unoffered(lists bool) []*Grant {
	var found []*Grant
	for _, g := range f.all {
		if !g.offered && (g.List != nil) == lists {
			found = append(found, g)
		}
	}
	return found
}

// Unoffered returns the lists of referrers that have not been offered, because their subject is not at the target.
func (s *Schedule) Unoffered() []*plan.Item {
	s.mu.Lock()
	defer s.mu.Unlock()
	var items []*plan.Item
	for _, g := range s.followers.unoffered(true) {
		items = append(items, g.Item)
	}
	return items
}
