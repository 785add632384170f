package migrate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

// stuckEngine ends no load.
func stuckEngine(t *testing.T, source *testkit.Registry) *memoryEngine {
	t.Helper()
	engine := newEngine(source)
	engine.before = func(call string) {
		if strings.HasPrefix(call, "load ") {
			engine.fail(call, fmt.Errorf("a load: %w", ErrStalled))
		}
	}
	return engine
}

// Where no load ends, everything is copied without: images by blob, those that would be cut off, and indexes. After a
// few loads no other is tried.
func TestRunWithoutLoads(t *testing.T) {
	source := newSource()
	index, children := pairOf(t, "app")
	source.Push("index", index, "1")
	source.Hold("index", children...)
	for i := range 6 {
		source.Push("light", lightOf(t, fmt.Sprint("light", i), "base"), fmt.Sprint(i))
		source.Push("heavy", heavyOf(t, fmt.Sprint("heavy", i), "floor"), fmt.Sprint(i))
	}
	engine := stuckEngine(t, source)
	summary, _, err := runIn(t, engine, func(o *Options) { o.Concurrency, o.Dedicated = 1, true })
	if err != nil || len(summary.Results) != 13 || summary.Incomplete() != 0 {
		t.Errorf("results %q, error %v", outcomes(summary.Results), err)
	}
	if loads := len(engine.of("load")); loads != 2 {
		t.Errorf("%d loads", loads)
	}
	if got := engine.tags[targetBase+"/index:1"]; got != index.Digest {
		t.Errorf("the index arrived as %s", got)
	}
	engine.expectEmpty(t)
}

// A load that was stuck once is tried again.
func TestLoadTriedAgain(t *testing.T) {
	image := lightOf(t, "app")
	s := newSetup(t, ContainerdStore, func(r *testkit.Registry) { r.Push("app", image, "1") })
	call := "load " + s.target("1")
	s.engine.fails[call] = ErrStalled
	s.engine.before = func(next string) {
		if next == call && s.engine.count(call) == 1 {
			delete(s.engine.fails, call)
		}
	}
	s.copy(t, "app:1: exact")
	if got := s.engine.of("load", "tag"); !slices.Equal(got, []string{"load app:1", "load app:1"}) {
		t.Errorf("calls %q", got)
	}
}

// The platform for which an index is pulled is one that it lists.
func TestOnePlatform(t *testing.T) {
	arm := &ocispec.Platform{OS: "linux", Architecture: "arm64"}
	first, second := imageOf(t, "1").Descriptor, imageOf(t, "2").Descriptor
	second.Platform = arm
	for _, test := range []struct {
		children []ocispec.Descriptor
		want     ocispec.Platform
	}{
		{[]ocispec.Descriptor{first, second}, *arm},
		{[]ocispec.Descriptor{first}, ocispec.Platform{}},
	} {
		if got := onePlatform(image.NewTree(indexOf(t, test.children...), nil)); got.Architecture != test.want.Architecture {
			t.Errorf("platform %+v, want %+v", got, test.want)
		}
	}
}
