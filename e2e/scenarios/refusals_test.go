package scenarios

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/check"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/gitlab"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/proxy"
)

// Problems with single tags do not affect the others: those arrive, and the run ends with the failed ones by name.
func TestSomeTagsFail(t *testing.T) {
	t.Parallel()
	const victim = "shapes/docker-manifest"
	for _, test := range []struct {
		name    string
		prepare func(t *testing.T, s *scene, victim corpus.Shape) proxy.Around
		outcome string
		says    []string
	}{
		{
			name: "gone since the listing", outcome: "failed",
			prepare: func(t *testing.T, s *scene, shape corpus.Shape) proxy.Around {
				return func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
					if call := proxy.CallOf(r); call.Verb == proxy.Pull && strings.Contains(call.Ref, victim) {
						if err := s.AWS.Archive(victim, digestOf(t, shape.Object)); err != nil {
							t.Error(err)
						}
					}
					engine.ServeHTTP(w, r)
				}
			},
			says: []string{"pull ", victim + "@sha256:", "it was listed and is gone"},
		},
		{
			name: "archived image", outcome: "refused",
			prepare: func(t *testing.T, s *scene, shape corpus.Shape) proxy.Around {
				if err := s.AWS.Archive(victim, digestOf(t, shape.Object)); err != nil {
					t.Fatal(err)
				}
				return nil
			},
			says: []string{"archived in ECR and cannot be pulled", "update-image-storage-class"},
		},
	} {
		for _, kind := range engine.Kinds() {
			t.Run(fmt.Sprintf("%s/%s", test.name, kind), func(t *testing.T) {
				t.Parallel()
				s := startScene(t, kind, world.Options{})
				shapes := s.fillWith(t, "docker-manifest", "oci-manifest", "odd-tags")
				outcome := s.run(t, s.through(t, test.prepare(t, s, shapes[0])))
				expectExit(t, outcome, 3)
				expectLine(t, outcome.Stdout, test.outcome, victim+":1.0")
				_, closing, _ := strings.Cut(outcome.Stdout, "Not migrated:")
				expectOutput(t, closing, append(test.says, "  "+victim+":1.0\n")...)
				s.expectAbsent(t, victim, "1.0")
				s.expectArrived(t, outcome.Stdout, shapes[1:]...)
				expectNothingLeft(t, s.Engine)
			})
		}
	}
}

// GitLab's rules apply to tags: other tags of the same image arrive.
func TestOneTagOfAnImageIsProtected(t *testing.T) {
	t.Parallel()
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			s := startScene(t, kind, world.Options{})
			shape := s.fillWith(t, "twelve-tags")[0]
			s.GitLab.Protect("production", "sta*")
			outcome := s.run(t)
			expectExit(t, outcome, 3)
			expectOutput(t, outcome.Stdout, "9 of 12 tags are at "+s.GitLab.Image)
			expectOutput(t, outcome.Stdout, "push", "insufficient permissions to push or delete protected tag", "a rule of the project protects this tag")
			for _, tag := range []string{"production", "stable", "staging"} {
				expectLine(t, outcome.Stdout, "failed", shape.Repository+":"+tag)
				s.expectAbsent(t, shape.Repository, tag)
			}
			shape.Tags = slices.DeleteFunc(slices.Clone(shape.Tags), func(tag string) bool {
				return tag == "production" || strings.HasPrefix(tag, "sta")
			})
			s.expectArrived(t, outcome.Stdout, shape)
		})
	}
}

// Without permission to read manifests, nothing can be planned, and the report names the permission.
func TestManifestsMayNotBeRead(t *testing.T) {
	s := startScene(t, engine.Containerd, world.Options{})
	s.fillWith(t, "docker-manifest", "oci-manifest")
	s.AWS.Deny("BatchGetImage")
	outcome := s.run(t)
	expectExit(t, outcome, 3)
	expectOutput(t, outcome.Stdout, "0 of 2 tags are at", "must allow ecr:BatchGetImage", "shapes/docker-manifest:1.0", "shapes/oci-manifest:1.0")
}

