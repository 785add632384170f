package migrate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/schedule"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// blobOf is a blob, and what engines call it.
func blobOf(name string, size int64) (ocispec.Descriptor, string) {
	d := digest.FromString(name)
	return ocispec.Descriptor{Digest: d, Size: size}, d.Encoded()[:12]
}

// meteredTask is an image of two blobs, "a" of 100 bytes and "b" of 300, and what its meter tells.
func meteredTask() (m *meter, t *schedule.Grant, told func() []string) {
	blobs := plan.NewCatalog()
	a, _ := blobOf("a", 100)
	b, _ := blobOf("b", 300)
	ids := blobs.Add([]ocispec.Descriptor{a, b})
	t = schedule.Alone(&plan.Item{
		Image: image.Image{Repository: image.Repository{Name: "app"}, Digest: digest.FromString("app"), Tags: []string{"1", "2"}},
		Blobs: ids,
	})
	var lines []string
	m = newMeter(blobs, func(e Event) {
		switch e := e.(type) {
		case Working:
			lines = append(lines, fmt.Sprintf("%s %d/%d", e.Step, e.Current, e.Total))
		case Moved:
			lines[len(lines)-1] += fmt.Sprintf(", %d/%d", e.Bytes, e.Of)
		}
	})
	m.plan([]*plan.Item{t.Item})
	return m, t, func() []string { return lines }
}

// TestProgress has a worker hear what an engine says, a second apart.
func TestProgress(t *testing.T) {
	_, a := blobOf("a", 0)
	_, b := blobOf("b", 0)
	for _, test := range []struct {
		name      string
		direction direction
		transfers []docker.Progress
		want      []string // the first and the last line aside
	}{
		{"a pull", inbound, []docker.Progress{
			{Blob: a, Phase: docker.Downloading, Current: 50, Total: 100},
			{Blob: b, Phase: docker.Downloading, Current: 30, Total: 300},
			{Blob: a, Phase: docker.Downloading, Over: true},
			{Blob: a, Phase: docker.Extracting},
			{Blob: b, Phase: docker.Downloading, Current: 300, Total: 300},
			{Blob: a, Phase: docker.Extracting, Over: true},
			{Blob: b, Phase: docker.Downloading, Over: true},
			{Blob: b, Phase: docker.Extracting, Current: 150, Total: 300},
			{Blob: b, Phase: docker.Extracting, Over: true},
		}, []string{
			"pull 50/400, 25/400", "pull 80/400, 40/400", "pull 130/400, 65/400", "pull 130/400, 65/400", "pull 400/400, 200/400",
			"pull 400/400, 200/400", "pull 400/400, 200/400", "extract 250/400, 200/400", "extract 400/400, 200/400",
		}},
		{"layers that are unpacked unseen", inbound, []docker.Progress{{Blob: a, Phase: docker.Extracting, Over: true}}, []string{
			"extract 100/400, 50/400",
		}},
		{"a pull that is begun again", inbound, []docker.Progress{
			{Blob: a, Phase: docker.Downloading, Current: 90, Total: 100}, {Blob: a, Phase: docker.Downloading, Current: 10, Total: 100},
		}, []string{"pull 90/400, 45/400", "pull 90/400, 45/400"}},
		{"a push", outbound, []docker.Progress{
			{Blob: a, Phase: docker.Pushing, Current: 50, Total: 100},
			{Blob: a, Phase: docker.Pushing, Over: true},
			{Blob: b, Phase: docker.Pushing, Over: true},
			{Blob: "0123456789ab", Phase: docker.Pushing, Over: true}, // of which nobody knows the size
		}, []string{"push 50/400, 25/400", "push 100/400, 50/400", "push 400/400, 200/400", "push 400/400, 200/400"}},
		{"a push of another store's layers", outbound, []docker.Progress{ // it calls them otherwise, and counts them unpacked
			{Blob: "0123456789ab", Phase: docker.Pushing, Current: 300, Total: 1200},
			{Blob: "0123456789ab", Phase: docker.Pushing, Current: 1200, Total: 1200},
		}, []string{"push 300/1600, 37/400", "push 1200/1600, 150/400"}},
		{"nonsense", inbound, []docker.Progress{
			{Blob: a, Phase: docker.Downloading, Current: 500, Total: 100},
			{Blob: b, Phase: docker.Downloading, Current: -5, Total: 300},
			{Blob: b, Phase: docker.Downloading, Current: 5, Total: -300},
			{Blob: "", Phase: docker.Downloading, Current: 1 << 62, Total: 1 << 62},
		}, []string{"pull 100/400, 50/400", "pull 100/400, 50/400", "pull 100/400, 50/400", "pull 68719476836/68719477136, 199/400"}},
		{"a push within a pull", inbound, []docker.Progress{
			{Blob: a, Phase: docker.Downloading, Current: 50, Total: 100}, {Blob: a, Phase: docker.Pushing, Current: 50, Total: 100},
		}, []string{"pull 50/400, 25/400", "push 50/400, 25/400"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, task, told := meteredTask()
				progress, end := m.follow(task, test.direction)
				for _, moved := range test.transfers {
					time.Sleep(time.Second)
					progress(moved)
				}
				end(false)
				want := slices.Concat([]string{string(stepOf(test.direction)) + " 0/400, 0/400"}, test.want, []string{" 0/0, 0/400"})
				if got := told(); !slices.Equal(got, want) {
					t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			})
		})
	}
}

