package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layered is a task whose image has just these layers, besides its config.
func layered(t *testing.T, name string, layers ...string) *task {
	t.Helper()
	m := Manifest{Descriptor: ocispec.Descriptor{Digest: digest.FromString("manifest " + name)}}
	m.Config.Digest = digest.FromString("config " + name)
	for _, layer := range layers {
		m.Layers = append(m.Layers, ocispec.Descriptor{Digest: digest.FromString(layer)})
	}
	return &task{image: Image{Tags: []string{name}}, tree: NewTree(m, nil)}
}

func names(tasks []*task) []string {
	var all []string
	for _, t := range tasks {
		all = append(all, t.image.Tags[0])
	}
	return all
}

// The first image brings a layer, and those that share it wait until it is there; others go on meanwhile.
func TestScheduleKeepsPullsApart(t *testing.T) {
	a, b, c := layered(t, "a", "base", "a"), layered(t, "b", "base", "b"), layered(t, "c", "other")
	s := newSchedule([]*task{a, b, c}, 9)
	if first, second := s.nextPull(t.Context()), s.nextPull(t.Context()); first != a || second != c {
		t.Fatalf("pulls %q", names([]*task{first, second}))
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if got := s.nextPull(ended); got != nil {
		t.Fatalf("%q races for the base", names([]*task{got}))
	}
	s.pulled(a)
	if got := s.nextPull(t.Context()); got != b {
		t.Error("b is not next once the base is there")
	}
	if got := s.nextPull(t.Context()); got != nil {
		t.Errorf("%q again", names([]*task{got}))
	}
}

// A pull that failed leaves its layers to the next.
func TestSchedulePassesALayerOn(t *testing.T) {
	a, b := layered(t, "a", "base"), layered(t, "b", "base")
	s := newSchedule([]*task{a, b}, 9)
	s.nextPull(t.Context())
	s.dropped(a)
	if got := s.nextPull(t.Context()); got != b {
		t.Fatal("b is not next")
	}
	s.pulled(b)
	if got := s.nextPush(t.Context()); got != b {
		t.Error("b is not pushed")
	}
	s.pushed(b, true)
	if got := s.nextPush(t.Context()); got != nil {
		t.Errorf("%q is pushed", names([]*task{got}))
	}
}

func TestScheduleKeepsPushesApart(t *testing.T) {
	a, b := layered(t, "a", "base"), layered(t, "b", "base")
	for _, arrived := range []bool{true, false} {
		s := newSchedule([]*task{a, b}, 9)
		for range 2 {
			s.pulled(s.nextPull(t.Context()))
		}
		if got := s.nextPush(t.Context()); got != a {
			t.Fatal("a is not first")
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if s.nextPush(ended) != nil {
			t.Fatal("b races for the base")
		}
		s.pushed(a, arrived)
		if got := s.nextPush(t.Context()); got != b {
			t.Error("b is not next")
		}
	}
}

// What an image to come needs stays in the engine, once, and no longer than that.
func TestScheduleKeepsWhatIsNeeded(t *testing.T) {
	tasks := []*task{layered(t, "a", "base"), layered(t, "b", "base"), layered(t, "c", "base"), layered(t, "d", "other")}
	s := newSchedule(tasks, 1)
	var got []string
	for range tasks {
		next := s.nextPull(t.Context())
		early := names(s.pulled(next))
		if s.nextPush(t.Context()) != next {
			t.Fatalf("%s is not pushed", next.image.Tags[0])
		}
		got = append(got, fmt.Sprint(next.image.Tags, early, names(s.pushed(next, true))))
	}
	// b's push makes one of the two holders of the base superfluous; with c pulled nobody needs it any more.
	want := []string{"[a] [] []", "[b] [] [a]", "[c] [b] [c]", "[d] [] [d]"}
	if !slices.Equal(got, want) {
		t.Errorf("removed %q, want %q", got, want)
	}
}

func TestScheduleBoundsWhatIsPulledAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tasks := []*task{layered(t, "a"), layered(t, "b"), layered(t, "c")}
		s := newSchedule(tasks, 2)
		s.pulled(s.nextPull(t.Context()))
		s.pulled(s.nextPull(t.Context()))
		third := make(chan *task)
		go func() { third <- s.nextPull(t.Context()) }()
		select {
		case <-third:
			t.Fatal("three images are pulled ahead")
		case <-time.After(time.Hour):
		}
		s.pushed(s.nextPush(t.Context()), true)
		if got := <-third; got != tasks[2] {
			t.Error("c is not next")
		}
	})
}

func TestScheduleInterrupted(t *testing.T) {
	tasks := []*task{layered(t, "a"), layered(t, "b")}
	s := newSchedule(tasks, 9)
	s.pulled(s.nextPull(t.Context()))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if s.nextPull(ctx) != nil || s.nextPush(ctx) != nil {
		t.Error("work after the end")
	}
	unstarted, unpushed, kept := s.rest()
	if !slices.Equal(names(unstarted), []string{"b"}) || !slices.Equal(names(unpushed), []string{"a"}) || kept != nil {
		t.Errorf("left are %q, %q and %q", names(unstarted), names(unpushed), names(kept))
	}
}
