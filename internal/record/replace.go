package record

import (
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"syscall"
)

// unfinishedSuffix is the suffix of a file that is not yet complete; the star stands for a number.
const unfinishedSuffix = ".*.tmp"

// replaceFile replaces a file atomically: even if the program or the machine crashes, either the old file or the new
// one exists, complete.
func replaceFile(name string, write func(io.Writer) error) error {
	temp, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+unfinishedSuffix)
	if err != nil {
		return err
	}
	err = fill(temp, write)
	if err == nil {
		err = os.Rename(temp.Name(), name)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
		return err
	}
	return syncFolder(filepath.Dir(name))
}

// fill writes the file, syncs it to disk and closes it.
func fill(file *os.File, write func(io.Writer) error) error {
	err := write(file)
	if err == nil {
		err = file.Chmod(0o644) // GitLab Runner collects it as another user
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// syncFolder syncs a rename to disk. Some network file systems do not support this for directories.
func syncFolder(name string) error {
	folder, err := os.Open(name)
	if err != nil {
		return err
	}
	err = folder.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, folder.Close())
}

// removeUnfinished removes temporary files of replaceFile that a killed program left behind.
func removeUnfinished(name string) {
	entries, _ := os.ReadDir(filepath.Dir(name))
	for _, e := range entries {
		if unfinished, _ := path.Match(filepath.Base(name)+unfinishedSuffix, e.Name()); unfinished {
			_ = os.Remove(filepath.Join(filepath.Dir(name), e.Name()))
		}
	}
}
