package migrate

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"testing"
)

func TestList(t *testing.T) {
	throttled, denied := errors.New("ThrottlingException"), errors.New("AccessDeniedException")
	for _, test := range []struct {
		name     string
		failing  map[string]error
		all      error // of the call that lists repositories
		want listed
		failed   []string
		says     string
		cancelIn string // the repository during whose listing the run is cancelled
	}{
		{name: "all", want: listed{Repositories: 3, Images: 2, Tags: 3, Empty: []string{"empty"}}},
		{
			name: "one fails", failing: map[string]error{"b": throttled}, failed: []string{"b"},
			want: listed{Repositories: 3, Images: 1, Tags: 2, Empty: []string{"empty"}},
		},
		{
			name: "all fail", failing: map[string]error{"a": throttled, "b": denied, "empty": denied},
			says: "list a: ThrottlingException",
		},
		{name: "nothing can be listed", all: denied, says: "AccessDeniedException"},
		{name: "cancelled", cancelIn: "b", says: context.Canceled.Error()},
	} {
		t.Run(test.name, func(t *testing.T) {
			registry := newSource()
			registry.push("a", imageOf(t, "a"), "1", "latest")
			registry.push("a", imageOf(t, "no tag"))
			registry.push("b", imageOf(t, "b"), "1")
			registry.repository("empty")
			registry.failing = test.failing
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			source := fakeSource{
				repositories: func(ctx context.Context) ([]Repository, error) {
					repositories, err := registry.Repositories(ctx)
					return repositories, errors.Join(err, test.all)
				},
				images: func(ctx context.Context, r Repository) ([]Image, error) {
					if r.Name == test.cancelIn {
						cancel()
					}
					return registry.Images(ctx, r)
				},
				manifests: registry.Manifests,
			}
			p := &planner{source: source, namer: Namer{Base: targetBase}, catalog: newCatalog()}
			found, err := p.survey(ctx)
			expectError(t, err, saying(test.says)...)
			if err != nil {
				return
			}
			if got := found.listed; !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			if failed := slices.Sorted(maps.Keys(found.failed)); !slices.Equal(failed, test.failed) {
				t.Errorf("failed %q, want %q", failed, test.failed)
			}
		})
	}
}

func TestListEmptyRegistry(t *testing.T) {
	found, err := (&planner{source: newSource()}).survey(t.Context())
	if err != nil || !reflect.DeepEqual(found.listed, listed{}) {
		t.Errorf("%+v, error %v", found.listed, err)
	}
}
