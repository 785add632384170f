package bench

import (
	"os"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const rest = " S 7 1 1 0 -1 4194560 1 2 3 4 100 20 3 1 20 0 1 0 99"
	tests := map[string]struct {
		line string
		want process
		ok   bool
	}{
		"plain":              {"42 (dockerd)" + rest, process{42, 7, "dockerd", 1240 * time.Millisecond}, true},
		"name like a stat":   {"42 (a) S 1 (b))" + rest, process{42, 7, "a) S 1 (b)", 1240 * time.Millisecond}, true},
		"cut short":          {"42 (dockerd) S 7", process{}, false},
		"no name":            {"42", process{}, false},
		"time is no number":  {"42 (x) S 7 1 1 0 -1 4194560 1 2 3 4 x 20 3 1 20", process{}, false},
		"parent no number":   {"42 (x) S x 1 1 0 -1 4194560 1 2 3 4 100 20 3 1 20", process{}, false},
		"process no number":  {"x (x)" + rest, process{}, false},
		"nothing but a name": {"(x)", process{}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseStat([]byte(tt.line))
			if (err == nil) != tt.ok || tt.ok && got != tt.want {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestSumTree(t *testing.T) {
	processes := map[int]process{}
	for _, p := range []process{{1, 0, "", 100}, {10, 1, "", 1}, {11, 10, "", 2}, {12, 11, "", 4}, {20, 1, "", 1000}} {
		processes[p.pid] = p
	}
	if got := sumTree(processes, 10); got != 7 {
		t.Errorf("got %d, want 7", got)
	}
}

func TestPeakMemory(t *testing.T) {
	if memory, err := peakMemory(os.Getpid()); err != nil || memory < 1<<20 || memory > 8<<30 {
		t.Errorf("peak memory %d, %v", memory, err)
	}
	if _, err := peakMemory(1 << 30); err == nil {
		t.Error("a process that there is not took memory")
	}
}
