package schedule

// maxUntried is how many items are pulled but not yet pushed until the first push has arrived: where the target takes
// nothing, little has been pulled from the source for it.
const maxUntried = 4

// Untried says that the target has taken nothing yet: until it has, few pulls run ahead of the pushes. It is called
// before the first NextPull.
func (s *Schedule) Untried() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.untried = true
}

// allowed is how many items may be pulled but not yet pushed.
func (s *Schedule) allowed() int {
	if s.untried {
		return min(s.limit, maxUntried)
	}
	return s.limit
}
