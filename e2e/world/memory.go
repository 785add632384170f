package world

import (
	"fmt"
	"os"
	"syscall"

	"github.com/prometheus/procfs"
)

const (
	sharedMemory = "/dev/shm"
	tmpfsMagic   = 0x01021994 // of linux/magic.h
	noExec       = 0x0008     // ST_NOEXEC of statfs(2)

	// enough is what the folder must have free, and the machine twice over. Six engines at once use 3 GiB.
	enough = 6 << 30
)

// InMemory has temporary files, and with them the data of engines, in memory: an engine waits for its disk after each small
// step. It changes nothing if TMPDIR is set, or there is too little memory.
func InMemory() error {
	if os.Getenv("TMPDIR") != "" {
		return nil
	}
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return err
	}
	memory, err := proc.Meminfo()
	if err != nil {
		return err
	}
	var folder syscall.Statfs_t
	if err := syscall.Statfs(sharedMemory, &folder); err != nil {
		return fmt.Errorf("%s: %w", sharedMemory, err)
	}
	if memory.MemAvailableBytes == nil || !suits(folder, *memory.MemAvailableBytes) {
		return nil
	}
	return os.Setenv("TMPDIR", sharedMemory)
}

// suits reports whether programs can run in the folder, which is in memory, and whether there are enough bytes of that.
func suits(folder syscall.Statfs_t, memory uint64) bool {
	return folder.Type == tmpfsMagic && folder.Flags&noExec == 0 &&
		folder.Bavail*uint64(folder.Bsize) >= enough && memory >= 2*enough
}
