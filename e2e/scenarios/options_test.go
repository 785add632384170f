package scenarios

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/check"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/proxy"
)

// One platform on purpose: an index arrives as that platform's manifest, what lacks it fails by name.
func TestOnePlatform(t *testing.T) {
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			s := startScene(t, kind, world.Options{})
			indexes := s.fillWith(t, "oci-index", "docker-list", "attested", "nested-index", "linux-and-windows")
			lacking := append(s.fillWith(t, "not-for-host", "windows-versions"), s.fillForeign(t, indexes[1]))
			image := s.fillWith(t, "docker-manifest")[0]
			chart := s.fillWith(t, "charts/webshop")[0]

			outcome := s.run(t, "MIGRATE_PLATFORM=linux/amd64")
			expectExit(t, outcome, 3)
			for _, index := range indexes {
				s.expectReduced(t, index, outcome.Stdout)
			}
			for _, shape := range lacking {
				expectLine(t, outcome.Stdout, "refused", shape.Repository+":1.0")
				s.expectAbsent(t, shape.Repository, "1.0")
			}
			expectOutput(t, outcome.Stdout,
				"the index has no manifest for linux/amd64 (MIGRATE_PLATFORM): it lists linux/arm64, linux/s390x",
				"the image is for linux/arm64 alone, and not for linux/amd64 (MIGRATE_PLATFORM)")
			s.expectArrived(t, outcome.Stdout, image, chart)
			expectNothingLeft(t, s.Engine)
		})
	}
}

// fillForeign pushes the Docker manifest list's image for linux/arm64 as an image of its own. Of an OCI image no engine
// tells the platform before it is pulled.
func (s *scene) fillForeign(t *testing.T, list corpus.Shape) corpus.Shape {
	t.Helper()
	index, _ := list.Object.(v1.ImageIndex) // nil fails below
	image, err := index.Image(childFor(t, list.Object, v1.Platform{OS: "linux", Architecture: "arm64"}))
	if err != nil {
		t.Fatal(err)
	}
	foreign := corpus.Shape{Name: "image of a foreign platform", Repository: "shapes/foreign", Tags: []string{"1.0"}, Object: image}
	fillShapes(t, s.World, []corpus.Shape{foreign})
	return foreign
}

// expectReduced compares the target with the index's child for linux/amd64.
func (s *scene) expectReduced(t *testing.T, shape corpus.Shape, output string) {
	t.Helper()
	child := childFor(t, shape.Object, v1.Platform{OS: "linux", Architecture: "amd64"})
	compare := check.Same
	if s.Engine.Kind == engine.Classic {
		compare = new(check.Checker).SameContent
	}
	report, err := compare(t.Context(), s.Source(shape.Repository, "@"+child.String()), s.Target(shape.Repository, ":1.0"))
	if err != nil {
		t.Fatalf("%s: %v", shape.Name, err)
	}
	for _, difference := range report.Differences {
		t.Errorf("%s: %s", shape.Name, difference)
	}
	if !strings.Contains(output, "one platform  "+shape.Repository+":1.0") {
		t.Errorf("no line marks %s:1.0 as one platform:\n%s", shape.Repository, output)
	}
}

