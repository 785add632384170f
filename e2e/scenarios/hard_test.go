package scenarios

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/gitlab"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/proxy"
)

// fillHardWith pushes the hard shapes of these repositories ("wrong-size") to ECR, and returns them in this order.
func (s *scene) fillHardWith(t *testing.T, repositories ...string) []corpus.Shape {
	t.Helper()
	all, err := hardShapes()
	if err != nil {
		t.Fatal(err)
	}
	var chosen []corpus.Shape
	for _, repository := range repositories {
		i := slices.IndexFunc(all, func(shape corpus.Shape) bool { return shape.Repository == "shapes/"+repository })
		if i < 0 {
			t.Fatalf("there is no hard shape in the repository %s", repository)
		}
		chosen = append(chosen, all[i])
	}
	fillShapes(t, s.World, chosen)
	return chosen
}

// An index that says something wrong of its manifests, or lists one before its subject, arrives as it is, because these
// manifests go first.
func TestManifestsFirst(t *testing.T) {
	t.Parallel()
	s := startScene(t, engine.Containerd, world.Options{})
	shapes := s.fillHardWith(t, "wrong-size", "wrong-type", "subject-beside")
	outcome := s.run(t)
	expectExit(t, outcome, 0)
	s.expectArrived(t, outcome.Stdout, shapes...)
	expectNothingLeft(t, s.Engine)

	again := s.run(t)
	expectExit(t, again, 0)
	for _, shape := range shapes {
		expectLine(t, again.Stdout, "present", shape.Repository+":1.0")
	}
}

// GitLab refuses a media type before the rest of the image has been moved, and the report proposes the setting with which
// the image arrives without it.
func TestUnknownMediaTypeRefused(t *testing.T) {
	t.Parallel()
	s := startScene(t, engine.Containerd, world.Options{})
	shapes := s.fillHardWith(t, "soci", "wasm")
	spared := s.fillWith(t, "docker-manifest")
	outcome := s.command(t, []string{"plan"})
	expectExit(t, outcome, 0) // a forecast is no failure
	expectOutput(t, outcome.Stdout, "media types that GitLab container registry 4.32 (November 2025) does not take",
		string(corpus.SOCIIndex)+" (1 tags)", string(corpus.WasmConfig)+" (1 tags, of which 1 cannot arrive without it)",
		"MIGRATE_LEAVE_OUT="+string(corpus.SOCIIndex)+"\n")

	outcome = s.run(t)
	expectExit(t, outcome, 3)
	for _, shape := range shapes {
		expectLine(t, outcome.Stdout, "refused", shape.Repository+":1.0")
		s.expectAbsent(t, shape.Repository, "1.0")
	}
	expectOutput(t, outcome.Stdout, "unknown media type: "+string(corpus.SOCIIndex), "unknown media type: "+string(corpus.WasmConfig),
		"MIGRATE_LEAVE_OUT="+string(corpus.SOCIIndex)+" migrates the index without it")
	s.expectArrived(t, outcome.Stdout, spared...)
	expectNothingLeft(t, s.Engine)
	config, err := imageOf(t, shapes[0].Object).ConfigName()
	if err != nil || s.GitLab.Uploads()[config.String()] > 0 {
		t.Errorf("the image beside the SOCI index was uploaded: %s (%v)", config, err)
	}

	only := []string{"MIGRATE_REPOSITORIES=" + shapes[0].Repository, "MIGRATE_LEAVE_OUT=" + string(corpus.SOCIIndex)}
	outcome = s.run(t, only...)
	expectExit(t, outcome, 0)
	expectLine(t, outcome.Stdout, "trimmed", shapes[0].Repository+":1.0")
	outcome = s.run(t, only...)
	expectExit(t, outcome, 0)
	expectLine(t, outcome.Stdout, "trimmed", shapes[0].Repository+":1.0")
	expectNothingLeft(t, s.Engine)
}

