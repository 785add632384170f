package bench

import (
	"strings"
	"testing"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

// TestTargets judges each target by results that just meet it, and by some that just miss it.
func TestTargets(t *testing.T) {
	took := func(latency time.Duration, kind engine.Kind, ours, script float64) func(*Results) {
		return func(r *Results) {
			r.took(latency, kind, nameOurs, 0, ours)
			r.took(latency, kind, nameScript, 0, script)
		}
	}
	peers := func(ours, crane, regsync float64) func(*Results) {
		return func(r *Results) {
			r.took(slow, engine.Containerd, nameOurs, 0, ours)
			r.took(slow, "", nameCrane, 8, crane)
			r.took(slow, "", nameRegsync, 4, regsync)
		}
	}
	sample := func(contender string, s Sample) func(*Results) {
		return func(r *Results) {
			r.DiskBudget = 280e6
			r.took(slow, engine.Containerd, nameOurs, 0, 10)
			s.UniqueBytes = 1000
			r.add(Key{slow, engine.Containerd, contender, 0, First}, s)
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
		{"first run, 30ms, containerd store: times as fast as the script", took(slow, engine.Containerd, 10, 50), "5.00", true},
		{"first run, 30ms, containerd store: times as fast as the script", took(slow, engine.Containerd, 10, 49.9), "4.99", false},
		{"first run, no latency, classic store", took(instant, engine.Classic, 10, 20), "2.00", true},
		{"the better of crane and regsync", peers(10, 12, 11), "1.10", true},
		{"the better of crane and regsync", peers(10, 12, 10), "1.00", false},
		{"first run, 30ms, containerd store: bytes", sample(nameOurs, Sample{BytesOut: 1024, BytesIn: 1024}), "1.01, 1.01", true},
		{"first run, 30ms, with a disk budget", sample(nameDisk, Sample{PeakDisk: 280e6}), "280 of 280 MB", true},
		{"first run, 30ms, with a disk budget", sample(nameDisk, Sample{PeakDisk: 281e6}), "281 of 280 MB", false},
		{"first run, 30ms, with that disk budget", sample(nameDisk, Sample{Seconds: 12}), "1.20", true},
		{"first run, 30ms, with that disk budget", sample(nameDisk, Sample{Seconds: 12.1}), "1.21", false},
		{"peak memory, the account", sample(nameDisk, Sample{PeakMemory: 64 << 20}), "64 MiB", true},
		{"peak memory, the account", sample(nameDisk, Sample{PeakMemory: 65 << 20}), "65 MiB", false},
		{"peak memory, 50000 tags", scale(1, 200<<20), "200 MiB", true},
		{"planned within", scale(15, 1), "15.0 s", true},
		{"planned within", scale(16, 1), "16.0 s", false},
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
