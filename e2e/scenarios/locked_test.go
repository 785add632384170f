package scenarios

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

// If containerd has no space to record the write of a blob that is pulled by digest, it leaves the write's name locked, and
// no later pull of that blob ends: the engine's log says "ref moby/1/unknown-sha256:… locked for 2m34s". All images with
// that blob arrive.
func TestEnginePullsLocked(t *testing.T) {
	t.Parallel()
	account, err := corpus.Account(t.Context(), corpus.AccountOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := startSceneOn(t, ownEngine(t, engine.Containerd, engine.Options{Disk: 1 << 30}), world.Options{})
	fill(t, s.World, account)
	lockPull(t, s, account[0])
	outcome := s.run(t)
	expectExit(t, outcome, 0)
	compareAccount(t, s.World, account, engine.Containerd)
	expectNothingLeft(t, s.Engine)
}

// lockPull fills the engine's disk up to the block that containerd needs to record the write of a layer of the repository.
func lockPull(t *testing.T, s *scene, repository corpus.Repository) {
	t.Helper()
	for _, image := range repository.Images {
		blob := repository.Name + "@" + smallLayer(t, image.Object)
		for free := int64(4 << 10); free < 64<<10; free += 4 << 10 {
			empty, err := s.Engine.FillDisk(free)
			if err != nil {
				t.Fatal(err)
			}
			ended := s.pullEnds(t, blob)
			if err := empty(); err != nil {
				t.Fatal(err)
			}
			if ended && !s.pullEnds(t, blob) {
				return
			}
			s.remove(t, blob)
		}
	}
	t.Fatal("pulls still end")
}

// smallLayer returns the digest of a layer that engines pull by digest.
func smallLayer(t *testing.T, object corpus.Object) string {
	t.Helper()
	layers, err := imageOf(t, object).Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := layers[len(layers)-1].Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

// pullEnds has the engine pull from ECR, and reports whether the pull ends, well or not.
func (s *scene) pullEnds(t *testing.T, ref string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	query := url.Values{"fromImage": {s.AWS.RegistryHost + "/" + ref}}
	_, _ = s.callWithin(ctx, t, http.MethodPost, "/images/create?"+query.Encode(), s.AWS.PullAuth(), nil)
	return ctx.Err() == nil
}
