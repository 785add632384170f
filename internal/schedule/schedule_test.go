package schedule

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

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

// bench makes bare tasks, whose blobs have all the same size, for a schedule of their own.
type bench struct {
	blobs *plan.Catalog
	size  int64
	tasks []*Grant
}

func newBench() *bench { return &bench{blobs: plan.NewCatalog(), size: 1 << 20} }

// image is a task of just these blobs, in a repository of its own, checked and with a tag to be copied.
func (b *bench) image(name string, blobs ...string) *Grant {
	t := &Grant{Item: &plan.Item{Image: image.Image{Tags: []string{name}}, Target: name}, checked: true}
	for _, blob := range blobs {
		t.Blobs = append(t.Blobs, b.blobs.Add([]ocispec.Descriptor{{Digest: digest.FromString(blob), Size: b.size}})...)
	}
	b.tasks = append(b.tasks, t)
	return t
}

// schedule has no bound of the disk where budget, in blobs, is 0.
func (b *bench) schedule(limit int, budget int64) *Schedule {
	return b.scheduleOn(image.ContainerdStore, limit, budget)
}

func (b *bench) scheduleOn(store image.Store, limit int, budget int64) *Schedule {
	var checked []bool
	for _, t := range b.tasks {
		checked = append(checked, t.checked)
	}
	s := scheduleOf(b.tasks, limit, NewDisk(b.blobs, store, budget*b.size))
	for i, t := range b.tasks {
		t.checked = checked[i]
	}
	return s
}

// pull has the image pulled, each of its blobs that was not there by itself, and some by pulls that were cut off.
func pull(s *Schedule, b *bench, t *Grant, cut ...plan.BlobID) []string {
	var holds []HeldRef
	for _, id := range t.Bring {
		holds = append(holds, HeldRef{Ref: b.name(id), Blobs: []plan.BlobID{id}})
	}
	return release(s, s.Pulled(t, holds, cut))
}

// release has the engine release the references, and returns their names.
func release(s *Schedule, holds []HeldRef) []string {
	s.Released(holds)
	return refs(holds)
}

// name tells a blob by what its digest was made of, of the names that tests use.
func (b *bench) name(id plan.BlobID) string {
	for _, name := range []string{"base", "other", "a", "b", "c", "d", "large"} {
		if digest.FromString(name) == b.blobs.Digest(id) {
			return name
		}
	}
	return "?"
}

func refs(holds []HeldRef) []string {
	var names []string
	for _, h := range holds {
		names = append(names, h.Ref)
	}
	slices.Sort(names)
	return names
}

func names(tasks []*Grant) []string {
	var all []string
	for _, t := range tasks {
		all = append(all, t.Image.Tags[0])
	}
	return all
}

func over(t *testing.T) context.Context {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	return ended
}

// expectPull fails the test unless the image is next, and the blobs leave the engine before.
func expectPull(t *testing.T, s *Schedule, want *Grant, evicted ...string) {
	t.Helper()
	s.mu.Lock()
	got, room := s.takePull()
	if got != nil {
		s.beginPull(got)
	}
	s.mu.Unlock()
	if left := release(s, room.Evicted); got != want || !slices.Equal(left, evicted) {
		t.Fatalf("next is %q after %q, want %q after %q", names(slices.DeleteFunc([]*Grant{got}, func(t *Grant) bool { return t == nil })),
			left, names(slices.DeleteFunc([]*Grant{want}, func(t *Grant) bool { return t == nil })), evicted)
	}
}

// The first image brings a blob, and those that share it wait until it is there; others go on meanwhile.
func TestScheduleKeepsPullsApart(t *testing.T) {
	bench := newBench()
	a, b, c := bench.image("a", "base", "a"), bench.image("b", "base", "b"), bench.image("c", "other")
	s := bench.schedule(9, 0)
	expectPull(t, s, a)
	expectPull(t, s, c)
	expectPull(t, s, nil)
	pull(s, bench, a)
	expectPull(t, s, b)
	if got, want := len(b.Bring), 1; got != want {
		t.Errorf("b brings %d blobs, want %d", got, want)
	}
	if got, _, more := s.NextPull(over(t)); got != nil || more {
		t.Errorf("%q again", names([]*Grant{got}))
	}
}