// Of the referrers of one image those arrive that GitLab takes.
func TestUnknownReferrerLeftOutOfTheList(t *testing.T) {
	t.Parallel()
	s := startScene(t, engine.Containerd, world.Options{})
	shape := s.fillHardWith(t, "notation")[0]
	setting := "MIGRATE_LEAVE_OUT=" + string(corpus.NotarySignature)
	for range 2 {
		outcome := s.run(t)
		expectExit(t, outcome, 3)
		expectOutput(t, outcome.Stdout, "1 of the 2 referrers are at GitLab", "unknown media type: "+string(corpus.NotarySignature), setting)
		expectNothingLeft(t, s.Engine)
	}
	subject, sbom := subjectAndDigest(t, shape.Referrers[0])
	if !hasReferrer(t, s.World, shape.Repository, subject, sbom) {
		t.Error("the SBOM is not listed")
	}
	if _, signature := subjectAndDigest(t, shape.Referrers[1]); hasReferrer(t, s.World, shape.Repository, subject, signature) {
		t.Error("the signature is listed")
	}
	expectExit(t, s.run(t, setting), 0)

	s.GitLab.Refuse(func(r *gitlab.Refusals) { r.AnyMediaType = true }) // as a newer version may
	expectExit(t, s.run(t), 0)
	if _, signature := subjectAndDigest(t, shape.Referrers[1]); !hasReferrer(t, s.World, shape.Repository, subject, signature) {
		t.Error("the list without the signature has not been replaced")
	}
	expectNothingLeft(t, s.Engine)
}

// A foreign layer that ECR has comes from there, though the host that the manifest names is down. GitLab refuses the URLs, but
// what the classic store makes of the image has none.
func TestForeignLayerAtECR(t *testing.T) {
	t.Parallel()
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			s := startScene(t, kind, world.Options{})
			shape := s.fillHardWith(t, "foreign-kept")[0]
			spared := s.fillWith(t, "docker-manifest")
			if kind == engine.Containerd {
				outcome := s.run(t)
				expectExit(t, outcome, 3)
				expectLine(t, outcome.Stdout, "refused", shape.Repository+":1.0")
				expectOutput(t, outcome.Stdout, "invalid URL on layer", "this registry does not allow those URLs")
				s.expectArrived(t, outcome.Stdout, spared...)
				s.expectAbsent(t, shape.Repository, "1.0")
				expectNothingLeft(t, s.Engine)
				s.GitLab.Refuse(func(r *gitlab.Refusals) { r.LayerURLs = true })
			}
			outcome := s.run(t)
			expectExit(t, outcome, 0)
			s.expectArrived(t, outcome.Stdout, shape)
			expectNothingLeft(t, s.Engine)
		})
	}
}

// A foreign layer that ECR does not have fails its image alone, and the host that the manifest names is not asked again and
// again.
func TestForeignLayerElsewhere(t *testing.T) {
	t.Parallel()
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			s := startScene(t, kind, world.Options{})
			shape := s.fillHardWith(t, "foreign-layer")[0]
			spared := s.fillWith(t, "docker-manifest")
			image := digestOf(t, shape.Object).String()
			var pulls atomic.Int32
			outcome := s.run(t, s.through(t, func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
				if call := proxy.CallOf(r); call.Verb == proxy.Pull && strings.HasSuffix(call.Ref, image) {
					pulls.Add(1)
				}
				engine.ServeHTTP(w, r)
			}))
			expectExit(t, outcome, 3)
			expectLine(t, outcome.Stdout, "failed", shape.Repository+":1.0")
			if kind == engine.Containerd {
				expectOutput(t, outcome.Stdout, "a layer of the image is at 127.0.0.1:1", "make 127.0.0.1:1 available to the engine")
			} else {
				expectOutput(t, outcome.Stdout, "unknown blob", "a layer of it is missing in ECR")
			}
			if n := pulls.Load(); n != 1 {
				t.Errorf("%d pulls of the image", n)
			}
			s.expectArrived(t, outcome.Stdout, spared...)
			expectNothingLeft(t, s.Engine)
		})
	}
}
