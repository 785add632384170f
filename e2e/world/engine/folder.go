package engine

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// folder is a temporary folder that is locked during the life of its process: the next process that creates a folder in
// the same place removes what a killed process left behind.
type folder struct {
	path  string
	owner *os.File
}

const ownerFile = "owner"

// newFolder creates a folder in parent; empty: in the system's folder for temporary files.
func newFolder(parent, prefix string) (*folder, error) {
	path, err := os.MkdirTemp(parent, prefix)
	if err != nil {
		return nil, err
	}
	owner, err := tryLock(filepath.Join(path, ownerFile))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	return &folder{path, owner}, removeAbandoned(filepath.Dir(path), prefix)
}

// remove removes the folder, once.
func (f *folder) remove() error {
	if f.owner == nil {
		return nil
	}
	err := errors.Join(os.RemoveAll(f.path), f.owner.Close())
	f.owner = nil
	return err
}

func removeAbandoned(parent, prefix string) error {
	owners, err := filepath.Glob(filepath.Join(parent, prefix+"*", ownerFile))
	if err != nil {
		return err
	}
	for _, path := range owners {
		if !own(path) {
			continue
		}
		owner, err := tryLock(path)
		if err != nil {
			continue // in use, or already removed
		}
		f := folder{filepath.Dir(path), owner}
		if err := f.remove(); err != nil {
			return err
		}
	}
	return nil
}

// own reports whether a file is this user's, because somebody else may have put it there.
func own(path string) bool {
	info, err := os.Lstat(path)
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode().IsRegular() && int(stat.Uid) == os.Geteuid()
}
