package migrate

import (
	"errors"
	"slices"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// However a copy ends, it is not kept until the end of the run.
func TestCopiesAreForgotten(t *testing.T) {
	for name, test := range map[string]struct {
		stopped error
		want    []string
	}{
		"a run":         {nil, []string{"app:arrives: exact", "app:denied: failed", "app:gone: failed"}},
		"a stopped run": {errors.New("stopped"), []string{"app:arrives: not started", "app:denied: not started", "app:gone: not started"}},
	} {
		t.Run(name, func(t *testing.T) {
			source := testkit.NewRegistry()
			for _, tag := range []string{"arrives", "denied", "gone"} {
				source.Push("app", testkit.LightImage(t, tag), tag)
			}
			engine := testkit.NewEngine(source)
			engine.Fails["push "+targetTag("denied")] = docker.ErrDenied
			found, p := surveyed(t, source, nil)
			for _, i := range found.Items {
				if i.Image.Tags[0] == "gone" {
					i.Tree = nil
					delete(source.Held["app"], i.Image.Digest)
				}
			}
			options := Options{Source: source, Engine: engine, Store: image.ContainerdStore, Observe: func(Event) {}, retries: []retryRule{{tries: 1}}}
			r := newRun(t.Context(), options, transfer.Cleanup{})
			r.copier = transfer.New(transfer.Setup{Source: source, Engine: engine, Store: image.ContainerdStore, Catalog: p.Catalog, Traffic: transfer.NewTraffic()})
			r.catalog = p.Catalog
			if test.stopped != nil {
				r.stop(test.stopped)
			}
			l := r.newLine(found.Items)
			l.copyAll(t.Context(), len(found.Items))
			if got := slices.Sorted(slices.Values(outcomes(r.results))); !slices.Equal(got, test.want) || len(l.copies.byItem) != 0 {
				t.Errorf("results %q, want %q; %d copies are kept", got, test.want, len(l.copies.byItem))
			}
		})
	}
}