// childFor finds an image of the platform in an index, or in an index within it.
func childFor(t *testing.T, object corpus.Object, platform v1.Platform) v1.Hash {
	t.Helper()
	index, ok := object.(v1.ImageIndex)
	if !ok {
		t.Fatalf("%T is no index", object)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, child := range manifest.Manifests {
		switch {
		case child.Platform != nil && child.Platform.Equals(platform):
			return child.Digest
		case child.MediaType.IsIndex():
			nested, err := index.ImageIndex(child.Digest)
			if err != nil {
				t.Fatal(err)
			}
			return childFor(t, nested.(corpus.Object), platform)
		}
	}
	t.Fatalf("the index has no image for %s", platform)
	return v1.Hash{}
}

// named is an account with one small image in each of the repositories.
func named(t *testing.T, repositories ...string) []corpus.Repository {
	t.Helper()
	all, err := allShapes()
	if err != nil {
		t.Fatal(err)
	}
	var account []corpus.Repository
	for _, repository := range repositories {
		account = append(account, corpus.Repository{
			Name: repository, Images: []corpus.Image{{Tags: []string{"1.0"}, Object: all[len(account)].Object}},
		})
	}
	return account
}

// Names that GitLab does not take are found before anything is copied.
func TestNames(t *testing.T) {
	repositories := []string{"team/app", "a/b/c/d", "x/y-z", "x/y/z"}
	tooDeep := "set MIGRATE_NAME_SEPARATOR"
	for _, test := range []struct {
		name, separator string
		arrive          map[string]string // target by repository; all others are refused
		says            []string
	}{
		{
			name: "no separator", arrive: map[string]string{"team/app": "team/app", "x/y-z": "x/y-z"},
			says: []string{tooDeep, `it would be written as "a/b-c-d"`, `it would be written as "x/y-z"`},
		},
		{
			name: "two land on one name", separator: "-", arrive: map[string]string{"team/app": "team/app", "a/b/c/d": "a/b-c-d"},
			says: []string{"x/y-z, x/y/z would all be written to ", "/x/y-z: set another MIGRATE_NAME_SEPARATOR"},
		},
		{
			name: "all arrive", separator: "__",
			arrive: map[string]string{"team/app": "team/app", "a/b/c/d": "a/b__c__d", "x/y-z": "x/y-z", "x/y/z": "x/y__z"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startScene(t, engine.Containerd, world.Options{})
			fill(t, s.World, named(t, repositories...))
			outcome := s.run(t, "MIGRATE_NAME_SEPARATOR="+test.separator)
			code := 0
			for _, repository := range repositories {
				if target, ok := test.arrive[repository]; ok {
					s.expectSame(t, repository, target)
					expectLine(t, outcome.Stdout, "exact", repository+":1.0")
					continue
				}
				code = 3
				expectLine(t, outcome.Stdout, "refused", repository+":1.0")
			}
			expectExit(t, outcome, code)
			expectOutput(t, outcome.Stdout, test.says...)
			if got := s.repositories(t); !slices.Equal(got, slices.Sorted(maps.Values(test.arrive))) {
				t.Errorf("GitLab has the repositories %q", got)
			}
		})
	}
}

// expectSame compares the tag 1.0 of a repository with that of another at the target.
func (s *scene) expectSame(t *testing.T, repository, target string) {
	t.Helper()
	report, err := check.Same(t.Context(), s.Source(repository, ":1.0"), s.Target(target, ":1.0"))
	if err != nil {
		t.Fatal(err)
	}
	for _, difference := range report.Differences {
		t.Errorf("%s -> %s: %s", repository, target, difference)
	}
}

// repositories are those below the project that have a tag, among all that the tests of names could write.
func (s *scene) repositories(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, candidate := range []string{"a/b-c-d", "a/b/c/d", "a/b__c__d", "team/app", "x/y-z", "x/y/z", "x/y__z"} {
		tags, err := check.Tags(t.Context(), s.GitLab.Image+"/"+candidate, s.GitLab.Auth())
		if err != nil && !strings.Contains(err.Error(), "UNAUTHORIZED") {
			t.Fatal(err)
		}
		if len(tags) > 0 {
			found = append(found, candidate)
		}
	}
	return found
}

// A tag that moves during the run: what was listed is what arrives.
func TestTagMoves(t *testing.T) {
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

// retag has the account's owner push another image under a tag.
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

// The bound on copies is kept, at its ends, too.
func TestConcurrency(t *testing.T) {
	for _, kind := range engine.Kinds() {
		for _, bound := range []string{"1", "16"} {
			t.Run(string(kind)+"/"+bound, func(t *testing.T) {
				s := startScene(t, kind, world.Options{})
				shapes := s.fillWith(t, tinyAccount...)
				var pulls gauge
				outcome := s.run(t, "MIGRATE_CONCURRENCY="+bound, s.through(t, func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
					if proxy.CallOf(r).Verb == proxy.Pull {
						defer pulls.enter()()
					}
					engine.ServeHTTP(w, r)
				}))
				expectExit(t, outcome, 0)
				s.expectArrived(t, outcome.Stdout, shapes...)
				most := map[engine.Kind]int{engine.Classic: 1, engine.Containerd: 4}[kind] // of one image: its blobs
				if bound == "1" && pulls.most > most || bound == "16" && pulls.most <= most {
					t.Errorf("%d pulls at a time", pulls.most)
				}
				expectNothingLeft(t, s.Engine)
			})
		}
	}
}

// gauge counts what goes on at a time.
type gauge struct {
	mu        sync.Mutex
	now, most int
}

// enter returns what is to be called at the end.
func (g *gauge) enter() func() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now++
	g.most = max(g.most, g.now)
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.now--
	}
}

