package plan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

func TestList(t *testing.T) {
	throttled, denied := errors.New("ThrottlingException"), errors.New("AccessDeniedException")
	for _, test := range []struct {
		name     string
		failing  map[string]error
		all      error // from listing repositories
		want     Listed
		failed   []string
		says     string
		cancelIn string // the run is canceled while this repository is listed
	}{
		{name: "all", want: Listed{Repositories: 3, Images: 2, Tags: 3, Empty: []string{"empty"}}},
		{
			name: "one fails", failing: map[string]error{"b": throttled}, failed: []string{"b"},
			want: Listed{Repositories: 3, Images: 1, Tags: 2, Empty: []string{"empty"}},
		},
		{
			name: "all fail", failing: map[string]error{"a": throttled, "b": denied, "empty": denied},
			says: "list a: ThrottlingException",
		},
		{name: "nothing can be listed", all: denied, says: "AccessDeniedException"},
		{name: "cancelled", cancelIn: "b", says: context.Canceled.Error()},
	} {
		t.Run(test.name, func(t *testing.T) {
			registry := testkit.NewRegistry()
			registry.Push("a", testkit.Image(t, "a"), "1", "latest")
			registry.Push("a", testkit.Image(t, "no tag"))
			registry.Push("b", testkit.Image(t, "b"), "1")
			registry.Add("empty")
			registry.Failing = test.failing
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			source := testkit.Source{
				ListRepositories: func(ctx context.Context) ([]image.Repository, error) {
					repositories, err := registry.Repositories(ctx)
					return repositories, errors.Join(err, test.all)
				},
				ListImages: func(ctx context.Context, r image.Repository) ([]image.Image, error) {
					if r.Name == test.cancelIn {
						cancel()
					}
					return registry.Images(ctx, r)
				},
				ReadManifests: registry.Manifests,
			}
			p := &Planner{Source: source, Namer: Namer{Base: testkit.TargetBase}, Catalog: NewCatalog()}
			found, err := p.Survey(ctx)
			testkit.ExpectError(t, err, testkit.Saying(test.says)...)
			if err != nil {
				return
			}
			if got := found.Listed; !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			if failed := slices.Sorted(maps.Keys(found.Failed)); !slices.Equal(failed, test.failed) {
				t.Errorf("failed %q, want %q", failed, test.failed)
			}
		})
	}
}

// Tags left out because of when they were pushed are counted, and their manifests are not read.
func TestChosenByPush(t *testing.T) {
	registry := testkit.NewRegistry()
	for i := range 6 { // a minute apart
		registry.Push("app", testkit.Image(t, fmt.Sprint(i)), fmt.Sprint("v", i))
	}
	registry.Push("app", testkit.Image(t, "other"), "other")
	p := &Planner{Source: registry, Namer: Namer{Base: testkit.TargetBase}, Catalog: NewCatalog()}
	p.Choice = Choice{Tags: Patterns{"v*"}, Since: registry.Tagged["app"][2].PushedAt, Newest: 3}
	found, err := p.Survey(t.Context())
	if want := (Chosen{Repositories: 1, AllRepositories: 1, Tags: 3, AllTags: 7, Before: 2, Surplus: 1}); err != nil || !reflect.DeepEqual(found.Chosen, want) {
		t.Errorf("got %+v, %v, want %+v", found.Chosen, err, want)
	}
	if found.Manifests != 3 {
		t.Errorf("%d manifests read", found.Manifests)
	}
}

func TestListEmptyRegistry(t *testing.T) {
	found, err := (&Planner{Source: testkit.NewRegistry()}).Survey(t.Context())
	if err != nil || !reflect.DeepEqual(found.Listed, Listed{}) {
		t.Errorf("%+v, error %v", found.Listed, err)
	}
}
