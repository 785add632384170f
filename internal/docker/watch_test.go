package docker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func blobMessage(id, status string, current, total int64, units string) Message {
	m := Message{ID: id, Status: status}
	m.Progress.Current, m.Progress.Total, m.Progress.Units = current, total, units
	return m
}

// unpacking says once a second that a layer is being unpacked, as the containerd store does, until it is.
func unpacking(id string, takes time.Duration) func(context.Context, *Watch) error {
	return func(ctx context.Context, w *Watch) error {
		for second := range int64(takes / time.Second) {
			w.See(blobMessage(id, "Extracting", second+1, 0, "s"))
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Second):
			}
		}
		w.See(blobMessage(id, "Pull complete", 0, 0, ""))
		return nil
	}
}

// An unpack that is stuck ends, and one that takes long for its size does not.
func TestUnpackStalls(t *testing.T) {
	const stall, gigabyte, forever = 5 * time.Minute, int64(1 << 30), 100 * time.Hour
	download := func(w *Watch, size int64) {
		w.See(blobMessage("a", "Downloading", size/2, size, ""))
		w.See(blobMessage("a", "Download complete", 0, 0, ""))
	}
	for _, test := range []struct {
		name  string
		size  int64 // told by a download; 0: it is not
		takes time.Duration
		ends  time.Duration // without success; 0: with it
	}{
		{"a small layer", 1 << 20, 10 * time.Second, 0},
		{"a small layer, stuck", 1 << 20, forever, stall},
		{"a large layer on a slow disk", 8 * gigabyte, time.Hour, 0},
		{"a large layer, stuck", 8 * gigabyte, forever, 4096*time.Second + stall},
		{"one of unknown size", 0, 25 * time.Minute, 0},
		{"one of unknown size, stuck", 0, forever, unpackUnknown + stall},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				err := Watched(t.Context(), stall, nil, func(ctx context.Context, w *Watch) error {
					if test.size > 0 {
						download(w, test.size)
					}
					return unpacking("a", test.takes)(ctx, w)
				})
				took := time.Since(began)
				if errors.Is(err, ErrStalled) != (test.ends > 0) || test.ends > 0 && took != test.ends {
					t.Errorf("after %s: %v", took, err)
				}
				if want := fmt.Sprintf("no progress for %s, by MIGRATE_STALL", test.ends); test.ends > 0 && err.Error() != want {
					t.Errorf("says %v, want %s", err, want)
				}
			})
		})
	}
}

// Other blobs' progress does not take a layer's time to unpack away, and its end gives it back.
func TestUnpackBesideOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		err := Watched(t.Context(), time.Minute, nil, func(ctx context.Context, w *Watch) error {
			w.See(blobMessage("a", "Downloading", 1, 2<<30, "")) // 1024 s
			w.See(blobMessage("a", "Extracting", 1, 0, "s"))
			w.See(blobMessage("b", "Downloading", 1, 2, ""))
			time.Sleep(1000 * time.Second)
			w.See(blobMessage("a", "Pull complete", 0, 0, ""))
			<-ctx.Done()
			return ctx.Err()
		})
		if took := time.Since(began); !errors.Is(err, ErrStalled) || took != 1060*time.Second {
			t.Errorf("after %s: %v", took, err)
		}
	})
}