// Engines say ten times a second how far they are with each layer: a reader is told less often, and each new step at once.
func TestProgressIsToldSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a := blobOf("a", 0)
		m, task, told := meteredTask()
		progress, end := m.follow(task, inbound)
		for i := range int64(100) {
			time.Sleep(10 * time.Millisecond)
			progress(docker.Progress{Blob: a, Phase: docker.Downloading, Current: i, Total: 100})
		}
		if n := len(told()); n != 5 {
			t.Errorf("told %d times in a second", n)
		}
		progress(docker.Progress{Blob: a, Phase: docker.Extracting})
		if n := len(told()); n != 6 {
			t.Errorf("told %d times with the next step", n)
		}
		end(true)
		progress(docker.Progress{Blob: a, Phase: docker.Extracting, Over: true})
		if n := len(told()); n != 7 {
			t.Errorf("told %d times with the end", n)
		}
	})
}

// What is left ends with the images that it is for, however they end.
func TestMeterSettles(t *testing.T) {
	blobs := plan.NewCatalog()
	var ids []plan.BlobID
	for i, size := range []int64{100, 300, 600} {
		blob, _ := blobOf(fmt.Sprint(i), size)
		ids = append(ids, blobs.Add([]ocispec.Descriptor{blob})...)
	}
	of := func(name string, tags []string, blobs ...plan.BlobID) *schedule.Grant {
		return schedule.Alone(&plan.Item{Image: image.Image{Repository: image.Repository{Name: name}, Digest: digest.FromString(name), Tags: tags}, Blobs: blobs})
	}
	x, y, z := of("x", []string{"1", "2"}, ids[0], ids[1]), of("y", []string{"1"}, ids[1]), of("z", []string{"1"}, ids[2])
	refused := of("z", []string{"no tag of Docker's"}, ids[2]) // the same image
	refused.Refusal = fmt.Errorf("no")
	list := &plan.Item{Image: z.Image, List: &plan.ReferrersList{Count: 2}}
	m := newMeter(blobs, func(Event) {})
	m.plan([]*plan.Item{x.Item, y.Item, z.Item, refused.Item})
	state := func(name, want string) {
		t.Helper()
		if s := m.state(); fmt.Sprintf("%d/%d", s.Bytes, s.Of) != want {
			t.Errorf("%s: %+v, want %s", name, s, want)
		}
	}
	result := func(t *schedule.Grant, tag string, outcome transfer.Outcome) transfer.Result {
		r := transfer.ResultOf(t.Item, tag)
		r.Outcome = outcome
		return r
	}
	state("planned", "0/1000")
	_, end := m.follow(x, inbound)
	end(true)
	state("x pulled", "200/1000")
	if m.settle(result(x, "1", transfer.Exact)) {
		t.Error("x is settled with the first of two tags")
	}
	state("a tag of x", "200/1000")
	if !m.settle(result(x, "2", transfer.Failed)) {
		t.Error("x is not settled")
	}
	state("x", "400/1000")
	m.settle(found(result(y, "1", transfer.OnePlatform)))
	state("y, which had been moved with x", "400/1000")
	m.settle(transfer.ResultOf(list, "sha256-1"))
	m.settle(transfer.Result{Repository: "unlisted"})
	m.settle(result(refused, "1", transfer.Refused))
	state("what is no image", "400/1000")
	_, end = m.follow(z, inbound)
	end(true)
	m.settle(result(z, "1", transfer.Failed))
	state("z, pulled and not pushed", "700/700")
	if m.settle(result(z, "1", transfer.Failed)) || len(m.images) != 0 {
		t.Errorf("%d images are left", len(m.images))
	}
}

