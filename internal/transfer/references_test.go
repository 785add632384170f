package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

// removerFunc is a remover.
type removerFunc func(ctx context.Context, ref string) error

func (f removerFunc) Remove(ctx context.Context, ref string) error { return f(ctx, ref) }

// fetchedReferences are references that are all fetched in one way.
type fetchedReferences struct {
	*references
	fetch func(ctx context.Context, ref string) error
}

func referencesOf(fetch, remove func(ctx context.Context, ref string) error) fetchedReferences {
	return fetchedReferences{newReferences(removerFunc(remove), Cleanup{}), fetch}
}

func (r fetchedReferences) pull(ctx context.Context, ref string) error {
	return r.references.pull(ref, func() error { return r.fetch(ctx, ref) })
}

func TestReferencesLastUserRemoves(t *testing.T) {
	var calls []string
	r := referencesOf(
		func(_ context.Context, ref string) error { calls = append(calls, "pull "+ref); return nil },
		func(_ context.Context, ref string) error { calls = append(calls, "remove "+ref); return nil },
	)
	for range 3 {
		testkit.ExpectError(t, r.pull(t.Context(), "a"))
	}
	testkit.ExpectError(t, r.pull(t.Context(), "b"))
	for _, ref := range []string{"a", "a", "b", "a"} {
		testkit.ExpectError(t, r.release(t.Context(), ref))
	}
	want := []string{"pull a", "pull b", "remove b", "remove a"}
	if !slices.Equal(calls, want) {
		t.Errorf("calls %q, want %q", calls, want)
	}
	testkit.ExpectError(t, r.pull(t.Context(), "a"))
	if calls[len(calls)-1] != "pull a" || len(r.entries) != 1 {
		t.Errorf("after its removal a reference is to be pulled anew: %q, %d entries", calls, len(r.entries))
	}
}

func TestReferencesFailedPullIsTriedByTheNextUser(t *testing.T) {
	pulls := 0
	refused := errors.New("connection reset")
	r := referencesOf(
		func(context.Context, string) error {
			if pulls++; pulls == 1 {
				return refused
			}
			return nil
		},
		func(context.Context, string) error { return nil },
	)
	if err := r.pull(t.Context(), "a"); !errors.Is(err, refused) {
		t.Errorf("first: %v", err)
	}
	testkit.ExpectError(t, r.pull(t.Context(), "a"))
	testkit.ExpectError(t, r.pull(t.Context(), "a"))
	if pulls != 2 {
		t.Errorf("%d pulls", pulls)
	}
	for range 3 { // a user whose pull failed is a user, too
		testkit.ExpectError(t, r.release(t.Context(), "a"))
	}
	if len(r.entries) != 0 {
		t.Errorf("%d entries are left", len(r.entries))
	}
}

func TestReferencesRemoveAfterCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	removed := errors.New("the engine's word on the removal")
	r := referencesOf(
		func(context.Context, string) error { cancel(); return ctx.Err() },
		func(ctx context.Context, _ string) error {
			testkit.ExpectError(t, ctx.Err())
			return removed
		},
	)
	if err := r.pull(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("pull: %v", err)
	}
	if err := r.release(ctx, "a"); !errors.Is(err, removed) {
		t.Errorf("release: %v", err)
	}
}

// Whatever the number of pulls that were cut off, the wait for what they may still bring is one.
func TestReferencesWaitOnceForAllThatWasCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		removed := map[string]int{}
		r := referencesOf(
			func(context.Context, string) error { cancel(); return context.Canceled },
			func(_ context.Context, ref string) error { removed[ref]++; return nil },
		)
		began := time.Now()
		for i := range 60 {
			ref := fmt.Sprint(i)
			_ = r.pull(ctx, ref) // it is cut off
			testkit.ExpectError(t, r.release(ctx, ref))
		}
		r.endCut(ctx)
		if took := time.Since(began); took != registrationDelay {
			t.Errorf("took %s", took)
		}
		for ref, n := range removed {
			if n != 2 || len(removed) != 60 {
				t.Errorf("%s of %d was removed %d times", ref, len(removed), n)
			}
		}
	})
}

// Who comes while the last user leaves finds nothing in the engine, and pulls anew.
func TestReferencesUserComesDuringRemoval(t *testing.T) {
	pulls := 0
	var r fetchedReferences
	r = referencesOf(
		func(context.Context, string) error { pulls++; return nil },
		func(_ context.Context, ref string) error { r.acquire(ref); return nil },
	)
	testkit.ExpectError(t, r.pull(t.Context(), "a"))
	testkit.ExpectError(t, r.release(t.Context(), "a"))
	if len(r.entries) != 1 {
		t.Fatal("the newcomer's entry is forgotten")
	}
	testkit.ExpectError(t, r.pull(t.Context(), "a"))
	if pulls != 2 {
		t.Errorf("%d pulls", pulls)
	}
}

// Under the race detector this shows that nobody ever uses what another has removed.
func TestReferencesShared(t *testing.T) {
	var held, overlaps atomic.Int32
	r := referencesOf(
		func(context.Context, string) error { overlaps.Add(held.Swap(1)); return nil },
		func(context.Context, string) error { held.Store(0); return nil },
	)
	var users sync.WaitGroup
	for range 8 {
		users.Go(func() {
			for range 200 {
				if err := r.pull(t.Context(), "shared"); err != nil {
					t.Error(err)
				}
				if held.Load() != 1 {
					t.Error("removed while in use")
				}
				if err := r.release(t.Context(), "shared"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	users.Wait()
	if overlaps.Load() != 0 || held.Load() != 0 || len(r.entries) != 0 {
		t.Errorf("pulled %d times too often; held %d; %d entries left", overlaps.Load(), held.Load(), len(r.entries))
	}
}