// A pull that failed leaves its blobs to the next.
func TestSchedulePassesABlobOn(t *testing.T) {
	bench := newBench()
	a, b := bench.image("a", "base"), bench.image("b", "base")
	s := bench.schedule(9, 0)
	expectPull(t, s, a)
	s.Dropped(a, nil)
	expectPull(t, s, b)
	pull(s, bench, b)
	if got := s.NextPush(t.Context()); got != b {
		t.Error("b is not pushed")
	}
	s.Pushed(b, true)
	if got := s.NextPush(t.Context()); got != nil {
		t.Errorf("%q is pushed", names([]*Grant{got}))
	}
}

// On the classic store those that share a blob wait until its push has noted that the target has it.
func TestScheduleOnTheClassicStoreWaitsForThePush(t *testing.T) {
	for _, arrived := range []bool{true, false} {
		bench := newBench()
		a, b := bench.image("a", "base", "a"), bench.image("b", "base", "b")
		s := bench.scheduleOn(image.ClassicStore, 9, 0)
		expectPull(t, s, a)
		pull(s, bench, a)
		expectPull(t, s, nil)
		if got := s.NextPush(t.Context()); got != a {
			t.Fatalf("%q is pushed first", names([]*Grant{got}))
		}
		s.Pushed(a, arrived)
		expectPull(t, s, b)
	}
}

func TestScheduleKeepsPushesApart(t *testing.T) {
	for _, arrived := range []bool{true, false} {
		bench := newBench()
		a, b := bench.image("a", "base"), bench.image("b", "base")
		s := bench.schedule(9, 0)
		for _, next := range []*Grant{a, b} {
			expectPull(t, s, next)
			pull(s, bench, next)
		}
		if got := s.NextPush(t.Context()); got != a {
			t.Fatal("a is not first")
		}
		if s.NextPush(over(t)) != nil {
			t.Fatal("b races for the base")
		}
		s.Pushed(a, arrived)
		if got := s.NextPush(t.Context()); got != b {
			t.Error("b is not next")
		}
	}
}

// What an image to come needs stays in the engine, and no longer than that.
func TestScheduleKeepsWhatIsNeeded(t *testing.T) {
	bench := newBench()
	for _, name := range []string{"a", "b", "c"} {
		bench.image(name, "base", name)
	}
	bench.image("d", "other")
	s := bench.schedule(1, 0)
	var got []string
	for _, next := range bench.tasks {
		expectPull(t, s, next)
		got = append(got, fmt.Sprint(next.Image.Tags, pull(s, bench, next)))
		s.Pushed(s.NextPush(t.Context()), true)
	}
	// An image's own blobs can go at once: its names at the target hold them until it is pushed.
	want := []string{"[a] [a]", "[b] [b]", "[c] [base c]", "[d] [other]"}
	if !slices.Equal(got, want) {
		t.Errorf("removed %q, want %q", got, want)
	}
	if s.disk.used != 0 {
		t.Errorf("%d bytes are counted in an empty engine", s.disk.used)
	}
}

// The target is asked while images are pulled: what it has already needs nothing to be kept.
func TestScheduleChecks(t *testing.T) {
	bench := newBench()
	a, b, c := bench.image("a", "base"), bench.image("b", "base"), bench.image("c", "other")
	b.checked, c.checked = false, false
	s := bench.schedule(9, 0)
	expectPull(t, s, a)
	expectPull(t, s, nil)
	if kept := pull(s, bench, a); kept != nil {
		t.Errorf("%q leave the engine, which b may need", kept)
	}
	for _, want := range []*Grant{a, b, c} { // in the order of the pulls
		if got := s.NextCheck(t.Context()); got != want {
			t.Fatalf("asked for %q", names([]*Grant{got}))
		}
	}
	if s.NextCheck(t.Context()) != nil {
		t.Error("asked for one more")
	}
	if got := release(s, s.Answered(b, false, false)); !slices.Equal(got, []string{"base"}) {
		t.Errorf("%q leave the engine", got)
	}
	s.Answered(c, false, true)
	expectPull(t, s, c)
	pull(s, bench, c)
	for range 2 {
		s.Pushed(s.NextPush(t.Context()), true)
	}
	if got := s.NextPush(t.Context()); got != nil {
		t.Errorf("%q is pushed", names([]*Grant{got}))
	}
}

