package transfer_test

import (
	"slices"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

// A load that was stuck once is tried again.
func TestLoadTriedAgain(t *testing.T) {
	img := testkit.LightImage(t, "app")
	s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", img, "1") })
	call := "load " + s.target("1")
	s.engine.Fails[call] = docker.ErrStalled
	s.engine.Before = func(next string) {
		if next == call && s.engine.Count(call) == 1 {
			delete(s.engine.Fails, call)
		}
	}
	s.copy(t, "app:1: exact")
	if got := s.engine.Of("load", "tag"); !slices.Equal(got, []string{"load app:1", "load app:1"}) {
		t.Errorf("calls %q", got)
	}
}
