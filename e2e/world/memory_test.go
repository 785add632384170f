package world

import (
	"syscall"
	"testing"
)

func TestSuits(t *testing.T) {
	roomy := syscall.Statfs_t{Type: tmpfsMagic, Bsize: 4096, Bavail: enough / 4096}
	for _, test := range []struct {
		name   string
		change func(folder *syscall.Statfs_t, memory *uint64)
		want   bool
	}{
		{"roomy", func(*syscall.Statfs_t, *uint64) {}, true},
		{"a small folder, as in a container", func(f *syscall.Statfs_t, _ *uint64) { f.Bavail = 64 << 20 / 4096 }, false},
		{"a small machine", func(_ *syscall.Statfs_t, memory *uint64) { *memory = 8 << 30 }, false},
		{"no programs may run", func(f *syscall.Statfs_t, _ *uint64) { f.Flags = noExec }, false},
		{"a folder on disk", func(f *syscall.Statfs_t, _ *uint64) { f.Type = 0xef53 }, false},
	} {
		folder, memory := roomy, uint64(2*enough)
		test.change(&folder, &memory)
		if got := suits(folder, memory); got != test.want {
			t.Errorf("%s: %t, want %t", test.name, got, test.want)
		}
	}
}
