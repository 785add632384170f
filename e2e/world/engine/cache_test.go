package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

func TestCachedFillsOnceAndWhole(t *testing.T) {
	t.Setenv("ECR2GITLAB_E2E_CACHE", t.TempDir())
	broken := errors.New("no network")
	if _, err := cached(t.Context(), "tool-1", func(_ context.Context, dir string) error {
		return errors.Join(os.WriteFile(filepath.Join(dir, "half"), nil, 0o644), broken)
	}); !errors.Is(err, broken) {
		t.Fatalf("error %v, want %v", err, broken)
	}

	var fills atomic.Int32
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			dir, err := cached(t.Context(), "tool-1", func(_ context.Context, dir string) error {
				fills.Add(1)
				return os.WriteFile(filepath.Join(dir, "whole"), nil, 0o644)
			})
			if err != nil {
				t.Error(err)
			}
			if !exists(filepath.Join(dir, "whole")) || exists(filepath.Join(dir, "half")) {
				t.Errorf("%s is not what the second attempt made", dir)
			}
		})
	}
	wg.Wait()
	if fills.Load() != 1 {
		t.Errorf("filled %d times", fills.Load())
	}
}

func TestCachedWaitsForTheLockUntilCancelled(t *testing.T) {
	t.Setenv("ECR2GITLAB_E2E_CACHE", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	_, err := cached(t.Context(), "tool-1", func(context.Context, string) error {
		cancel()
		_, err := cached(ctx, "tool-1", func(context.Context, string) error {
			t.Error("filled beside another")
			return nil
		})
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the cancellation", err)
	}
}
