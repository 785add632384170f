package scenarios

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/proxy"
)

// diskWorld is an account with its own engine of that kind, whose disk has the given size in bytes.
func diskWorld(t *testing.T, kind engine.Kind, bytes int64) (*world.World, []corpus.Repository) {
	t.Helper()
	account, err := corpus.Account(t.Context(), corpus.AccountOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w := startWorld(t, ownEngine(t, kind, engine.Options{Disk: bytes}), world.Options{})
	fill(t, w, account)
	return w, account
}

// The images of a run use no more of the engine's disk than MIGRATE_DISK, a quarter of their unpacked size.
func TestStaysWithinMigrateDisk(t *testing.T) {
	const budget = 60e6
	w, account := diskWorld(t, engine.Containerd, 4<<30)
	empty, err := w.Engine.DiskUsed()
	if err != nil {
		t.Fatal(err)
	}
	stop, peak := make(chan struct{}), make(chan int64)
	go func() {
		var most int64
		for {
			select {
			case <-stop:
				peak <- most
				return
			case <-time.After(20 * time.Millisecond):
				if used, err := w.Engine.DiskUsed(); err == nil {
					most = max(most, used)
				}
			}
		}
	}()
	outcome := run(t, append(w.Env(), fmt.Sprintf("MIGRATE_DISK=%d", int64(budget))))
	close(stop)
	used := <-peak - empty
	expectExit(t, outcome, 0)
	t.Logf("%d MB of the disk were in use at most", used/1e6)
	if used > budget || used < 10e6 {
		t.Errorf("%d bytes of the disk were in use, of %d", used, int64(budget))
	}
	compareAccount(t, w, account, engine.Containerd)
	expectOnce(t, "reached GitLab", w.GitLab.Uploads())
	expectNothingLeft(t, w.Engine)
}

// If the disk is full before the budget is used up, the run takes longer, but all images arrive. The disk has room for each
// of them alone, and unpacked: once containerd has left a lock, that may be the only way.
func TestEngineDiskFull(t *testing.T) {
	t.Parallel()
	for kind, test := range map[engine.Kind]struct {
		disk int64 // bytes
		tags int   // of each repository: so many that the disk does not hold them all, whatever the order
	}{engine.Containerd: {36 << 20, 9}, engine.Classic: {64 << 20, 5}} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel() // it mostly waits
			account, err := corpus.Tiny(t.Context(), corpus.TinyOptions{Repositories: 4, Tags: test.tags, Layers: 3, Size: 4 << 20})
			if err != nil {
				t.Fatal(err)
			}
			w := startWorld(t, ownEngine(t, kind, engine.Options{Disk: test.disk}), world.Options{})
			fill(t, w, account)
			outcome := run(t, append(w.Env(), "MIGRATE_CONCURRENCY=16"))
			expectExit(t, outcome, 0)
			if !strings.Contains(w.Engine.Log(), "no space left on device") {
				t.Error("the disk was never full")
			}
			compareTags(t, w, account, kind)
			expectNothingLeft(t, w.Engine)
		})
	}
}

// If containerd has no space to record a write, it leaves the write's name locked, and every load uses that same name:
// from then on, no load ends. All images arrive without loads.
func TestEngineLoadsLocked(t *testing.T) {
	t.Parallel()
	w, account := diskWorld(t, engine.Containerd, 1<<30)
	lockLoads(t, w.Engine)
	outcome := run(t, w.Env())
	expectExit(t, outcome, 0)
	compareAccount(t, w, account, engine.Containerd)
	expectNothingLeft(t, w.Engine)
}

// lockLoads fills the engine's disk up to the block that a load needs to record the write of its index.
func lockLoads(t *testing.T, e *engine.Engine) {
	t.Helper()
	for free := int64(4 << 10); free < 64<<10; free += 4 << 10 {
		empty, err := e.FillDisk(free)
		if err != nil {
			t.Fatal(err)
		}
		ended := loadNothing(t, e)
		if err := empty(); err != nil {
			t.Fatal(err)
		}
		if ended && !loadNothing(t, e) {
			return
		}
	}
	t.Fatal("loads still end")
}

// loadNothing has the engine load an empty image layout, and reports whether the load ends.
func loadNothing(t *testing.T, e *engine.Engine) bool {
	t.Helper()
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	for _, file := range []struct{ name, content string }{
		{"index.json", `{"schemaVersion":2,"manifests":[]}`}, {"oci-layout", `{"imageLayoutVersion":"1.0.0"}`},
	} {
		header := &tar.Header{Name: file.name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(file.content))}
		if err := errors.Join(writer.WriteHeader(header), write(writer, file.content)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://engine/images/load?quiet=1", &archive)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: proxy.Transport(e.Host)}
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	if err == nil {
		_, err = io.Copy(io.Discard, response.Body)
		err = errors.Join(err, response.Body.Close())
	}
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	return err == nil
}

func write(w io.Writer, content string) error {
	_, err := io.WriteString(w, content)
	return err
}
