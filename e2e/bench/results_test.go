package bench

import (
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

func TestMedian(t *testing.T) {
	tests := map[string]struct {
		values []float64
		want   float64
	}{
		"none":       {nil, 0},
		"one":        {[]float64{3}, 3},
		"odd":        {[]float64{9, 1, 5}, 5},
		"even":       {[]float64{4, 1, 2, 9}, 3},
		"an outlier": {[]float64{2, 2, 1000}, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := median(tt.values, func(v float64) float64 { return v }); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestMost(t *testing.T) {
	identity := func(n int) int { return n }
	if got := most([]int{-3, -1, -2}, identity); got != -1 {
		t.Errorf("got %d, want -1", got)
	}
	if got := most(nil, identity); got != 0 {
		t.Errorf("of nothing: %d", got)
	}
}

// took adds a first run that took the given number of seconds.
func (r *Results) took(network Network, kind engine.Kind, contender string, parallel int, seconds float64) {
	r.add(Key{network, kind, contender, parallel, First}, Sample{Seconds: seconds, BytesOut: 100, BytesIn: 100, UniqueBytes: 100})
}

// TestBestOfOthers has a parallelism that is not one of the defaults.
func TestBestOfOthers(t *testing.T) {
	r := newResults()
	r.took(usual, "", nameCrane, 16, 20)
	r.took(usual, "", nameCrane, 32, 10)
	r.took(slow, "", nameCrane, 4, 5)
	r.took(usual, "", nameRegsync, 64, 5)
	if got := r.best(usual, nameCrane); got != 32 {
		t.Errorf("best is %d, want 32", got)
	}
}

// TestBest considers only the first round, in which all parallelisms were tried.
func TestBest(t *testing.T) {
	r := newResults()
	if got := r.best(usual, nameCrane); got != 0 {
		t.Errorf("best of nothing is %d", got)
	}
	r.took(usual, "", nameCrane, 4, 30)
	r.took(usual, "", nameCrane, 8, 20)
	r.took(usual, "", nameCrane, 16, 25)
	r.took(usual, "", nameCrane, 8, 90)
	r.took(usual, "", nameCrane, 8, 24)
	if got := r.best(usual, nameCrane); got != 8 {
		t.Errorf("best is %d, want 8", got)
	}
	if got := r.seconds(usual, engine.Containerd, nameCrane, First); got != 24 {
		t.Errorf("median of the best is %v, want 24", got)
	}
	if got := r.best(instant, nameCrane); got != 0 {
		t.Errorf("best without latency is %d, and was not measured", got)
	}
}
