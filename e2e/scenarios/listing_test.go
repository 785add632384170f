package scenarios

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/aws"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/check"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/proxy"
)

// A throttled list call is retried.
func TestThrottledListing(t *testing.T) {
	t.Parallel()
	var s *scene
	var once sync.Once
	s = startScene(t, engine.Containerd, world.Options{AWS: aws.Options{Wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".DescribeImages") {
				once.Do(func() { s.AWS.Throttle(20) })
			}
			next.ServeHTTP(w, r)
		})
	}}})
	shapes := s.fillWith(t, tinyAccount...)
	outcome := s.run(t)
	expectExit(t, outcome, 0)
	s.expectArrived(t, outcome.Stdout, shapes...)
	if n := s.AWS.Calls()["DescribeImages"]; n != len(tinyAccount)+20 {
		t.Errorf("%d calls of DescribeImages: 20 of them should have been throttled", n)
	}
}

// Every page of every listing is read.
func TestManyPages(t *testing.T) {
	t.Parallel()
	s := startScene(t, engine.Containerd, world.Options{AWS: aws.Options{MaxPage: 2}})
	all, err := allShapes()
	if err != nil {
		t.Fatal(err)
	}
	app := corpus.Repository{Name: "shop/pages"}
	for i, shape := range all[:7] {
		app.Images = append(app.Images, corpus.Image{Tags: []string{fmt.Sprintf("1.%d", i), fmt.Sprintf("build-%d", i)}, Object: shape.Object})
	}
	fill(t, s.World, []corpus.Repository{app})
	shapes := s.fillWith(t, tinyAccount[1:]...)
	outcome := s.run(t)
	expectExit(t, outcome, 0)
	s.expectArrived(t, outcome.Stdout, shapes...)
	for _, image := range app.Images {
		s.expectArrived(t, outcome.Stdout, corpus.Shape{Repository: app.Name, Tags: image.Tags, Object: image.Object})
	}
	calls := s.AWS.Calls()
	if calls["DescribeRepositories"] != 4 || calls["DescribeImages"] < 4+7 {
		t.Errorf("the listing had too few pages for 8 repositories, one of 7 images: %v", calls)
	}
}

// If a tag moves during the run, the image that was listed arrives.
func TestTagMoves(t *testing.T) {
	t.Parallel()
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			s := startScene(t, kind, world.Options{})
			shapes := s.fillWith(t, "docker-manifest", "oci-manifest")
			listed, moved := shapes[0], shapes[1].Object
			var once sync.Once
			outcome := s.run(t, s.through(t, func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
				if proxy.CallOf(r).Verb == proxy.Pull {
					once.Do(func() { s.retag(t, listed.Repository, "1.0", moved) })
				}
				engine.ServeHTTP(w, r)
			}))
			expectExit(t, outcome, 0)
			compare := check.Same
			if kind == engine.Classic {
				compare = new(check.Checker).SameContent
			}
			was := s.Source(listed.Repository, "@"+digestOf(t, listed.Object).String())
			report, err := compare(t.Context(), was, s.Target(listed.Repository, ":1.0"))
			if err != nil || len(report.Differences) > 0 {
				t.Errorf("%v %q", err, report.Differences)
			}
			now, err := check.Digest(t.Context(), s.Source(listed.Repository, ":1.0"))
			if err != nil || now != digestOf(t, moved).String() {
				t.Errorf("the tag has not moved: it is %s (%v)", now, err)
			}
		})
	}
}

// retag pushes another image under a tag, as the account's owner.
func (s *scene) retag(t *testing.T, repository, tag string, object corpus.Object) {
	t.Helper()
	repo, auth, err := s.Owner(repository)
	if err == nil {
		err = remote.Push(repo.Tag(tag), object, remote.WithAuth(auth), remote.WithContext(t.Context()))
	}
	if err != nil {
		t.Error(err)
	}
}
