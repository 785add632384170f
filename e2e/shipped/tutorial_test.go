package shipped

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/shipped/standin"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/check"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

// tutorialDind is the service in GitLab's tutorial.
const tutorialDind = "docker:20.10-dind"

// testTutorial uses the file from GitLab's tutorial with only its image and its script replaced. Its engine has the
// classic image store, and because of the file's DOCKER_DRIVER, so does a current engine.
func (s shipping) testTutorial(t *testing.T, maker standin.Maker) {
	if err := maker.MakeEngine(t.Context(), tutorialDind, engine.Classic); err != nil {
		t.Fatal(err)
	}
	multi := multiPlatform(t)
	for _, service := range []string{tutorialDind, dind} {
		t.Run(strings.ReplaceAll(service, ":", " "), func(t *testing.T) {
			w := s.startWorld(t)
			if err := w.Fill(t.Context(), []corpus.Repository{multi}); err != nil {
				t.Fatal(err)
			}
			output := s.runTutorial(t, w, service)
			s.compareContent(t, w)
			expectOutput(t, output, "with the classic image store", multi.Name)
			// The log of a current engine begins with the line to change.
			before, _, _ := strings.Cut(output, "ECR: logged in")
			if named := strings.Contains(before, "remove DOCKER_DRIVER from variables:"); named != (service == dind) {
				t.Errorf("the log's start names DOCKER_DRIVER: %t:\n%s", named, output)
			}
			if arrived(t, w.Target(multi.Name, ":1.0")) {
				t.Errorf("%s has arrived, which the classic image store cannot hold", multi.Name)
			}
		})
	}
}

// runTutorial runs the tutorial's pipeline with that service. It fails, because one image cannot arrive.
func (s shipping) runTutorial(t *testing.T, w *world.World, service string) string {
	t.Helper()
	pipeline := strings.ReplaceAll(read(t, "e2e/shipped/testdata/tutorial.yml"), tutorialDind, service)
	s.docker(t, "tag", jobImage, w.GitLab.Registry+"/your-group/ecr2gitlab:latest")
	p := newProject(t, s.command(t).Env, "your-group/project", map[string]string{".gitlab-ci.yml": pipeline})
	p.setVariables(t, w.Env())
	output, err := p.tryRun(t)
	if err == nil {
		t.Fatalf("the pipeline succeeds, although an image cannot arrive:\n%s", output)
	}
	return output
}

// multiPlatform is a repository with a multi-platform image.
func multiPlatform(t *testing.T) corpus.Repository {
	t.Helper()
	shapes, err := corpus.Shapes(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, shape := range shapes {
		if _, isIndex := shape.Object.(v1.ImageIndex); isIndex {
			return corpus.Repository{Name: shape.Repository, Images: []corpus.Image{{Tags: shape.Tags, Object: shape.Object}}}
		}
	}
	t.Fatal("no shape is an index")
	return corpus.Repository{}
}

// arrived reports whether a registry has the image.
func arrived(t *testing.T, image check.Ref) bool {
	t.Helper()
	ref, err := name.ParseReference(image.Name, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	_, err = remote.Head(ref, remote.WithAuth(image.Auth), remote.WithContext(t.Context()))
	var status *transport.Error
	if err != nil && (!errors.As(err, &status) || status.StatusCode != http.StatusNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

// compareContent compares images that an engine with the classic store has recompressed.
func (s shipping) compareContent(t *testing.T, w *world.World) {
	t.Helper()
	var checker check.Checker
	s.eachTag(t, func(repository, tag string) {
		report, err := checker.SameContent(t.Context(), w.Source(repository, ":"+tag), w.Target(repository, ":"+tag))
		if err != nil {
			t.Fatal(err)
		}
		for _, difference := range report.Differences {
			t.Errorf("%s:%s: %s", repository, tag, difference)
		}
	})
}
