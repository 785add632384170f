package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// disk is a filesystem in a sparse file. It is mounted in the engine's mount namespace alone, so that the kernel
// unmounts it with the engine, however that ends.
type disk struct{ image, mountPoint string }

// newDisk makes a filesystem of size bytes in the file image, with an inode for every 4 KiB, so that it is full when its
// bytes are. It has a journal as the machine's own will have: without one, ext4 looks long for inodes that have not
// been deleted lately.
func newDisk(size int64, image, mountPoint string) (*disk, error) {
	if err := os.Mkdir(mountPoint, 0o711); err != nil {
		return nil, err
	}
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		return nil, err
	}
	if err := os.Truncate(image, size); err != nil {
		return nil, err
	}
	return &disk{image, mountPoint}, run(context.Background(), os.Environ(), filepath.Dir(image), "mkfs.ext4",
		"-q", "-F", "-m", "0", "-i", "4096", "-E", "lazy_itable_init=1,lazy_journal_init=1", image)
}

// mount is the command that mounts it.
func (d *disk) mount() string {
	return fmt.Sprintf("mount -o loop,noinit_itable %q %q", d.image, d.mountPoint)
}

// released waits until the kernel has let go of the file, which it does a moment after the engine's end: a file that is
// mounted twice is soon damaged.
func (d *disk) released() error {
	for end := time.Now().Add(stopTimeout); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		attached, err := d.attached()
		if err != nil || !attached {
			return err
		}
	}
	return fmt.Errorf("%s is still mounted after %s", d.image, stopTimeout)
}

// attached tells whether a loop device has the file.
func (d *disk) attached() (bool, error) {
	backings, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return false, err
	}
	for _, backing := range backings {
		file, err := os.ReadFile(backing) // an error is a device that is just going
		if err == nil && string(bytes.TrimSpace(file)) == d.image {
			return true, nil
		}
	}
	return false, nil
}

// DiskUsed returns the bytes in use on the filesystem of a running engine with Options.Disk.
func (e *Engine) DiskUsed() (int64, error) {
	if e.disk == nil {
		return 0, errors.New("the engine has no disk of its own")
	}
	var stat syscall.Statfs_t
	path := filepath.Join("/proc", strconv.Itoa(e.PID()), "root", e.disk.mountPoint)
	if err := syscall.Statfs(path, &stat); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", path, err)
	}
	return int64(stat.Blocks-stat.Bfree) * stat.Bsize, nil
}

// FillDisk leaves so many bytes of the disk of a running engine with Options.Disk, up to a block of its filesystem.
// The function that it returns gives the others back.
func (e *Engine) FillDisk(free int64) (empty func() error, err error) {
	if e.disk == nil {
		return nil, errors.New("the engine has no disk of its own")
	}
	path := filepath.Join("/proc", strconv.Itoa(e.PID()), "root", e.disk.mountPoint, "filler")
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // what was written is synchronized
	size, block := int64(0), make([]byte, 64<<10)
	for err == nil {
		var n int
		n, err = file.Write(block)
		size += int64(n)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return nil, err
	}
	if err := errors.Join(file.Truncate(size-free), file.Sync()); err != nil {
		return nil, err
	}
	return func() error { return os.Remove(path) }, nil
}
