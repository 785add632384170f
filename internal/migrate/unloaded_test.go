package migrate

import (
	"fmt"
	"strings"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

// stuckEngine ends no load.
func stuckEngine(t *testing.T, source *testkit.Registry) *testkit.Engine {
	t.Helper()
	engine := testkit.NewEngine(source)
	engine.Before = func(call string) {
		if strings.HasPrefix(call, "load ") {
			engine.Fail(call, fmt.Errorf("a load: %w", docker.ErrStalled))
		}
	}
	return engine
}

// Where no load ends, everything is copied without: images by blob, those that would be cut off, and indexes. After a
// few loads no other is tried.
func TestRunWithoutLoads(t *testing.T) {
	source := testkit.NewRegistry()
	index, children := testkit.Pair(t, "app")
	source.Push("index", index, "1")
	source.Hold("index", children...)
	for i := range 6 {
		source.Push("light", testkit.LightImage(t, fmt.Sprint("light", i), "base"), fmt.Sprint(i))
		source.Push("heavy", testkit.HeavyImage(t, fmt.Sprint("heavy", i), "floor"), fmt.Sprint(i))
	}
	engine := stuckEngine(t, source)
	summary, _, err := runIn(t, engine, func(o *Options) { o.Concurrency, o.Dedicated = 1, true })
	if err != nil || len(summary.Results) != 13 || summary.Incomplete() != 0 {
		t.Errorf("results %q, error %v", outcomes(summary.Results), err)
	}
	if loads := len(engine.Of("load")); loads != 2 {
		t.Errorf("%d loads", loads)
	}
	if got := engine.Tags[testkit.TargetBase+"/index:1"]; got != index.Digest {
		t.Errorf("the index arrived as %s", got)
	}
	engine.ExpectEmpty(t)
}