// Referrers count as images do. Those that are never copied, because their subject has not arrived, are not left forever.
func TestMeterCountsReferrers(t *testing.T) {
	blobs := plan.NewCatalog()
	of := func(name string, size int64) *plan.Item {
		blob, _ := blobOf(name, size)
		return &plan.Item{
			Image: image.Image{Digest: digest.FromString(name), Tags: []string{name}}, Blobs: blobs.Add([]ocispec.Descriptor{blob}),
			List: &plan.ReferrersList{Count: 1},
		}
	}
	copied, dropped := of("copied", 100), of("dropped", 300)
	m := newMeter(blobs, func(Event) {})
	m.plan([]*plan.Item{copied, dropped})
	if s := m.state(); s != (Moved{Of: 400}) {
		t.Errorf("planned: %+v", s)
	}
	result := transfer.ResultOf(copied, "copied")
	result.Outcome = transfer.Exact
	if !m.settle(result) {
		t.Error("the copied referrers are not settled")
	}
	m.drop([]*plan.Item{copied, dropped})
	if s := m.state(); s != (Moved{Bytes: 100, Of: 100}) {
		t.Errorf("in the end: %+v", s)
	}
}

// What the target has already need not be moved.
func TestMeterSparesWhatIsThere(t *testing.T) {
	m, task, _ := meteredTask()
	task.Bring, task.Spare = task.Blobs[:1], task.Blobs[1:]
	_, end := m.follow(task, inbound)
	defer end(false)
	if s := m.state(); s != (Moved{Of: 100}) {
		t.Errorf("%+v", s)
	}
}

func TestNobodyIsTold(t *testing.T) {
	var m *meter
	progress, end := m.follow(nil, inbound)
	end(true)
	if progress != nil || m.settle(transfer.Result{}) {
		t.Error("the nil meter does something")
	}
}

// tellingEngine says that all of what it moves has moved.
type tellingEngine struct{ *testkit.Engine }

func (e tellingEngine) Pull(ctx context.Context, ref string, progress docker.Listener) error {
	e.tell(ref, docker.Downloading, progress)
	return e.Engine.Pull(ctx, ref, progress)
}

func (e tellingEngine) Push(ctx context.Context, ref string, progress docker.Listener) (digest.Digest, error) {
	e.tell(ref, docker.Pushing, progress)
	return e.Engine.Push(ctx, ref, progress)
}

func (e tellingEngine) tell(ref string, phase docker.Phase, progress docker.Listener) {
	if progress != nil {
		progress(docker.Progress{Blob: ref, Phase: phase, Current: 1, Total: 2})
	}
}

// A run tells what each of its workers does until they have done with it, and how far everything is, up to the end.
func TestRunTellsProgress(t *testing.T) {
	pair, children := testkit.Pair(t, "pair")
	source := testkit.NewRegistry()
	source.Push("app", pair, "1", "latest")
	source.Hold("app", children...)
	source.Push("app", testkit.Image(t, "image"), "2")
	source.Push("app", testkit.Image(t, "spoiled"), "3")
	source.Push("other", testkit.Image(t, "blocked"), "1")
	source.Push("deep/er/app", testkit.Image(t, "image"), "1")
	engine := testkit.NewEngine(source)
	engine.Rivals[children[1].Digest] = children[0].Digest
	engine.Fails["push "+testkit.TargetBase+"/other:1"] = docker.ErrDenied
	_, events, err := runIn(t, engine, func(o *Options) { o.Engine = tellingEngine{engine} })
	if err != nil {
		t.Fatal(err)
	}
	planned, last, working, steps := int64(-1), Moved{}, map[digest.Digest]transfer.Step{}, map[transfer.Step]int{}
	for _, event := range events {
		switch e := event.(type) {
		case Planned:
			planned = e.Bytes
		case Moved:
			if planned >= 0 && e.Of != planned && last == (Moved{}) {
				t.Errorf("first %+v, planned %d", e, planned)
			}
			if e.Bytes > e.Of {
				t.Errorf("%+v", e)
			}
			last = e
		case Working:
			working[e.Image.Digest] = e.Step
			steps[e.Step]++
		}
	}
	if last.Bytes != last.Of || last.Bytes == 0 {
		t.Errorf("in the end, %+v", last)
	}
	for img, step := range working {
		if step != "" {
			t.Errorf("a worker is still busy with the %s of %s", step, img)
		}
	}
	if len(working) != 4 || steps[transfer.StepPull] < 4 || steps[transfer.StepPush] < 4 {
		t.Errorf("%d images, %v", len(working), steps)
	}
}

// found is the result of a tag that was at the target already.
func found(r transfer.Result) transfer.Result {
	r.Found = true
	return r
}
