package transfer

import (
	"context"
	"sync"
	"time"
)

// references counts the users of each reference that the engine holds. Images share children: what one copy no longer
// needs, another may.
type references struct {
	engine  remover
	cleanup Cleanup
	mu      sync.Mutex
	entries map[string]*heldReference
	cut     []string // whose pull was interrupted by the end of the run
}

// remover removes references from the engine.
type remover interface {
	Remove(ctx context.Context, ref string) error
}

type heldReference struct {
	users int // guarded by references.mu

	mu     sync.Mutex // held while the engine works on the reference
	pulled bool
}

func newReferences(engine remover, cleanup Cleanup) *references {
	return &references{engine: engine, cleanup: cleanup, entries: map[string]*heldReference{}}
}

// pull calls fetch unless the engine holds the reference already. It makes the caller a user of the reference, even if fetch
// fails.
func (r *references) pull(ref string, fetch func() error) error {
	entry := r.acquire(ref)
	entry.mu.Lock()
	defer entry.mu.Unlock()
	if entry.pulled {
		return nil
	}
	err := fetch()
	entry.pulled = err == nil
	return err
}

// adopt makes the caller a user of a reference that gets into the engine by other means than a pull.
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

// release ends the caller's use of a reference, and removes the reference from the engine after its last user. It does so
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
	ctx, cancel := r.cleanup.context(ctx)
	defer cancel()
	err := r.engine.Remove(ctx, ref)
	r.forget(ref, entry, cutOff)
	return err
}

// endCut removes what interrupted pulls may have brought in the meantime. It waits once for all of them.
func (r *references) endCut(ctx context.Context) {
	r.mu.Lock()
	refs := r.cut
	r.cut = nil
	r.mu.Unlock()
	if len(refs) == 0 {
		return
	}
	ctx, cancel := r.cleanup.context(ctx)
	defer cancel()
	time.Sleep(registrationDelay)
	for _, ref := range refs {
		_ = r.engine.Remove(ctx, ref) // what is left does no harm
	}
}

// registrationDelay is how long after a call was interrupted the classic engine may still register an image.
const registrationDelay = time.Second

// leave removes a user, and reports whether it was the last.
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