// Layers require a separate permission, which shows when pulling.
func TestLayersMayNotBeRead(t *testing.T) {
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			s := startScene(t, kind, world.Options{})
			s.fillWith(t, "docker-manifest")
			s.AWS.Deny("GetDownloadUrlForLayer")
			outcome := s.run(t)
			expectExit(t, outcome, 3)
			expectOutput(t, outcome.Stdout, "0 of 1 tags are at", "pull ", "must allow ecr:BatchGetImage and ecr:GetDownloadUrlForLayer")
		})
	}
}

// Referrers that the target already lists are not replaced.
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

// What GitLab, or a proxy in front of it, rejects for one image has its own message and remedy, is not retried, and
// does not affect the others.
func TestRefusedByGitLab(t *testing.T) {
	t.Parallel()
	const victim, spared, bare = "shapes/docker-manifest", "shapes/oci-manifest", "shapes/no-layers"
	toVictim := func(r *http.Request) bool { return strings.Contains(r.URL.Path, victim) }
	for _, test := range []struct {
		name   string
		spared string // "": spared
		taken  bool   // the tag, by another image
		refuse func(r *gitlab.Refusals)
		says   []string
	}{
		{
			name: "protected tag", spared: "shapes/odd-tags", refuse: func(r *gitlab.Refusals) { r.ProtectedTags = []string{"1.0"} },
			says: []string{"insufficient permissions to push or delete protected tag", "a rule of the project protects this tag"},
		},
		{
			name: "immutable tag", taken: true, refuse: func(r *gitlab.Refusals) { r.ImmutableTags = []string{"1.0"} },
			says: []string{"tag is immutable", "makes it immutable: delete the rule"},
		},
		{
			name: "protected repository", refuse: func(r *gitlab.Refusals) { r.ProtectedRepositories = []string{"*/*/" + victim} },
			says: []string{"Pushing to protected repository path forbidden", "never a deploy token"},
		},
		{
			name: "firewall", refuse: func(r *gitlab.Refusals) {
				r.Firewall = func(r *http.Request) bool { return r.Method == http.MethodPut && toVictim(r) }
			},
			says: []string{"403", "a proxy or firewall in front of it"},
		},
		{
			name: "manifest too large", spared: bare, refuse: func(r *gitlab.Refusals) { r.MaxManifest = 500 },
			says: []string{"payload size limit exceeded", "the manifest is larger than this registry allows", "an administrator can raise the limit"},
		},
		{
			name: "too many references", spared: bare, refuse: func(r *gitlab.Refusals) { r.MaxReferences = 1 },
			says: []string{"too many manifest references", "the manifest refers to more manifests or layers than this registry allows", "an administrator can raise the limit"},
		},
		{
			name: "body too large", spared: bare, refuse: func(r *gitlab.Refusals) { r.MaxBody, r.NoMounts = 10_000, true },
			says: []string{"413", "client_max_body_size", "the image's largest layer has "},
		},
	} {
		for _, kind := range engine.Kinds() {
			t.Run(fmt.Sprintf("%s/%s", test.name, kind), func(t *testing.T) {
				t.Parallel()
				s := startScene(t, kind, world.Options{})
				shapes := s.fillWith(t, victim, cmp.Or(test.spared, spared))
				if test.taken {
					putAtTarget(t, s, victim, "1.0", shapes[1].Object)
				}
				s.GitLab.Refuse(test.refuse)
				var pushes atomic.Int32
				outcome := s.run(t, "MIGRATE_CONFLICT=overwrite", // else the other image is left alone, and GitLab not asked
					s.through(t, func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
						if call := proxy.CallOf(r); call.Verb == proxy.Push && strings.Contains(call.Ref, victim) {
							pushes.Add(1)
						}
						engine.ServeHTTP(w, r)
					}))
				expectExit(t, outcome, 3)
				expectLine(t, outcome.Stdout, "failed", victim+":1.0")
				_, closing, _ := strings.Cut(outcome.Stdout, "Not migrated:")
				expectOutput(t, closing, append(test.says, "  "+victim+":1.0\n")...)
				s.expectArrived(t, outcome.Stdout, shapes[1])
				expectNothingLeft(t, s.Engine)
				if n := pushes.Load(); test.name != "firewall" && n != 1 { // which may change its mind
					t.Errorf("%d pushes", n)
				}
			})
		}
	}
}

