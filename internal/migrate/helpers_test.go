package migrate

import (
	"fmt"
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
