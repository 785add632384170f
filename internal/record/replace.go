package record

import (
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"syscall"
)

// unfinishedSuffix ends a file's name until the file is whole; the star stands for a number.
const unfinishedSuffix = ".*.tmp"

// replaceFile writes a file in the place of one that may be there. Whenever the program or the machine ends, the old
// file is there or the new one, and whole.
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

// fill writes the file, has it on the disk, and closes it.
func fill(file *os.File, write func(io.Writer) error) error {
	err := write(file)
	if err == nil {
		err = file.Chmod(0o644) // a runner collects it as another user
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// syncFolder has a rename on the disk. Some file systems of networks refuse that for folders.
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

// removeUnfinished removes what replaceFile leaves where the program is killed in the middle of it.
func removeUnfinished(name string) {
	entries, _ := os.ReadDir(filepath.Dir(name))
	for _, e := range entries {
		if unfinished, _ := path.Match(filepath.Base(name)+unfinishedSuffix, e.Name()); unfinished {
			_ = os.Remove(filepath.Join(filepath.Dir(name), e.Name()))
		}
	}
}
