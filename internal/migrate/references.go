package migrate

import (
	"context"
	"sync"
	"time"
)

// references keeps count of who uses which reference of the engine: images share children, and what one copy has
// done with another may still need.
type references struct {
	fetch   func(ctx context.Context, ref string) error // has the engine pull a reference
	remove  func(ctx context.Context, ref string) error // takes it away again
	mu      sync.Mutex
	entries map[string]*heldReference
	cut     []string // whose pull the end of the run has cut off
}

type heldReference struct {
	users int // guarded by references.mu

	mu     sync.Mutex // held while the engine works on the reference
	pulled bool
}

func newReferences(fetch, remove func(ctx context.Context, ref string) error) *references {
	return &references{fetch: fetch, remove: remove, entries: map[string]*heldReference{}}
}

// pull makes sure that the engine has the reference, and counts the caller among its users whether it fails or not.
func (r *references) pull(ctx context.Context, ref string) error {
	entry := r.acquire(ref)
	entry.mu.Lock()
	defer entry.mu.Unlock()
	if entry.pulled {
		return nil
	}
	err := r.fetch(ctx, ref)
	entry.pulled = err == nil
	return err
}

// adopt counts the caller as the user of a reference that comes into the engine by other means than a pull.
func (r *references) adopt(ref string) {
	entry := r.acquire(ref)
	entry.mu.Lock()
	defer entry.mu.Unlock()
	entry.pulled = true
}

func (r *references) acquire(ref string) *heldReference {
	r.mu.Lock()
	defer r.mu.Unlock()
	entry := r.entries[ref]
	if entry == nil {
		entry = &heldReference{}
		r.entries[ref] = entry
	}
	entry.users++
	return entry
}

// release gives one use back, and removes the reference from the engine with its last user. It does so
// after an interruption, too.
func (r *references) release(ctx context.Context, ref string) error {
	r.mu.Lock()
	entry := r.entries[ref]
	r.mu.Unlock()

	entry.mu.Lock()
	defer entry.mu.Unlock()
	if !r.leave(entry) {
		return nil
	}
	cutOff := !entry.pulled && ctx.Err() != nil
	entry.pulled = false
	ctx, cancel := afterwards(ctx)
	defer cancel()
	err := r.remove(ctx, ref)
	r.forget(ref, entry, cutOff)
	return err
}

// endCut removes once more what pulls that were cut off may have brought since. It waits once for all of them.
func (r *references) endCut(ctx context.Context) {
	r.mu.Lock()
	refs := r.cut
	r.cut = nil
	r.mu.Unlock()
	if len(refs) == 0 {
		return
	}
	ctx, cancel := afterwards(ctx)
	defer cancel()
	time.Sleep(registrationDelay)
	for _, ref := range refs {
		_ = r.remove(ctx, ref) // what is left does no harm
	}
}

// registrationDelay is how long after a call was cut off the classic engine may still register an image.
const registrationDelay = time.Second

// leave reports whether the user who left was the last.
func (r *references) leave(entry *heldReference) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	entry.users--
	return entry.users == 0
}

func (r *references) forget(ref string, entry *heldReference, cutOff bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if cutOff {
		r.cut = append(r.cut, ref)
	}
	if entry.users == 0 {
		delete(r.entries, ref)
	}
}
