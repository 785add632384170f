package schedule

// maxUntried is how many items are pulled but not yet pushed until the first push has arrived: if the target
// accepts nothing, little has been pulled in vain.
const maxUntried = 4

// Untried limits how far pulls run ahead of pushes until the target has accepted a first push. It is called before the first
// NextPull.
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