// What the target repository has the engine need not have, once that is known of all that stands before the image.
func TestScheduleSparesWhatIsDelivered(t *testing.T) {
	for _, store := range []image.Store{image.ContainerdStore, image.ClassicStore} {
		bench := newBench()
		a, b, c := bench.image("a", "base", "a"), bench.image("b", "base", "b"), bench.image("c", "base", "c")
		a.Target, b.Target = "repository", "repository"
		a.checked = false
		s := bench.schedule(9, 0)
		s.disk.store = store
		s.NextCheck(t.Context())
		expectPull(t, s, c)
		expectPull(t, s, nil) // b has to wait for a's answer
		s.Answered(a, true, false)
		if store == image.ClassicStore {
			expectPull(t, s, nil) // and for c's base
			continue
		}
		expectPull(t, s, b)
		if len(b.Bring) != 1 || len(b.Spare) != 1 || len(b.local) != 1 {
			t.Errorf("b brings %d blobs, is spared %d and holds %d", len(b.Bring), len(b.Spare), len(b.local))
		}
		pull(s, bench, b)
		if got := s.NextPush(t.Context()); got != b || len(b.Upload) != 1 {
			t.Errorf("b's push claims %d blobs", len(b.Upload))
		}
		pull(s, bench, c)
		if got := s.NextPush(t.Context()); got != c || len(c.Upload) != 2 {
			t.Errorf("c's push claims %d blobs", len(c.Upload))
		}
		s.Pushed(b, true)
		if s.pushes.free(c.Blobs) {
			t.Error("the end of b's push gives back what c's has claimed")
		}
		s.Pushed(c, true)
		if s.disk.used != 0 {
			t.Errorf("%d bytes in use", s.disk.used)
		}
	}
}

// Nobody waits for the other tags of an image whose blobs have arrived.
func TestScheduleUploaded(t *testing.T) {
	for _, arrived := range []bool{true, false} {
		bench := newBench()
		a, b := bench.image("a", "base", "a"), bench.image("b", "base", "b")
		s := bench.schedule(9, 0)
		for _, g := range []*Grant{a, b} {
			expectPull(t, s, g)
			pull(s, bench, g)
		}
		if got := s.NextPush(t.Context()); got != a {
			t.Fatalf("%q is pushed", names([]*Grant{got}))
		}
		if s.pushes.free(b.Blobs) {
			t.Error("b can be pushed before the base is there")
		}
		s.Uploaded(a)
		if got := s.NextPush(t.Context()); got != b || len(b.Upload) != 1 {
			t.Errorf("b is to upload %d blobs, want its own", len(b.Upload))
		}
		s.Pushed(a, arrived)
		if s.pushes.free(b.Blobs) || s.pushes.there[a.Blobs[0]] != 1 {
			t.Error("the end of a's push changes what b's has claimed, or counts a again")
		}
		s.Pushed(b, true)
		if s.disk.used != 0 {
			t.Errorf("%d bytes in use", s.disk.used)
		}
	}
}

func TestScheduleBoundsWhatIsPulledAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bench := newBench()
		c := []*Grant{bench.image("a", "a"), bench.image("b", "b"), bench.image("c", "c")}[2]
		s := bench.schedule(2, 0)
		for range 2 {
			next, _, _ := s.NextPull(t.Context())
			pull(s, bench, next)
		}
		third := make(chan *Grant)
		go func() { next, _, _ := s.NextPull(t.Context()); third <- next }()
		select {
		case <-third:
			t.Fatal("three images are pulled ahead")
		case <-time.After(time.Hour):
		}
		s.Pushed(s.NextPush(t.Context()), true)
		if got := <-third; got != c {
			t.Error("c is not next")
		}
	})
}

// Within the budget, an image waits for room, and what costs least to fetch again leaves.
func TestScheduleStaysWithinTheBudget(t *testing.T) {
	bench := newBench()
	a := bench.image("a", "base", "a")
	b := bench.image("b", "b", "c", "d")
	c := bench.image("c", "base", "c")
	d := bench.image("d", "base", "d")
	s := bench.schedule(9, 4)
	expectPull(t, s, c)   // which has most of what others wait for
	expectPull(t, s, nil) // a waits for the base, and b for c
	pull(s, bench, c)
	expectPull(t, s, b)
	expectPull(t, s, nil) // a has no room beside b and c, and d waits for b
	pull(s, bench, b)
	for range 2 {
		s.Pushed(s.NextPush(t.Context()), true)
	}
	if s.disk.used != 2*bench.size {
		t.Errorf("%d bytes are in use, want two blobs: the base, and what b shares with d", s.disk.used)
	}
	expectPull(t, s, a)
	expectPull(t, s, d)
}

