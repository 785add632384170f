package transfer

import (
	"sync"

	"github.com/opencontainers/go-digest"
)

// answers are what the target has under the pending tags of a copy. Its methods may be called concurrently. The zero value
// has none.
type answers struct {
	mu      sync.Mutex
	digests map[string]digest.Digest // by tag
}

// of returns the digest that the target has under the tag, or "" if it has none.
func (a *answers) of(tag string) digest.Digest {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.digests[tag]
}

func (a *answers) note(tag string, found digest.Digest) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.digests == nil {
		a.digests = map[string]digest.Digest{}
	}
	a.digests[tag] = found
}

func (a *answers) forget(tag string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.digests, tag)
}

func (a *answers) forgetAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.digests)
}
