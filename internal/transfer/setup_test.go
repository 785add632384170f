package transfer_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/schedule"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// setup is one image with its tags, planned and ready to be copied.
type setup struct {
	source *testkit.Registry
	engine *testkit.Engine
	with   transfer.Setup
	made   *transfer.Copier
	item   *plan.Item
	unpack bool // all blobs are worth unpacking
}

// newSetup plans the first image that fill pushes.
func newSetup(t *testing.T, store image.Store, fill func(*testkit.Registry)) *setup {
	t.Helper()
	source := testkit.NewRegistry()
	fill(source)
	engine := testkit.NewEngine(source)
	engine.Kind = store
	s := planned(t, engine, &plan.Planner{Resolver: engine})
	if s.item.Rejected() {
		t.Fatal(transfer.Rejection(s.item))
	}
	return s
}

// planned plans the first image of the engine's source.
func planned(t *testing.T, engine *testkit.Engine, p *plan.Planner) *setup {
	t.Helper()
	p.Source, p.Store, p.Namer, p.Catalog = engine.From, engine.Kind, plan.Namer{Base: testkit.TargetBase}, plan.NewCatalog()
	found, err := p.Survey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	engine.Calls = nil
	return &setup{source: engine.From, engine: engine, item: found.Items[0], with: transfer.Setup{
		Source: engine.From, Engine: engine, Store: engine.Kind, Catalog: p.Catalog, Traffic: transfer.NewTraffic(),
	}}
}

// copier is made with the first copy.
func (s *setup) copier() *transfer.Copier {
	if s.made == nil {
		s.made = transfer.New(s.with)
	}
	return s.made
}

func (s *setup) target(tag string) string { return s.item.Tagged(tag) }

func (s *setup) pulled(m image.Manifest) string { return s.item.Image.Repository.Reference(m) }

// stores has the target store a manifest under no tag.
func (s *setup) stores(m image.Manifest) {
	s.engine.Manifests[m.Digest] = m
	s.engine.Arrived[s.item.Target+"@"+m.Digest.String()] = true
}

// attempt copies the image as a run of it alone does, and reports whether it was set aside.
func (s *setup) attempt(ctx context.Context) (results []transfer.Result, aside bool) {
	c, t := s.copier(), transfer.NewCopy(s.item)
	present := c.Ask(ctx, t)
	if len(t.Pending) == 0 {
		return present, false
	}
	grant := schedule.Alone(s.item)
	if s.unpack {
		grant.Unpack = grant.Bring
	}
	err := c.Try(ctx, t, grant, nil)
	if err == nil {
		err = c.Bring(ctx, t)
	}
	if err == nil {
		c.Release(ctx, t.HandOver())
		c.Deliver(ctx, t, nil)
		return append(present, c.DeliverRest(ctx, t)...), false
	}
	t.Clear(ctx)
	if errors.Is(err, transfer.ErrIncomplete) {
		return nil, true
	}
	return append(present, transfer.SettleFailed(s.item, t.Pending, err)...), false
}

// copy expects the results "tag: outcome", and nothing left in the engine.
func (s *setup) copy(t *testing.T, want ...string) []transfer.Result {
	t.Helper()
	results, aside := s.attempt(t.Context())
	if aside {
		t.Fatal("set aside")
	}
	s.expect(t, results, want)
	return results
}

// setAside copies an image that the engine does not hold whole, as a run does before it copies it alone.
func (s *setup) setAside(t *testing.T) {
	t.Helper()
	if results, aside := s.attempt(t.Context()); !aside || results != nil {
		t.Fatalf("not set aside: %q", outcomes(results))
	}
	s.engine.ExpectEmpty(t)
	if got := s.engine.Of("push"); len(got) > 0 {
		t.Fatalf("pushed all the same: %q", got)
	}
	s.engine.Calls = nil
}

// recover copies the image as a run does when all others are gone from the engine.
func (s *setup) recover(t *testing.T, want ...string) []transfer.Result {
	t.Helper()
	results := s.copier().Recover(t.Context(), transfer.NewCopy(s.item), nil)
	s.expect(t, results, want)
	return results
}

func (s *setup) expect(t *testing.T, results []transfer.Result, want []string) {
	t.Helper()
	if got := outcomes(results); !slices.Equal(got, want) {
		t.Errorf("results %q, want %q", got, want)
	}
	s.engine.ExpectEmpty(t)
}

// outcomes lists results as "tag: outcome".
func outcomes(results []transfer.Result) []string {
	list := make([]string, len(results))
	for i, r := range results {
		list[i] = r.Name() + ": " + string(r.Outcome)
	}
	return list
}