// Where nothing goes any more, room is made of what is kept; an image that is too large for the budget goes alone.
func TestScheduleMakesRoom(t *testing.T) {
	bench := newBench()
	a := bench.image("a", "base", "a")
	large := bench.image("large", "b", "c", "d", "large")
	later := bench.image("later", "base", "a")
	s := bench.schedule(9, 3)
	expectPull(t, s, a)
	pull(s, bench, a)
	later.checked = false
	expectPull(t, s, nil) // a is still to be pushed
	s.Pushed(s.NextPush(t.Context()), true)
	expectPull(t, s, large, "a", "base")
	later.checked = true
	expectPull(t, s, nil)
	pull(s, bench, large)
	s.Pushed(s.NextPush(t.Context()), true)
	expectPull(t, s, later)
	if len(later.Bring) != 2 {
		t.Errorf("brings %d blobs of those that had to leave, want 2", len(later.Bring))
	}
}

// A reference takes up room until the engine has released it, and meanwhile no room is made of others.
func TestScheduleWaitsForRelease(t *testing.T) {
	bench := newBench()
	a, b := bench.image("a", "base", "a"), bench.image("b", "b", "c")
	bench.image("c", "base").checked = false
	s := bench.schedule(9, 3)
	expectPull(t, s, a)
	own := []HeldRef{{Ref: "own", Blobs: a.Blobs[1:]}}
	left := s.Pulled(a, append(own, HeldRef{Ref: "base", Blobs: a.Blobs[:1]}), nil)
	s.Pushed(s.NextPush(t.Context()), true)
	if !slices.Equal(refs(left), []string{"own"}) || s.disk.used != 2*bench.size {
		t.Errorf("%q are to be released, and %d bytes are in use", refs(left), s.disk.used)
	}
	expectPull(t, s, nil)
	s.Released(left)
	expectPull(t, s, b)
}

// What is cheap to fetch again for the room that it frees leaves first, then what fewest need.
func TestScheduleEvictsTheCheapest(t *testing.T) {
	bench := newBench()
	first := bench.image("first", "base", "a", "b")
	for _, blobs := range [][]string{{"base"}, {"base"}, {"a"}, {"a"}, {"a"}, {"b"}} {
		bench.image("later", blobs...).checked = false
	}
	large := bench.image("large", "c", "d")
	s := bench.schedule(9, 3)
	expectPull(t, s, first)
	pull(s, bench, first)
	s.Pushed(s.NextPush(t.Context()), true)
	expectPull(t, s, large, "b", "base")
}

// A reference that an item needs for a small blob alone can leave, with a large one that nobody needs: what is little is
// fetched again.
func TestScheduleEvictsWhatIsKeptForLittle(t *testing.T) {
	bench := newBench()
	first := bench.image("first", "a")
	second := bench.image("second", "b")
	small := bench.blobs.Add([]ocispec.Descriptor{{Digest: digest.FromString("small"), Size: 2}})
	first.Blobs, second.Blobs = append(first.Blobs, small...), append(second.Blobs, small...)
	s := bench.schedule(9, 0)
	s.disk.budget = bench.size + 2
	expectPull(t, s, first)
	s.Pulled(first, []HeldRef{{Ref: "image", Blobs: first.Blobs}}, nil)
	s.Pushed(s.NextPush(t.Context()), true)
	expectPull(t, s, second, "image")
	if len(second.Bring) != 2 || s.disk.used > s.disk.budget {
		t.Errorf("brings %d blobs, and %d bytes of %d are in use", len(second.Bring), s.disk.used, s.disk.budget)
	}
}

// A full disk is no failure: the engine is swept before anything else is pulled, and the image is tried once more, alone and
// with nothing kept. Less is kept from then on.
func TestScheduleStarved(t *testing.T) {
	bench := newBench()
	a, b, c := bench.image("a", "base", "a"), bench.image("b", "base", "b"), bench.image("c", "base", "c")
	s := bench.schedule(9, 0)
	expectPull(t, s, a)
	pull(s, bench, a)
	expectPull(t, s, b)
	s.Postpone(b, nil)
	if s.disk.budget >= 3*bench.size {
		t.Errorf("the budget is still %d", s.disk.budget)
	}
	s.Pushed(s.NextPush(t.Context()), true)
	if got, room, _ := s.NextPull(t.Context()); got != nil || !room.Sweep {
		t.Errorf("next %v, swept %v", got, room.Sweep)
	}
	expectPull(t, s, nil) // until the engine has been swept
	s.Swept(true)
	expectPull(t, s, c)
	pull(s, bench, c)
	expectPull(t, s, nil) // c is in the engine
	s.Pushed(s.NextPush(t.Context()), true)
	expectPull(t, s, b)
	if !b.Alone || len(b.Bring) != 2 {
		t.Errorf("b: alone %v, brings %d blobs", b.Alone, len(b.Bring))
	}
	pull(s, bench, b)
	s.Pushed(s.NextPush(t.Context()), true)
	if got, _, more := s.NextPull(t.Context()); got != nil || more || s.disk.used != 0 {
		t.Errorf("next %v, %d bytes in use", got, s.disk.used)
	}
}

