package schedule

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

// lists makes an item a list of referrers that follows the subjects.
func (b *bench) lists(name string, subjects ...*Grant) *Grant {
	g := b.follows(name, subjects...)
	g.List = &plan.ReferrersList{Count: 1}
	return g
}

// follows makes an item that refers to the others.
func (b *bench) follows(name string, others ...*Grant) *Grant {
	g := b.image(name, name)
	for _, other := range others {
		g.After = append(g.After, other.Item)
	}
	return g
}

// play asks for, pulls, and pushes all that the schedule offers, one item after the other, and returns their names in the
// order in which they ended. What fails is not pulled, and all else arrives.
func play(t *testing.T, b *bench, s *Schedule, fails ...string) []string {
	t.Helper()
	var ended []string
	for g := s.NextCheck(t.Context()); g != nil; g = s.NextCheck(t.Context()) {
		s.Answered(g, false, true)
		pulled, _, more := s.NextPull(t.Context())
		if pulled != g || !more {
			t.Fatalf("%q was asked for, and %v is pulled", names([]*Grant{g}), pulled)
		}
		ended = append(ended, g.Image.Tags[0])
		if slices.Contains(fails, g.Image.Tags[0]) {
			if g.List != nil {
				s.Arrived(g) // a part of it may have
			}
			s.Dropped(g, nil)
			continue
		}
		pull(s, b, g)
		if pushed := s.NextPush(t.Context()); pushed != g {
			t.Fatalf("%q was pulled, and %v is pushed", names([]*Grant{g}), pushed)
		}
		s.Arrived(g)
		s.Pushed(g, true)
	}
	if g, _, more := s.NextPull(t.Context()); g != nil || more {
		t.Errorf("%v is left to be pulled, and more: %t", g, more)
	}
	if g := s.NextPush(t.Context()); g != nil {
		t.Errorf("%q is left to be pushed", names([]*Grant{g}))
	}
	return ended
}

