package transfer_test

import (
	"strings"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

// vanishing has the engine lose the reference before the first so many calls of that kind.
func vanishing(e *testkit.Engine, kind, ref string, calls int) {
	e.Before = func(call string) {
		if strings.HasPrefix(call, kind+" ") && calls > 0 {
			calls--
			e.Vanish(ref)
		}
	}
}

// TestImageVanishes has the engine lose an image between the end of its pull and the next call, as the classic store does
// where two repositories contain the same image.
func TestImageVanishes(t *testing.T) {
	for _, test := range []struct {
		name    string
		calls   int
		outcome string
	}{
		{"twice", 2, "changed"},
		{"always", 99, "failed"},
	} {
		t.Run("before it is tagged, "+test.name, func(t *testing.T) {
			img := testkit.Image(t, "app")
			s := newSetup(t, image.ClassicStore, func(r *testkit.Registry) { r.Push("app", img, "1") })
			vanishing(s.engine, "tag", s.pulled(img), test.calls)
			s.copy(t, "app:1: "+test.outcome)
		})
		t.Run("before it is compared, "+test.name, func(t *testing.T) {
			img, left := testkit.Image(t, "app"), somebodyElses()
			s := newSetup(t, image.ClassicStore, func(r *testkit.Registry) { r.Push("app", img, "1") })
			left.Config = img.Config
			s.engine.Tags[s.target("1")] = left.Digest
			s.stores(left)
			vanishing(s.engine, "imageID", s.item.Target+"@"+left.Digest.String(), test.calls)
			s.copy(t, "app:1: "+test.outcome)
		})
	}
}
