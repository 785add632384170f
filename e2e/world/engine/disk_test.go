package engine

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestDisk measures and fills an engine's file system, which survives a power failure and is removed by Close.
func TestDisk(t *testing.T) {
	const size = 128 << 20
	for _, kind := range Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			e := start(t, kind, Options{Disk: size})
			before := used(t, e)
			fill(t, e, "some", 32<<20)
			if grown := used(t, e) - before; grown < 32<<20 || grown > 33<<20 {
				t.Errorf("32 MiB take %d bytes", grown)
			}
			e.Kill()
			if err := e.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if kept := used(t, e) - before; kept < 32<<20 {
				t.Errorf("%d bytes are left after the restart", kept)
			}
			if err := write(e, "too much", size); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("more than fits: %v", err)
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
			if attached, err := e.disk.attached(); err != nil || attached {
				t.Errorf("the file is attached: %v, %v", attached, err)
			}
			checkGone(t, e, nil)
		})
	}
}

func TestDiskErrors(t *testing.T) {
	if _, err := Start(t.Context(), Classic, Options{Disk: 1 << 20, DataRoot: t.TempDir()}); err == nil {
		t.Error("an engine with two data roots")
	}
	if _, err := start(t, Classic, Options{}).DiskUsed(); err == nil {
		t.Error("the use of a disk that there is not")
	}
}

func used(t *testing.T, e *Engine) int64 {
	t.Helper()
	n, err := e.DiskUsed()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func fill(t *testing.T, e *Engine, name string, size int) {
	t.Helper()
	if err := write(e, name, size); err != nil {
		t.Fatal(err)
	}
}

// write writes a file next to the engine's data.
func write(e *Engine, name string, size int) error {
	return os.WriteFile(filepath.Join(procFile(e.PID(), "root"), e.DataRoot, name), make([]byte, size), 0o600)
}
