package plan

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// ahead returns the work for an account of which the target has nothing yet.
func ahead(a *account) (*Workload, map[*Item]TargetState) {
	nothing := map[*Item]TargetState{}
	for _, i := range a.tasks {
		i.Target = i.Image.Repository.Name
		nothing[i] = TargetState{Pending: len(i.Image.Tags)}
	}
	return NewWorkload(a.sorted(), nothing, a.blobs, image.ContainerdStore), nothing
}

func TestTakes(t *testing.T) {
	pace := Pace{Bytes: 1 << 20, PerTag: time.Second}
	a := &account{}
	for i := range 8 {
		a.push(fmt.Sprintf("app-%d", i), layerOf("base", 40), layerOf(fmt.Sprint(i), 10))
	}
	work, has := ahead(a)
	for jobs, want := range map[int]time.Duration{ // each job moves the 40 MB base and its part of the rest
		1: (40 + 8*11) * time.Second, 2: (40 + 4*11) * time.Second, 8: (40 + 11) * time.Second, 50: (40 + 11) * time.Second,
	} {
		if got := work.takes(jobs, pace); got != want {
			t.Errorf("%d jobs take %s, want %s", jobs, got, want)
		}
	}
	times := []JobTime{{1, 128 * time.Second}, {2, 84 * time.Second}, {4, 62 * time.Second}, {8, 51 * time.Second}}
	if got := work.Times(pace); !slices.Equal(got, times) {
		t.Errorf("times %v, want %v", got, times)
	}
	for within, want := range map[time.Duration]int{
		time.Hour: 1, 128 * time.Second: 1, 127 * time.Second: 2, 84 * time.Second: 2, 54 * time.Second: 8, 45 * time.Second: 0, 0: 0,
	} {
		if got := work.Enough(pace, within); got != want {
			t.Errorf("within %s: %d jobs, want %d", within, got, want)
		}
	}
	has[a.tasks[0]] = TargetState{Present: true}
	work = NewWorkload(a.sorted(), has, a.blobs, image.ContainerdStore)
	if got, want := work.takes(1, pace), (40+7*11)*time.Second; got != want {
		t.Errorf("the rest takes %s, want %s", got, want)
	}
}

func TestPaceOfAnEngine(t *testing.T) {
	for _, test := range []struct {
		store image.Store
		pace  Pace
		want  Pace
	}{
		{image.ContainerdStore, Pace{Within: time.Hour}, Pace{Bytes: 20e6, PerTag: 100 * time.Millisecond, Within: time.Hour}},
		{image.ClassicStore, Pace{}, Pace{Bytes: 4e6, PerTag: 100 * time.Millisecond}},
		{image.ContainerdStore, Pace{PerTag: PerTagAt("registry.gitlab.com")}, Pace{Bytes: 20e6, PerTag: 900 * time.Millisecond}},
		{image.ContainerdStore, Pace{PerTag: PerTagAt("registry.example.com")}, Pace{Bytes: 20e6, PerTag: 100 * time.Millisecond}},
		{image.ClassicStore, Pace{Bytes: 50e6}, Pace{Bytes: 50e6, PerTag: 100 * time.Millisecond}},
	} {
		if got := test.pace.On(test.store); got != test.want {
			t.Errorf("%s store: got %+v, want %+v", test.store, got, test.want)
		}
	}
}

// Estimating a large account takes only seconds, for any number of jobs.
func BenchmarkEnough(b *testing.B) {
	work, _ := ahead(grow(1, 2000, 50000))
	for b.Loop() {
		work.Enough(Pace{Bytes: 20e6, PerTag: 100 * time.Millisecond}, time.Minute)
	}
}
