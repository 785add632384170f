package transfer_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

// While the engine unpacks what later images are pulled on, the image is pushed. The pull ends with the copy, or before the
// image is pulled once more.
func TestCopyWhileUnpacking(t *testing.T) {
	img := testkit.Image(t, "app")
	for _, test := range []struct {
		name  string
		hasty bool // the pull is cut off before all has arrived
		want  []string
	}{
		{"all has arrived", false, []string{"cut app@" + img.Digest.String(), "push app:1"}},
		{"not all has arrived", true, []string{"cut app@" + img.Digest.String(), "pull app@" + img.Digest.String(), "push app:1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", img, "1") })
				s.with.Dedicated = true
				s.engine.Hasty = map[digest.Digest]bool{img.Digest: test.hasty}
				s.unpack = true
				results, _ := s.attempt(t.Context())
				s.copier().Sweep(t.Context())
				s.expect(t, results, []string{"app:1: exact"})
				if got := s.engine.Of("cut", "pull", "push"); !slices.Equal(got, test.want) {
					t.Errorf("calls %q, want %q", got, test.want)
				}
			})
		})
	}
}

// A pull that was cut off too early is made good by one that is not.
func TestCopyCutOffTooEarly(t *testing.T) {
	img := testkit.Image(t, "app")
	s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", img, "1") })
	s.with.Dedicated = true
	s.engine.Hasty[img.Digest] = true
	results, aside := s.attempt(t.Context())
	if got := outcomes(results); aside || !slices.Equal(got, []string{"app:1: exact"}) {
		t.Errorf("results %q, aside %v", got, aside)
	}
	if got, want := s.engine.Of("cut", "pull"), []string{"cut app@" + img.Digest.String(), "pull app@" + img.Digest.String()}; !slices.Equal(got, want) {
		t.Errorf("calls %q, want %q", got, want)
	}
}
