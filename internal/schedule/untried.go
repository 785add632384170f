package schedule

import "time"

// maxUntried is how many items are pulled but not yet pushed until the first push has arrived: if the target
// accepts nothing, little has been pulled in vain.
const maxUntried = 4

// headStart is how long the first pull has the network to itself. Of pulls that share a slow link, all would end late,
// and nothing would be pushed meanwhile.
const headStart = 5 * time.Second

// Untried limits how far pulls run ahead of pushes, until the target has accepted a first push, and gives the first pull a
// head start. It is called before the first NextPull.
func (s *Schedule) Untried() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.untried, s.unled = true, true
}

// allowed is how many items may be pulled but not yet pushed.
func (s *Schedule) allowed() int {
	switch {
	case s.leading != nil:
		return 0
	case s.untried:
		return min(s.limit, maxUntried)
	}
	return s.limit
}

// lead begins the head start if the pull that begins is the first.
func (s *Schedule) lead() {
	if s.unled {
		s.unled = false
		s.leading = time.AfterFunc(headStart, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			defer s.changed.Broadcast()
			s.leading = nil
		})
	}
}

// follow ends the head start.
func (s *Schedule) follow() {
	if s.leading != nil {
		s.leading.Stop()
		s.leading = nil
	}
}
