package migrate

import (
	"fmt"
	"slices"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// outcomes lists results as "name outcome".
func outcomes(results []transfer.Result) []string {
	list := make([]string, len(results))
	for i, r := range results {
		name := r.Name()
		if r.Referrers > 0 {
			name = fmt.Sprintf("%d referrers of %s", r.Referrers, r.Subject)
		}
		list[i] = fmt.Sprintf("%s: %s", name, r.Outcome)
	}
	return list
}

// surveyed plans all that the source has, for an engine with the containerd store unless change says otherwise.
func surveyed(t *testing.T, source transfer.Source, change func(*plan.Planner)) (plan.Survey, *plan.Planner) {
	t.Helper()
	p := &plan.Planner{Source: source, Store: image.ContainerdStore, Namer: plan.Namer{Base: testkit.TargetBase}, Catalog: plan.NewCatalog()}
	if change != nil {
		change(p)
	}
	found, err := p.Survey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return found, p
}

// targetTag is a tag of the repository app at the target.
func targetTag(tag string) string { return testkit.TargetBase + "/app:" + tag }

// expectRun makes a run with one worker, and expects its results in this order, and nothing left in the engine.
func expectRun(t *testing.T, engine *testkit.Engine, want ...string) []transfer.Result {
	t.Helper()
	return expectRunWith(t, engine, func(Event) {}, want...)
}

// expectRunWith is expectRun with a listener.
func expectRunWith(t *testing.T, engine *testkit.Engine, observe func(Event), want ...string) []transfer.Result {
	t.Helper()
	summary, _, err := runIn(t, engine, func(o *Options) { o.Concurrency, o.Observe = 1, observe })
	if got := outcomes(summary.Results); err != nil || !slices.Equal(got, want) {
		t.Errorf("results %q, want %q; error %v", got, want, err)
	}
	engine.ExpectEmpty(t)
	return summary.Results
}
