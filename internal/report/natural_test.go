package report

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestNaturally(t *testing.T) {
	want := []string{
		"", "-", "1", "01", "1-rc", "1.0", "1.0.9", "1.0.10", "1.0.10-rc1", "1.9", "1.10", "2", "9", "10", "100000000000000000000",
		"build-9", "build-10", "latest", "v1", "v2", "v10",
	}
	got := slices.Clone(want)
	for range 50 {
		rand.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
		slices.SortFunc(got, naturally)
		if !slices.Equal(got, want) {
			t.Fatalf("sorted: %q", got)
		}
	}
}
