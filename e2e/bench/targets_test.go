package bench

import (
	"strings"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

// TestTargets judges each target by results that just meet it, and by some that just miss it.
func TestTargets(t *testing.T) {
	took := func(network Network, kind engine.Kind, ours, script float64) func(*Results) {
		return func(r *Results) {
			r.took(network, kind, nameOurs, 0, ours)
			r.took(network, kind, nameScript, 0, script)
		}
	}
	regsync := func(network Network, ours, theirs float64) func(*Results) {
		return func(r *Results) {
			r.UniqueBytes = 125e6 // 10 s at 100 Mbit/s
			r.took(network, engine.Containerd, nameOurs, 0, ours)
			r.took(network, "", nameRegsync, 4, theirs)
		}
	}
	sample := func(contender string, s Sample) func(*Results) {
		return func(r *Results) {
			r.DiskBudget = 280e6
			r.took(usual, engine.Containerd, nameOurs, 0, 10)
			s.UniqueBytes = 1000
			r.add(Key{usual, engine.Containerd, contender, 0, First}, s)
		}
	}
	scale := func(planned float64, memory int64) func(*Results) {
		return func(r *Results) { r.Scale = []ScaleSample{{planned, memory}} }
	}
	tests := []struct {
		what     string // part of the target's what
		fill     func(*Results)
		measured string
		reached  bool
	}{
		{"first run, tls30, containerd store: times as fast as script", took(usual, engine.Containerd, 10, 50), "5.00", true},
		{"first run, tls30, containerd store: times as fast as script", took(usual, engine.Containerd, 10, 49.9), "4.99", false},
		{"first run, tls30, classic store", took(usual, engine.Classic, 10, 30), "3.00", true},
		{"first run, tls30, classic store", took(usual, engine.Classic, 10, 29.9), "2.99", false},
		{"first run, tls30, containerd store: times as fast as regsync", regsync(usual, 10, 11), "1.10", true},
		{"first run, tls30, containerd store: times as fast as regsync", regsync(usual, 10, 10), "1.00", false},
		{"first run, tls30-100, containerd store: times as fast as regsync", regsync(slow, 10, 14), "1.40", true},
		{"first run, tls30-100, containerd store: times as fast as regsync", regsync(slow, 10, 13.9), "1.39", false},
		{"over that of the link itself", regsync(slow, 12, 1), "1.20", true},
		{"over that of the link itself", regsync(slow, 12.1, 1), "1.21", false},
		{"first run, tls30, containerd store, ours: the engine", sample(nameOurs, Sample{CPU: Shares{Dockerd: 24, Containerd: 10}}), "17.0 s", true},
		{"first run, tls30, containerd store, embedded: the engine", sample(nameEmbedded, Sample{CPU: Shares{Dockerd: 12}}), "12.0 s", true},
		{"first run, tls30, containerd store, embedded: the engine", sample(nameEmbedded, Sample{CPU: Shares{Dockerd: 12.1}}), "12.1 s", false},
		{"first run, tls30, containerd store: bytes", sample(nameOurs, Sample{BytesOut: 1004, BytesIn: 1000}), "1.00, 1.00", true},
		{"first run, tls30, containerd store: bytes", sample(nameOurs, Sample{BytesOut: 1024, BytesIn: 1000}), "1.01, 1.00", false},
		{"first run, tls30, with a disk budget", sample(nameDisk, Sample{PeakDisk: 280e6}), "280 of 280 MB", true},
		{"first run, tls30, with a disk budget", sample(nameDisk, Sample{PeakDisk: 281e6}), "281 of 280 MB", false},
		{"first run, tls30, with that disk budget", sample(nameDisk, Sample{Seconds: 12}), "1.20", true},
		{"first run, tls30, with that disk budget", sample(nameDisk, Sample{Seconds: 12.1}), "1.21", false},
		{"peak memory, the account", sample(nameDisk, Sample{PeakMemory: 64 << 20}), "64 MiB", true},
		{"peak memory, the account", sample(nameDisk, Sample{PeakMemory: 65 << 20}), "65 MiB", false},
		{"peak memory, 50000 tags", scale(1, 128<<20), "128 MiB", true},
		{"planned within", scale(10, 1), "10.0 s", true},
		{"planned within", scale(11, 1), "11.0 s", false},
		{"planned within", scale(0, 1), "it never said so", false},
	}
	for _, tt := range tests {
		t.Run(tt.what+" "+tt.measured, func(t *testing.T) {
			r := newResults()
			tt.fill(r)
			measured, reached := find(t, tt.what).judge(r)
			if measured != tt.measured || reached != tt.reached {
				t.Errorf("measured %q, reached %v, want %q, %v", measured, reached, tt.measured, tt.reached)
			}
		})
	}
}

// TestNothingMeasured expects no verdict on anything.
func TestNothingMeasured(t *testing.T) {
	for _, target := range targets() {
		if measured, reached := target.judge(newResults()); measured != "" || reached {
			t.Errorf("%s: measured %q, reached %v", target.what, measured, reached)
		}
	}
}

func find(t *testing.T, what string) target {
	t.Helper()
	for _, target := range targets() {
		if strings.Contains(target.what, what) {
			return target
		}
	}
	t.Fatalf("no target %q", what)
	return target{}
}