// synctestRun is t.Run in a synctest bubble, which notices at once when everybody waits.
func synctestRun(t *testing.T, name string, test func(*testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

// What refers to others is offered after them, and everything comes to an end, whatever has become of them.
func TestScheduleFollows(t *testing.T) {
	for _, test := range []struct {
		name  string
		make  func(b *bench)
		fails []string
		want  []string // as they end
		left  []string // lists that are not offered
	}{
		{
			name: "a list follows at once",
			make: func(b *bench) { a := b.image("a"); b.lists("of a", a); b.image("b") },
			want: []string{"a", "b", "of a"},
		},
		{
			name:  "no list of what has failed",
			make:  func(b *bench) { a := b.image("a"); b.lists("of a", a); b.image("b") },
			fails: []string{"a"}, want: []string{"a", "b"}, left: []string{"of a"},
		},
		{
			name:  "the second image with the subject arrives",
			make:  func(b *bench) { a, c := b.image("a"), b.image("b"); b.lists("of both", a, c) },
			fails: []string{"a"}, want: []string{"a", "b", "of both"},
		},
		{
			name:  "neither image with the subject arrives",
			make:  func(b *bench) { a, c := b.image("a"), b.image("b"); b.lists("of both", a, c) },
			fails: []string{"a", "b"}, want: []string{"a", "b"}, left: []string{"of both"},
		},
		{
			name:  "a list of a list, of which a part may have arrived",
			make:  func(b *bench) { b.lists("countersigned", b.lists("of a", b.image("a"))) },
			fails: []string{"of a"}, want: []string{"a", "of a", "countersigned"},
		},
		{
			name:  "no list of a list that is not offered",
			make:  func(b *bench) { b.lists("countersigned", b.lists("of a", b.image("a"))) },
			fails: []string{"a"}, want: []string{"a"}, left: []string{"countersigned", "of a"},
		},
		{
			name:  "an image follows what has failed",
			make:  func(b *bench) { b.follows("signature", b.image("a")) },
			fails: []string{"a"}, want: []string{"a", "signature"},
		},
		{
			name:  "an image follows a list that is not offered",
			make:  func(b *bench) { b.follows("signature", b.lists("of a", b.image("a"))) },
			fails: []string{"a"}, want: []string{"a", "signature"}, left: []string{"of a"},
		},
		{
			name: "images that follow each other",
			make: func(b *bench) {
				b.image("a")
				first, second := b.follows("first"), b.follows("second")
				first.After, second.After = []*plan.Item{second.Item}, []*plan.Item{first.Item}
			},
			want: []string{"a", "first", "second"},
		},
		{
			name: "lists that follow each other, and an image that fails",
			make: func(b *bench) {
				first, second := b.lists("first", b.image("a")), b.lists("second")
				first.After, second.After = append(first.After, second.Item), []*plan.Item{first.Item}
			},
			fails: []string{"a"}, want: []string{"a"}, left: []string{"first", "second"},
		},
		{
			name: "an untried media type that what follows has as well, at less cost",
			make: func(b *bench) {
				a := b.image("a", "a")
				b.follows("signature", a)
				b.lists("of a", a)
				for i, g := range b.tasks {
					g.Unknown, g.TrialBytes = []string{"application/x"}, int64(9-i)
				}
			},
			want: []string{"a", "signature", "of a"},
		},
		{
			name: "an image that is none of this schedule's",
			make: func(b *bench) { b.lists("of another", &Grant{Item: &plan.Item{}}) },
			want: []string{"of another"},
		},
	} {
		synctestRun(t, test.name, func(t *testing.T) {
			b := newBench()
			test.make(b)
			for _, g := range b.tasks {
				g.checked = false
			}
			s := b.schedule(9, 0)
			if got := play(t, b, s, test.fails...); !slices.Equal(got, test.want) {
				t.Errorf("%q end, want %q", got, test.want)
			}
			var left []string
			for _, i := range s.Unoffered() {
				left = append(left, i.Image.Tags[0])
			}
			if slices.Sort(left); !slices.Equal(left, test.left) {
				t.Errorf("%q are left, want %q", left, test.left)
			}
			if unstarted, unpushed, _ := s.Rest(); len(unstarted)+len(unpushed) > 0 {
				t.Errorf("%q are not started, and %q not pushed", names(unstarted), names(unpushed))
			}
		})
	}
}

// Workers that wait for followers end when the run does, although the subject never ends.
func TestScheduleEndsWithoutTheSubject(t *testing.T) {
	for _, test := range []struct {
		name string
		stop func(s *Schedule, cancel context.CancelFunc)
	}{
		{"no more is started", func(s *Schedule, _ context.CancelFunc) { s.Stop() }},
		{"the run ends", func(_ *Schedule, cancel context.CancelFunc) { cancel() }},
	} {
		synctestRun(t, test.name, func(t *testing.T) {
			b := newBench()
			a := b.image("a")
			b.lists("of a", a)
			b.follows("signature", a)
			a.checked = false
			s := b.schedule(9, 0)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if s.NextCheck(ctx) != a {
				t.Error("a is not asked for")
			}
			ended := make(chan bool)
			go func() { ended <- s.NextCheck(ctx) == nil }()
			go func() { _, _, more := s.NextPull(ctx); ended <- !more }()
			go func() { ended <- s.NextPush(ctx) == nil }()
			synctest.Wait()
			test.stop(s, cancel)
			for range 3 {
				if !<-ended {
					t.Error("there is still work")
				}
			}
			if unstarted, _, _ := s.Rest(); !slices.Equal(names(unstarted), []string{"a", "signature"}) {
				t.Errorf("not started are %q", names(unstarted))
			}
		})
	}
}

// A list of which nobody knows yet whether the target has it holds up no image of its repository.
func TestScheduleDoesNotWaitForTheAnswerAboutAList(t *testing.T) {
	b := newBench()
	a, c := b.image("a", "a"), b.image("b", "b")
	list := b.lists("of a", a)
	for _, g := range b.tasks {
		g.Target = "repository"
	}
	list.checked = false
	s := b.schedule(9, 0)
	s.Arrived(a)
	s.Answered(a, true, false)
	expectPull(t, s, c)
	s.Answered(list, false, true)
	expectPull(t, s, list)
}

// What follows tries a media type in its turn: one item at a time, and the one at the least cost first.
func TestScheduleHasFollowersTryInTurn(t *testing.T) {
	b := newBench()
	a := b.image("a", "a")
	large, small := b.lists("large", a), b.lists("small", a)
	large.Unknown, small.Unknown = []string{"application/x"}, []string{"application/x"}
	large.TrialBytes, small.TrialBytes = 2, 1
	a.checked, large.checked, small.checked = false, false, false
	s := b.schedule(9, 0)
	s.Arrived(a)
	s.Answered(a, true, false)
	s.Answered(large, false, true)
	s.Answered(small, false, true)
	expectPull(t, s, small)
	expectPull(t, s, nil)
	s.Tried([]string{"application/x"})
	expectPull(t, s, large)
}