// What cannot be swept holds nothing up.
func TestScheduleStarvedUnswept(t *testing.T) {
	bench := newBench()
	a, b := bench.image("a", "a"), bench.image("b", "b")
	s := bench.schedule(9, 0)
	expectPull(t, s, a)
	s.Postpone(a, nil)
	if _, room, _ := s.NextPull(t.Context()); !room.Sweep {
		t.Error("not swept")
	}
	s.Swept(false)
	expectPull(t, s, b)
}

func TestScheduleInterrupted(t *testing.T) {
	bench := newBench()
	a, _, c := bench.image("a", "a"), bench.image("b", "b"), bench.image("c", "c")
	s := bench.schedule(9, 0)
	expectPull(t, s, a)
	pull(s, bench, a)
	expectPull(t, s, bench.tasks[1])
	s.Postpone(bench.tasks[1], nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if next, _, _ := s.NextPull(ctx); next != nil || s.NextPush(ctx) != nil || s.NextCheck(ctx) != nil {
		t.Error("work after the end")
	}
	unstarted, unpushed, kept := s.Rest()
	if !slices.Equal(names(unstarted), []string{"c", "b"}) || !slices.Equal(names(unpushed), []string{"a"}) || len(kept) > 0 {
		t.Errorf("left are %q (want %q and b), %q and %q", names(unstarted), c.Image.Tags, names(unpushed), refs(kept))
	}
}

// What an engine keeps of pulls that were cut off counts until it is swept, and with it goes before anything that would
// have to be fetched again.
func TestScheduleSweepsFirst(t *testing.T) {
	bench := newBench()
	a, b, c := bench.image("a", "base", "a"), bench.image("b", "base", "b"), bench.image("c", "c")
	b.checked = false
	s := bench.schedule(9, 2)
	expectPull(t, s, a)
	pull(s, bench, a, a.Blobs...)
	s.Pushed(s.NextPush(t.Context()), true)
	if s.disk.used != 2*bench.size {
		t.Errorf("%d bytes in use before the sweep", s.disk.used)
	}
	if next, room, more := s.NextPull(t.Context()); next != nil || !room.Sweep || room.Evicted != nil || !more {
		t.Errorf("next is %v, room %+v", next, room)
	}
	if s.Swept(true); s.disk.used != bench.size {
		t.Errorf("%d bytes in use after the sweep", s.disk.used)
	}
	expectPull(t, s, c)
}

// Layers that come with a whole image are unpacked, too, and take up more.
func TestDiskCountsUnpacked(t *testing.T) {
	for _, test := range []struct {
		store image.Store
		size  int64
		want  int64
	}{
		{image.ContainerdStore, image.MaxBlobPull, image.MaxBlobPull},
		{image.ContainerdStore, image.MaxBlobPull + 1, 4 * (image.MaxBlobPull + 1)},
		{image.ClassicStore, 10, 40},
	} {
		blobs := plan.NewCatalog()
		ids := blobs.Add([]ocispec.Descriptor{{Digest: testkit.EmptyDigest, Size: test.size}, {Digest: testkit.EmptyDigest, Size: test.size}})
		d := NewDisk(blobs, test.store, 0)
		need := d.Need(ids)
		d.use(ids)
		d.use(ids)
		d.leave(ids)
		if need != test.want || d.used != test.want || d.Need(ids) != 0 {
			t.Errorf("%s, %d bytes: need %d, used %d, want %d", test.store, test.size, need, d.used, test.want)
		}
		if d.leave(ids); d.used != 0 {
			t.Errorf("%d bytes are left", d.used)
		}
		d.use(ids)
		d.pin(ids)
		d.sweep()
		if test.store == image.ContainerdStore && d.used != test.size {
			t.Errorf("%d bytes are left by a sweep, want the layer alone, %d", d.used, test.size)
		}
	}
}