// A run after a complete one asks, and moves nothing.
func TestSecondRun(t *testing.T) {
	s := startScene(t, engine.Containerd, world.Options{})
	shapes := s.fillWith(t, append(slices.Clone(tinyAccount), "oci-index", "nested-index", "referred-image")...)
	expectExit(t, s.run(t), 0)
	pulled, uploaded := s.AWS.BlobPulls(), s.GitLab.Uploads()

	var mu sync.Mutex
	verbs := map[proxy.Verb]int{}
	again := s.run(t, s.through(t, func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
		mu.Lock()
		verbs[proxy.CallOf(r).Verb]++
		mu.Unlock()
		engine.ServeHTTP(w, r)
	}))
	expectExit(t, again, 0)
	for _, shape := range shapes {
		for _, tag := range shape.Tags {
			expectLine(t, again.Stdout, "present", shape.Repository+":"+tag)
		}
	}
	if verbs[proxy.Pull]+verbs[proxy.Load]+verbs[proxy.Push] > 0 || verbs[proxy.Distribution] == 0 {
		t.Errorf("the engine's calls: %v", verbs)
	}
	if !maps.Equal(pulled, s.AWS.BlobPulls()) || !maps.Equal(uploaded, s.GitLab.Uploads()) {
		t.Error("blobs have moved")
	}
}

// Referrers that the target lists already are nobody's to replace.
func TestOtherReferrersAtTheTarget(t *testing.T) {
	s := startScene(t, engine.Containerd, world.Options{})
	shapes := s.fillWith(t, "referred-image", "docker-manifest")
	subject := digestOf(t, shapes[0].Object)
	tag := subject.Algorithm().String() + "-" + subject.Encoded()
	theirs := putAtTarget(t, s, shapes[0].Repository, tag, shapes[1].Object)

	outcome := s.run(t)
	expectExit(t, outcome, 3)
	s.expectArrived(t, outcome.Stdout, shapes...)
	expectOutput(t, outcome.Stdout, shapes[0].Repository+"@"+subject.String(),
		"the target lists other referrers under this tag, and they are left alone", "delete the tag in GitLab")
	if now, err := check.Digest(t.Context(), s.Target(shapes[0].Repository, ":"+tag)); err != nil || now != theirs {
		t.Errorf("the target's own referrers were replaced: %s is now %s (%v)", theirs, now, err)
	}
}

// putAtTarget pushes an image to GitLab beside the program, and returns its digest.
func putAtTarget(t *testing.T, s *scene, repository, tag string, object corpus.Object) string {
	t.Helper()
	ref, err := name.NewTag(s.GitLab.Image+"/"+repository+":"+tag, name.Insecure)
	if err == nil {
		err = remote.Push(ref, object, remote.WithAuth(s.GitLab.Auth()), remote.WithContext(context.WithoutCancel(t.Context())))
	}
	if err != nil {
		t.Error(err)
	}
	return digestOf(t, object).String()
}
