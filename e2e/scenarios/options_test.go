package scenarios

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/check"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/proxy"
)

// Only selected images are copied, together with what belongs to them.
func TestChoice(t *testing.T) {
	t.Parallel()
	s := startScene(t, engine.Containerd, world.Options{})
	all := s.fillWith(t, "docker-manifest", "oci-manifest", "twelve-tags", "referred-image")
	signed := s.fillSigned(t)
	listOf := func(object corpus.Object) string { return "sha256-" + digestOf(t, object).Encoded() }
	arrived := map[string][]string{}
	for _, step := range []struct {
		name   string
		env    []string
		arrive map[string][]string
		says   []string
	}{
		{
			name: "nothing", env: []string{"MIGRATE_REPOSITORIES=shape/**", "MIGRATE_TAGS=v*"},
			says: []string{"Selected: 0 of 5 repositories, and 0 of their 0 tags", `MIGRATE_REPOSITORIES: nothing matches "shape/**"`, `MIGRATE_TAGS: nothing matches "v*"`},
		},
		{name: "nothing so young", env: []string{"MIGRATE_SINCE=2999-01-01"}, says: []string{"Selected: 5 of 5 repositories, and 0 of their 19 tags"}},
		{
			name: "tags of an image", env: []string{"MIGRATE_REPOSITORIES=**/twelve-tags", "MIGRATE_TAGS=1.4* latest !1.4.2"},
			arrive: map[string][]string{"shapes/twelve-tags": {"1.4", "latest"}},
			says:   []string{"Selected: 1 of 5 repositories, and 2 of their 12 tags"},
		},
		{
			name: "repositories", env: []string{"MIGRATE_REPOSITORIES=shapes/{docker,oci}-*, !**/oci-*", "MIGRATE_SINCE=1d"},
			arrive: map[string][]string{"shapes/docker-manifest": {"1.0"}},
		},
		{
			name: "signatures go with their image", env: []string{"MIGRATE_REPOSITORIES=shapes/signed shapes/referred-image", "MIGRATE_TAGS=1.0", "MIGRATE_NEWEST=1"},
			arrive: map[string][]string{
				"shapes/signed":         {"1.0", listOf(signed) + ".att", listOf(signed) + ".sbom", listOf(signed) + ".sig"},
				"shapes/referred-image": {"1.0", listOf(all[3].Object)},
			},
		},
	} {
		t.Run(step.name, func(t *testing.T) {
			outcome := s.run(t, step.env...)
			expectExit(t, outcome, 0)
			expectOutput(t, outcome.Stdout, step.says...)
			for repository, tags := range step.arrive {
				arrived[repository] = tags
			}
			for _, repository := range []string{
				"shapes/docker-manifest", "shapes/oci-manifest", "shapes/twelve-tags", "shapes/referred-image", "shapes/signed",
			} {
				s.expectTags(t, repository, arrived[repository]...)
			}
			expectNothingLeft(t, s.Engine)
		})
	}
}

// fillSigned pushes an image with its cosign signatures, and returns the image.
func (s *scene) fillSigned(t *testing.T) corpus.Object {
	t.Helper()
	all, err := allShapes()
	if err != nil {
		t.Fatal(err)
	}
	signed := slices.DeleteFunc(slices.Clone(all), func(shape corpus.Shape) bool { return shape.Repository != "shapes/signed" })
	fillShapes(t, s.World, signed)
	return signed[0].Object
}

// With MIGRATE_PLATFORM, an index arrives as that platform's manifest, and images without the platform fail by name.
func TestOnePlatform(t *testing.T) {
	t.Parallel()
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
				"the image is only for linux/arm64, not for linux/amd64 (MIGRATE_PLATFORM)")
			s.expectArrived(t, outcome.Stdout, image, chart)
			expectNothingLeft(t, s.Engine)
		})
	}
}

// fillForeign pushes the Docker manifest list's image for linux/arm64 as a separate image. Engines cannot report the
// platform of an OCI image before pulling it.
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

// Names that GitLab rejects are found before anything is copied.
func TestNames(t *testing.T) {
	t.Parallel()
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

// expectSame compares the tag 1.0 of one repository with that of another at the target.
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

// repositories returns the repositories below the project with a tag, of all that the tests of names could create.
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

// MIGRATE_CONCURRENCY is respected, including its smallest and largest value.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	for _, kind := range engine.Kinds() {
		for _, bound := range []string{"1", "16"} {
			t.Run(string(kind)+"/"+bound, func(t *testing.T) {
				s := startScene(t, kind, world.Options{})
				shapes := s.fillWith(t, tinyAccount...)
				most := map[engine.Kind]int{engine.Classic: 1, engine.Containerd: 4}[kind] // pulls of one image: its blobs
				var pulls, pushes gauge
				outcome := s.run(t, "MIGRATE_CONCURRENCY="+bound, s.through(t, func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
					switch proxy.CallOf(r).Verb {
					case proxy.Pull:
						defer pulls.enter()()
						if bound == "16" && pushes.peak() > 0 { // few are pulled before the first push
							pulls.reach(most + 1)
						}
					case proxy.Push:
						defer pushes.enter()()
					}
					engine.ServeHTTP(w, r)
				}))
				expectExit(t, outcome, 0)
				s.expectArrived(t, outcome.Stdout, shapes...)
				if bound == "1" && pushes.most != 1 || pushes.most > 16 {
					t.Errorf("%d pushes at a time", pushes.most)
				}
				if bound == "1" && pulls.most > most || bound == "16" && pulls.most <= most {
					t.Errorf("%d pulls at a time", pulls.most)
				}
				expectNothingLeft(t, s.Engine)
			})
		}
	}
}

// gauge counts concurrent operations.
type gauge struct {
	mu        sync.Mutex
	now, most int
}

// enter returns a function to call at the end.
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

// peak returns the most so far.
func (g *gauge) peak() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.most
}

// reach waits until there have been so many at once, for ten seconds at most.
func (g *gauge) reach(n int) {
	for end := time.Now().Add(10 * time.Second); g.peak() < n && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
}