// A registry that rejects everything ends the run before most of ECR has been pulled in vain.
func TestReadOnlyRegistry(t *testing.T) {
	t.Parallel()
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel() // it mostly waits
			account, err := corpus.Tiny(t.Context(), corpus.TinyOptions{Repositories: 12, Tags: 9, Layers: 1, Size: 20 << 10})
			if err != nil {
				t.Fatal(err)
			}
			s := startScene(t, kind, world.Options{})
			fill(t, s.World, account)
			s.GitLab.Refuse(func(r *gitlab.Refusals) { r.ReadOnly = true })
			outcome, pulls := s.runCountingPulls(t)
			expectExit(t, outcome, 1)
			expectOutput(t, outcome.Stderr, "no image can be migrated for now", "405", "a later run continues from here")
			expectOutput(t, outcome.Stdout, "the registry is read-only")
			if pulls == 0 || pulls >= 40 {
				t.Errorf("%d pulls", pulls)
			}
			t.Logf("%d pulls of 108 tags", pulls)
			expectNothingLeft(t, s.Engine)

			s.GitLab.Refuse(func(r *gitlab.Refusals) { r.ReadOnly = false })
			expectExit(t, s.run(t), 0)
		})
	}
}

// runCountingPulls runs the program, and returns how many pulls it has asked the engine for.
func (s *scene) runCountingPulls(t *testing.T) (world.Outcome, int32) {
	t.Helper()
	var pulls atomic.Int32
	outcome := s.run(t, s.through(t, func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
		if proxy.CallOf(r).Verb == proxy.Pull {
			pulls.Add(1)
		}
		engine.ServeHTTP(w, r)
	}))
	return outcome, pulls.Load()
}

// Where the whole registry takes nothing from this job, the run says why, and ends before most of ECR has been pulled.
func TestRegistryTakesNothing(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		refuse func(r *gitlab.Refusals)
		says   []string
	}{
		{"registry off", func(r *gitlab.Refusals) { r.Off = true }, []string{"registry not enabled", "is turned off"}},
		{"registry of the project off", func(r *gitlab.Refusals) { r.ProjectOff = true }, []string{"denied"}},
		{
			"firewall before every push", func(r *gitlab.Refusals) {
				r.Firewall = func(r *http.Request) bool {
					return strings.HasPrefix(r.URL.Path, "/v2/") && (r.Method == http.MethodPost || r.Method == http.MethodPut)
				}
			},
			[]string{"403", "a proxy or firewall in front of it"},
		},
	} {
		for _, kind := range engine.Kinds() {
			t.Run(fmt.Sprintf("%s/%s", test.name, kind), func(t *testing.T) {
				t.Parallel() // it mostly waits
				// These are more images than are asked for at once.
				account, err := corpus.Tiny(t.Context(), corpus.TinyOptions{Repositories: 6, Tags: 16, Layers: 1, Size: 20 << 10})
				if err != nil {
					t.Fatal(err)
				}
				s := startScene(t, kind, world.Options{})
				fill(t, s.World, account)
				s.GitLab.Refuse(test.refuse)
				outcome, pulls := s.runCountingPulls(t)
				expectExit(t, outcome, 1)
				expectOutput(t, outcome.Stdout+outcome.Stderr, test.says...)
				if pulls >= 40 {
					t.Errorf("%d pulls", pulls)
				}
				expectNothingLeft(t, s.Engine)
			})
		}
	}
}

// A registry that does not let the token mount from another repository gets the layers by upload.
func TestMountsDenied(t *testing.T) {
	t.Parallel()
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			s := startScene(t, kind, world.Options{})
			shapes := s.fillWith(t, "shared-one", "shared-two")
			s.GitLab.Refuse(func(r *gitlab.Refusals) { r.NoMounts = true })
			outcome := s.run(t)
			expectExit(t, outcome, 0)
			s.expectArrived(t, outcome.Stdout, shapes...)
			expectNothingLeft(t, s.Engine)
		})
	}
}
