package schedule

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// onTrial is an image with media types that the target may refuse, of which the trial moves so many bytes.
func (b *bench) onTrial(name string, bytes int64, mediaTypes ...string) *Grant {
	g := b.image(name, "blob of "+name)
	g.Unknown, g.TrialBytes = mediaTypes, bytes
	return g
}

func TestOneItemTriesAMediaType(t *testing.T) {
	for _, test := range []struct {
		name string
		ends func(s *Schedule, b *bench, first *Grant) // the first trial
		next []string
	}{
		{"nothing yet", func(*Schedule, *bench, *Grant) {}, nil},
		{"the target has answered", func(s *Schedule, _ *bench, _ *Grant) { s.Tried([]string{"x"}) }, []string{"large", "middle"}},
		{"it has answered for another type", func(s *Schedule, _ *bench, _ *Grant) { s.Tried([]string{"y"}) }, nil},
		{"the pull has failed", func(s *Schedule, _ *bench, g *Grant) { s.Dropped(g, nil) }, []string{"middle"}},
		{"the disk was full, and has room again", func(s *Schedule, b *bench, g *Grant) { s.Postpone(g, nil); s.Swept(true); s.Dropped(b.tasks[2], nil) }, []string{"middle"}},
		{"it waits for its push", func(s *Schedule, b *bench, g *Grant) { pull(s, b, g) }, nil},
		{"the push has failed", func(s *Schedule, b *bench, g *Grant) { pull(s, b, g); s.Pushed(g, false) }, []string{"middle"}},
		{"it has arrived", func(s *Schedule, b *bench, g *Grant) { pull(s, b, g); s.Pushed(g, true) }, []string{"large", "middle"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench()
			b.onTrial("large", 3, "x")
			small, plain := b.onTrial("small", 1, "x"), b.image("plain", "plain")
			b.onTrial("middle", 2, "x")
			s := b.schedule(9, 0)
			expectPull(t, s, small)
			expectPull(t, s, plain)
			expectPull(t, s, nil)
			test.ends(s, b, small)
			if got := names(offered(s)); !slices.Equal(got, test.next) {
				t.Errorf("%q are pulled next, want %q", got, test.next)
			}
		})
	}
}

// offered pulls what the schedule offers at the moment.
func offered(s *Schedule) []*Grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*Grant
	for {
		g, _ := s.takePull()
		if g == nil {
			return all
		}
		s.beginPull(g)
		all = append(all, g)
	}
}

// What the target has under its tag already, it has taken.
func TestPresentItemEndsTheTrial(t *testing.T) {
	for present, want := range map[bool][]string{true: {"b", "c"}, false: {"b"}} {
		b := newBench()
		a := b.onTrial("a", 1, "x")
		a.checked = false
		b.onTrial("b", 2, "x")
		b.onTrial("c", 3, "x")
		s := b.schedule(9, 0)
		expectPull(t, s, nil) // the smallest is still being asked for
		s.Answered(a, present, false)
		if got := names(offered(s)); !slices.Equal(got, want) {
			t.Errorf("%q are pulled where the first is present: %t, want %q", got, present, want)
		}
	}
}

// Items with several media types never wait for each other.
func TestTrialsOfSeveralMediaTypes(t *testing.T) {
	b := newBench()
	both, x, y := b.onTrial("both", 5, "x", "y"), b.onTrial("x", 9, "x"), b.onTrial("y", 1, "y")
	s := b.schedule(9, 0)
	expectPull(t, s, y)
	expectPull(t, s, nil) // x waits for both, which waits for y
	s.Tried([]string{"y"})
	expectPull(t, s, both)
	expectPull(t, s, nil)
	s.Dropped(both, nil)
	expectPull(t, s, x)
}

// The classic store carries no such type, so nobody waits for an answer that no push brings.
func TestNoTrialOnTheClassicStore(t *testing.T) {
	b := newBench()
	b.onTrial("a", 1, "x")
	b.onTrial("b", 1, "x")
	if got := names(offered(b.scheduleOn(image.ClassicStore, 9, 0))); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%q are pulled at once", got)
	}
}

// Whatever becomes of the items, each is settled once, and the workers end. The target answers for a type at its first push.
func TestTrialsEnd(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) { testTrialsEnd(t, rand.New(rand.NewPCG(seed, 0))) })
	}
}

func testTrialsEnd(t *testing.T, random *rand.Rand) {
	b := newBench()
	for n := range 30 {
		var types []string
		for _, mediaType := range []string{"x", "y", "z"} {
			if random.IntN(3) == 0 {
				types = append(types, mediaType)
			}
		}
		b.onTrial(fmt.Sprint(n), random.Int64N(5), types...).checked = random.IntN(2) == 0
	}
	c := &chance{random: random, s: b.schedule(1+random.IntN(6), 1+random.Int64N(8)), settled: map[*Grant]int{}}
	c.s.toCheck = slices.DeleteFunc(c.s.toCheck, func(g *Grant) bool { return g.checked }) // which has been asked for before
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() { c.check(t) })
		group.Go(func() { c.pull(t, b) })
		group.Go(func() { c.push(t) })
	}
	group.Wait()
	for _, g := range b.tasks {
		if c.settled[g] != 1 {
			t.Errorf("%s was settled %d times", g.Target, c.settled[g])
		}
	}
	if unstarted, unpushed, _ := c.s.Rest(); len(unstarted)+len(unpushed) > 0 {
		t.Errorf("%q were not started and %q not pushed", names(unstarted), names(unpushed))
	}
}

// chance has workers of a schedule fail at random.
type chance struct {
	s       *Schedule
	mu      sync.Mutex
	random  *rand.Rand
	settled map[*Grant]int // how often
}

// one reports true once in n times.
func (c *chance) one(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.random.IntN(n) == 0
}

func (c *chance) settle(g *Grant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settled[g]++
}

func (c *chance) check(t *testing.T) {
	for g := c.s.NextCheck(t.Context()); g != nil; g = c.s.NextCheck(t.Context()) {
		pending := !c.one(4)
		release(c.s, c.s.Answered(g, c.one(8), pending))
		if !pending {
			c.settle(g)
		}
	}
}

func (c *chance) pull(t *testing.T, b *bench) {
	for {
		g, room, more := c.s.NextPull(t.Context())
		release(c.s, room.Evicted)
		if room.Sweep {
			c.s.Swept(true)
		}
		switch {
		case !more:
			return
		case g == nil:
		case c.one(5) && !g.Alone:
			release(c.s, c.s.Postpone(g, nil))
		case c.one(3):
			release(c.s, c.s.Dropped(g, nil))
			c.settle(g)
		default:
			if c.one(2) {
				c.s.Tried(g.Unknown)
			}
			pull(c.s, b, g)
		}
	}
}

func (c *chance) push(t *testing.T) {
	for g := c.s.NextPush(t.Context()); g != nil; g = c.s.NextPush(t.Context()) {
		c.s.Pushed(g, c.one(2))
		c.settle(g)
	}
}
