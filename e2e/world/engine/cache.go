package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// cached returns the folder of that name in the cache. If it does not exist, fill creates its content in a temporary
// folder next to it, so that an incomplete install is never used, and under a lock, so that processes that need the
// same install do the work only once.
func cached(ctx context.Context, name string, fill func(ctx context.Context, dir string) error) (string, error) {
	root, err := cacheRoot()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, name)
	if exists(dir) {
		return dir, nil
	}
	unlock, err := lock(ctx, dir+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if exists(dir) {
		return dir, nil
	}
	return dir, install(ctx, dir, fill)
}

func install(ctx context.Context, dir string, fill func(ctx context.Context, dir string) error) error {
	part := dir + ".part"
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	if err := os.Mkdir(part, 0o755); err != nil {
		return err
	}
	if err := fill(ctx, part); err != nil {
		return errors.Join(err, os.RemoveAll(part))
	}
	return os.Rename(part, dir)
}

// cacheRoot is $ECR2GITLAB_E2E_CACHE, or the user's cache directory.
func cacheRoot() (string, error) {
	base, err := os.UserCacheDir()
	root := cmp.Or(os.Getenv("ECR2GITLAB_E2E_CACHE"), base)
	if root == "" {
		return "", fmt.Errorf("no cache folder for engines, set ECR2GITLAB_E2E_CACHE: %w", err)
	}
	root = filepath.Join(root, "ecr2gitlab-e2e")
	return root, os.MkdirAll(root, 0o755)
}

// lock waits for the lock on the file until ctx ends. The kernel releases it when the process ends.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	for {
		file, err := tryLock(path)
		if err == nil {
			return func() { file.Close() }, nil //nolint:errcheck // nothing was written
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("lock %s: %w", path, ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// tryLock locks the file until it is closed or this process ends. EWOULDBLOCK means that another holds the lock.
func tryLock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return file, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
