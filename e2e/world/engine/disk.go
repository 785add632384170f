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

// disk is a file system in a sparse file. It is mounted only in the engine's mount namespace, so that the kernel
// unmounts it when the engine ends, for whatever reason.
type disk struct{ image, mountPoint string }

// newDisk creates a file system of size bytes in the file image, with an inode for every 4 KiB, so that it does not run
// out of inodes first. It has a journal, like most machines: without one, ext4 spends a long time looking for inodes
// that have not been deleted recently.
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

// mount returns the command that mounts the disk.
func (d *disk) mount() string {
	return fmt.Sprintf("mount -o loop,noinit_itable %q %q", d.image, d.mountPoint)
}

// released waits until the kernel has released the file, shortly after the engine ends: mounting a file twice soon
// damages it.
func (d *disk) released() error {
	for end := time.Now().Add(stopTimeout); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		attached, err := d.attached()
		if err != nil || !attached {
			return err
		}
	}
	return fmt.Errorf("%s is still mounted after %s", d.image, stopTimeout)
}

// attached reports whether a loop device uses the file.
func (d *disk) attached() (bool, error) {
	backings, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return false, err
	}
	for _, backing := range backings {
		file, err := os.ReadFile(backing) // an error means that the device is being removed
		if err == nil && string(bytes.TrimSpace(file)) == d.image {
			return true, nil
		}
	}
	return false, nil
}

// DiskUsed returns the bytes in use on the file system of a running engine with Options.Disk.
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

// FillDisk fills the disk of a running engine with Options.Disk, leaving the given number of bytes, to within one file
// system block. The returned function frees the space again.
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
