package scenarios

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/aws"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/check"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/proxy"
)

// scene is a world whose secrets are known, so that no run in it may show one.
type scene struct {
	*world.World
	secrets *proxy.Secrets
}

func startScene(t *testing.T, kind engine.Kind, options world.Options) *scene {
	t.Helper()
	secrets := &proxy.Secrets{}
	options.AWS.Wrap = both(secrets.Wrap, options.AWS.Wrap)
	options.GitLab.Wrap = both(secrets.Wrap, options.GitLab.Wrap)
	w := startWorld(t, kind, options)
	secrets.Add("secret key", w.AWS.SecretAccessKey)
	secrets.Add("job token", w.GitLab.Password)
	secrets.Add("web identity token", options.AWS.WebIdentityToken)
	return &scene{w, secrets}
}

// both puts the middleware outer around inner, which may be nil.
func both(outer, inner func(http.Handler) http.Handler) func(http.Handler) http.Handler {
	if inner == nil {
		return outer
	}
	return func(h http.Handler) http.Handler { return outer(inner(h)) }
}

// run runs the program with the scene's environment and what changes it.
func (s *scene) run(t *testing.T, changes ...string) world.Outcome {
	t.Helper()
	outcome := run(t, append(s.Env(), changes...))
	s.expectNoSecrets(t, outcome)
	return outcome
}

// expectNoSecrets looks through the output and through the command lines of all processes.
func (s *scene) expectNoSecrets(t *testing.T, outcome world.Outcome) {
	t.Helper()
	if shown := s.secrets.Shown(outcome.Stdout + outcome.Stderr); len(shown) > 0 {
		t.Errorf("the output shows secrets: %q\n%s\n%s", shown, outcome.Stdout, outcome.Stderr)
	}
	for _, command := range s.secrets.Commands() {
		if shown := s.secrets.Shown(command); len(shown) > 0 {
			t.Errorf("a command line shows secrets: %q\n%s", shown, command)
		}
	}
}

// through has the program reach the engine through a proxy, and returns the variable that does it.
func (s *scene) through(t *testing.T, around proxy.Around) string {
	t.Helper()
	return "DOCKER_HOST=" + startProxy(t, proxy.Options{Engine: s.Engine.Host, Around: around}).Host
}

func startProxy(t *testing.T, options proxy.Options) *proxy.Proxy {
	t.Helper()
	p, err := proxy.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

var allShapes = sync.OnceValues(func() ([]corpus.Shape, error) { return corpus.Shapes(context.Background(), "") })

// fillWith pushes the shapes of these repositories ("oci-index") to ECR, and returns them in this order.
func (s *scene) fillWith(t *testing.T, repositories ...string) []corpus.Shape {
	t.Helper()
	all, err := allShapes()
	if err != nil {
		t.Fatal(err)
	}
	var chosen []corpus.Shape
	for _, repository := range repositories {
		i := slices.IndexFunc(all, func(shape corpus.Shape) bool {
			return shape.Repository == "shapes/"+repository || shape.Repository == repository
		})
		if i < 0 {
			t.Fatalf("there is no shape in the repository %s", repository)
		}
		chosen = append(chosen, all[i])
	}
	fillShapes(t, s.World, chosen)
	return chosen
}

// expectArrived compares all tags of the shapes with the target, and with the log.
func (s *scene) expectArrived(t *testing.T, output string, shapes ...corpus.Shape) {
	t.Helper()
	var checker check.Checker
	for _, shape := range shapes {
		for _, tag := range shape.Tags {
			compareTag(t, s.World, &checker, shape, tag, output)
		}
	}
}

// expectAbsent makes sure that the target does not have the tag.
func (s *scene) expectAbsent(t *testing.T, repository, tag string) {
	t.Helper()
	if got, err := check.Digest(t.Context(), s.Target(repository, ":"+tag)); err != nil || got != "" {
		t.Errorf("%s:%s is at the target as %q (%v)", repository, tag, got, err)
	}
}

func digestOf(t *testing.T, object corpus.Object) digest.Digest {
	t.Helper()
	hash, err := object.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.Digest(hash.String())
}

const otherAccount = "210987654321"

// What stops a run as a whole: each cause has its exit code, and a message that names it and what to do.
func TestNothingCanBeDone(t *testing.T) {
	for _, test := range []struct {
		name    string
		options aws.Options
		prepare func(*scene)
		changes []string
		exit    int
		says    []string
	}{
		{
			name: "registry of another account", changes: []string{"AWS_ACCOUNT_ID=" + otherAccount}, exit: 1,
			says: []string{"AWS_ACCOUNT_ID is " + otherAccount, "credentials belong to account 123456789012", "ecr:DescribeRepositories"},
		},
		{
			name: "identity of another account", options: aws.Options{IdentityAccountID: otherAccount}, exit: 1,
			says: []string{"AWS_ACCOUNT_ID is 123456789012", "credentials belong to account " + otherAccount},
		},
		{
			name: "secret key refused", changes: []string{"AWS_SECRET_ACCESS_KEY=" + strings.Repeat("wrong", 8)}, exit: 1,
			says: []string{"SignatureDoesNotMatch", "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"},
		},
		{
			name: "no AWS credentials", changes: []string{"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY="}, exit: 1,
			says: []string{"AWS credentials were looked for", "Settings > CI/CD > Variables"},
		},
		{
			name: "AWS out of reach", changes: []string{"AWS_ENDPOINT_URL=http://127.0.0.1:1"}, exit: 1,
			says: []string{"http://127.0.0.1:1 must be reachable", "AWS_ENDPOINT_URL", "eu-central-1"},
		},
		{
			name: "job token refused", changes: []string{"CI_REGISTRY_PASSWORD=glcbt-64_of-an-ended-job"}, exit: 1,
			says: []string{"refuses the login of gitlab-ci-token", "die with the job", "write_registry"},
		},
		{
			name: "no permission for a token", exit: 1, prepare: func(s *scene) { s.AWS.Deny("GetAuthorizationToken") },
			says: []string{"AccessDeniedException", "must allow ecr:GetAuthorizationToken"},
		},
		{
			name: "no permission to list repositories", exit: 1, prepare: func(s *scene) { s.AWS.Deny("DescribeRepositories") },
			says: []string{"AccessDeniedException", "must allow ecr:DescribeRepositories"},
		},
		{
			name: "no permission to list images", exit: 1, prepare: func(s *scene) { s.AWS.Deny("DescribeImages") },
			says: []string{"AccessDeniedException", "must allow ecr:DescribeImages"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startScene(t, engine.Containerd, world.Options{AWS: test.options})
			s.fillWith(t, "docker-manifest")
			if test.prepare != nil {
				test.prepare(s)
			}
			outcome := s.run(t, test.changes...)
			expectExit(t, outcome, test.exit)
			expectOutput(t, outcome.Stderr, test.says...)
			expectUntouched(t, s)
		})
	}
}

// expectUntouched makes sure that no image was read at ECR and nothing was written to GitLab.
func expectUntouched(t *testing.T, s *scene) {
	t.Helper()
	if n := s.AWS.Calls()["BatchGetImage"]; n > 0 {
		t.Errorf("%d calls of BatchGetImage", n)
	}
	if n := s.AWS.BytesOut(); n > 0 {
		t.Errorf("%d bytes were read at ECR", n)
	}
	if n := s.GitLab.BytesIn(); n > 0 {
		t.Errorf("%d bytes were sent to GitLab", n)
	}
}

// All that is missing is said at once, before any call.
func TestMissingVariables(t *testing.T) {
	s := startScene(t, engine.Containerd, world.Options{})
	missing := []string{"AWS_ACCOUNT_ID", "AWS_DEFAULT_REGION", "CI_REGISTRY", "CI_REGISTRY_IMAGE", "CI_REGISTRY_USER", "CI_REGISTRY_PASSWORD"}
	var changes []string
	for _, name := range missing {
		changes = append(changes, name+"=")
	}
	outcome := s.run(t, changes...)
	expectExit(t, outcome, 2)
	for _, name := range missing {
		expectOutput(t, outcome.Stderr, "- "+name+": missing")
	}
	if calls := s.AWS.Calls(); len(calls) > 0 {
		t.Errorf("AWS was called: %v", calls)
	}
}

// A registry that does not take AWS's own token ends the run before anything is listed.
func TestRegistryTokenRefused(t *testing.T) {
	s := startScene(t, engine.Containerd, world.Options{})
	s.fillWith(t, "docker-manifest")
	outcome := s.run(t, s.through(t, func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
		if proxy.CallOf(r).Verb == proxy.Login {
			s.AWS.ExpireTokens()
		}
		engine.ServeHTTP(w, r)
	}))
	expectExit(t, outcome, 1)
	expectOutput(t, outcome.Stderr, "the ECR registry "+s.AWS.RegistryHost+" refuses the login", "AWS_ACCOUNT_ID and the region")
	if n := s.AWS.Calls()["DescribeRepositories"]; n > 0 {
		t.Errorf("the registry was listed %d times", n)
	}
}

// Without an engine the program gives up after its minute, and says what it tried and what is usually wrong.
func TestNoEngine(t *testing.T) {
	t.Parallel() // it is all waiting
	w, err := world.Start(t.Context(), nil, world.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close() //nolint:errcheck // nothing was pushed
	host := "unix://" + filepath.Join(t.TempDir(), "docker.sock")
	outcome := run(t, append(w.Env(), "DOCKER_HOST="+host))
	expectExit(t, outcome, 1)
	expectOutput(t, outcome.Stdout, "waiting for it at "+host+", for up to 1m0s")
	expectOutput(t, outcome.Stderr, "no Docker Engine answers at "+host, "services: [docker:29-dind]", "DOCKER_TLS_CERTDIR", "privileged = true")
	if outcome.Took.Minutes() > 1.5 {
		t.Errorf("it took %s", outcome.Took)
	}
}

// An engine that comes up late is waited for. It is on TCP, as in a job's service.
func TestEngineComesUpLate(t *testing.T) {
	s := startScene(t, engine.Containerd, world.Options{})
	shapes := s.fillWith(t, "docker-manifest", "oci-index")
	address := startProxy(t, proxy.Options{Engine: s.Engine.Host, Listen: "tcp://127.0.0.1:0"})
	if err := address.Close(); err != nil { // nothing listens there now
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	late := proxy.Options{Engine: s.Engine.Host, Listen: address.Host}
	watch := &lineWatch{written: &stdout, wanted: "waiting for it", then: func() { startProxy(t, late) }}
	if err := program.Stream(t.Context(), watch, &stderr, append(s.Env(), "DOCKER_HOST="+address.Host)); err != nil {
		t.Fatalf("%v\n%s\n%s", err, stdout.String(), stderr.String())
	}
	expectOutput(t, stdout.String(), "Engine: waiting for it at "+address.Host, "Engine: Docker "+s.Engine.Version)
	s.expectArrived(t, stdout.String(), shapes...)
	s.expectNoSecrets(t, world.Outcome{Stdout: stdout.String(), Stderr: stderr.String()})
}

// lineWatch calls then once, when the program has written what is wanted.
type lineWatch struct {
	written *bytes.Buffer
	wanted  string
	then    func()
	once    sync.Once
}

func (w *lineWatch) Write(data []byte) (int, error) {
	n, err := w.written.Write(data)
	if strings.Contains(w.written.String(), w.wanted) {
		w.once.Do(w.then)
	}
	return n, err
}

func TestNothingToDo(t *testing.T) {
	t.Run("empty registry", func(t *testing.T) {
		s := startScene(t, engine.Containerd, world.Options{})
		outcome := s.run(t)
		expectExit(t, outcome, 0)
		expectOutput(t, outcome.Stdout, "ECR: 0 tags of 0 images in 0 repositories")
	})
	t.Run("repository without tags", func(t *testing.T) {
		s := startScene(t, engine.Containerd, world.Options{})
		shapes := s.fillWith(t, "docker-manifest", "oci-manifest")
		if err := s.AWS.Untag(shapes[0].Repository, shapes[0].Tags[0]); err != nil {
			t.Fatal(err)
		}
		if _, err := s.AWS.CreateRepository("never/pushed"); err != nil {
			t.Fatal(err)
		}
		outcome := s.run(t)
		expectExit(t, outcome, 0)
		expectOutput(t, outcome.Stdout, "without any tag: never/pushed, shapes/docker-manifest")
		s.expectArrived(t, outcome.Stdout, shapes[1])
	})
}

// What concerns single tags leaves the others alone: they arrive, and the run ends with those that did not by name.
func TestSomeTagsFail(t *testing.T) {
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

// GitLab's rules are for tags: the others of the same image arrive.
func TestOneTagOfAnImageIsProtected(t *testing.T) {
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			s := startScene(t, kind, world.Options{})
			shape := s.fillWith(t, "twelve-tags")[0]
			s.GitLab.Protect("production", "sta*")
			outcome := s.run(t)
			expectExit(t, outcome, 3)
			expectOutput(t, outcome.Stdout, "9 of 12 tags are at "+s.GitLab.Image)
			expectOutput(t, outcome.Stdout, "push", "denied", "when the user's role is below Developer, when the tag is protected or immutable")
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

// Without the permission to read manifests nothing can be planned, and the report names the permission.
func TestManifestsMayNotBeRead(t *testing.T) {
	s := startScene(t, engine.Containerd, world.Options{})
	s.fillWith(t, "docker-manifest", "oci-manifest")
	s.AWS.Deny("BatchGetImage")
	outcome := s.run(t)
	expectExit(t, outcome, 3)
	expectOutput(t, outcome.Stdout, "0 of 2 tags are at", "must allow ecr:BatchGetImage", "shapes/docker-manifest:1.0", "shapes/oci-manifest:1.0")
}

// Layers need a permission of their own, which the pull shows.
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

var tinyAccount = []string{"docker-manifest", "oci-manifest", "no-layers", "uncompressed-oci", "odd-tags", "shared-one", "shared-two", "twelve-tags"}

// A listing that is throttled is tried again.
func TestThrottledListing(t *testing.T) {
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

// A job with an ID token needs no keys.
func TestWebIdentity(t *testing.T) {
	s := startScene(t, engine.Containerd, world.Options{AWS: aws.Options{WebIdentityToken: "eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl"}})
	shapes := s.fillWith(t, "docker-manifest")
	env := append(s.AWS.WebIdentityEnv(), s.GitLab.Env()...)
	outcome := run(t, append(env, "DOCKER_HOST="+s.Engine.Host))
	expectExit(t, outcome, 0)
	expectOutput(t, outcome.Stdout, "AWS: account 123456789012, arn:aws:sts::123456789012:assumed-role/gitlab-ci/ecr2gitlab")
	s.expectArrived(t, outcome.Stdout, shapes...)
	s.expectNoSecrets(t, outcome)
	if kinds := s.secrets.Kinds(); !slices.Contains(kinds, "SessionToken") || !slices.Contains(kinds, "SecretAccessKey") {
		t.Errorf("the role's credentials were not looked for, only %q", kinds)
	}
}

func TestWebIdentityRefused(t *testing.T) {
	s := startScene(t, engine.Containerd, world.Options{AWS: aws.Options{WebIdentityToken: "eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl"}})
	env := append(s.AWS.WebIdentityEnv(), s.GitLab.Env()...)
	outcome := run(t, append(env, "AWS_WEB_IDENTITY_TOKEN=eyJhbGciOiJSUzI1NiJ9.e30.of-another-issuer"))
	expectExit(t, outcome, 1)
	expectOutput(t, outcome.Stderr, "InvalidIdentityToken", "check AWS_ROLE_ARN, and AWS_WEB_IDENTITY_TOKEN")
	if strings.Contains(outcome.Stderr+outcome.Stdout, "of-another-issuer") {
		t.Error("the output shows the token")
	}
}

// An identity of another account may migrate where the registry's policy allows it, and is told what it needs.
func TestAllowedIdentityOfAnotherAccount(t *testing.T) {
	s := startScene(t, engine.Containerd, world.Options{AWS: aws.Options{IdentityAccountID: otherAccount, CrossAccount: true}})
	shapes := s.fillWith(t, "docker-manifest")
	outcome := s.run(t)
	expectExit(t, outcome, 0)
	expectOutput(t, outcome.Stdout, "AWS: account "+otherAccount, "not of the account whose registry is migrated, 123456789012")
	s.expectArrived(t, outcome.Stdout, shapes...)
}

// A job that is cancelled ends soon, says what it has done, and leaves nothing in the engine: neither the image that
// waits for its push, nor those from before the pull that is cut off. In each row one call is under way at most.
func TestInterrupted(t *testing.T) {
	for _, test := range []struct {
		verb         proxy.Verb
		nth          int32
		repositories []string
		says         string
	}{
		{proxy.Pull, 5, tinyAccount, "not started"},
		{proxy.Push, 3, []string{"odd-tags"}, "2 of 8 tags are at "},
	} {
		for _, kind := range engine.Kinds() {
			t.Run(fmt.Sprintf("%s/%s", test.verb, kind), func(t *testing.T) {
				s := startScene(t, kind, world.Options{})
				s.fillWith(t, test.repositories...)
				ctx, interrupt := context.WithTimeout(t.Context(), time.Minute)
				defer interrupt()
				outcome, err := program.Run(ctx, append(s.Env(), "MIGRATE_CONCURRENCY=1", s.through(t, hold(test.verb, test.nth, interrupt))))
				if err != nil {
					t.Fatal(err)
				}
				if outcome.Took > time.Minute {
					t.Errorf("it took %s", outcome.Took)
				}
				expectExit(t, outcome, 143)
				expectOutput(t, outcome.Stdout, "tags are at "+s.GitLab.Image, test.says)
				expectOutput(t, outcome.Stderr, "interrupted by ")
				s.expectNoSecrets(t, outcome)
				expectNothingLeft(t, s.Engine)
			})
		}
	}
}

// hold keeps the nth call of a kind from the engine until the program gives up, and calls then.
func hold(verb proxy.Verb, nth int32, then func()) proxy.Around {
	var calls atomic.Int32
	return func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
		if proxy.CallOf(r).Verb == verb && calls.Add(1) == nth {
			then()
			<-r.Context().Done()
			return
		}
		engine.ServeHTTP(w, r)
	}
}

// The checks for secrets in the other tests are worth something: all kinds are known, and the processes were seen.
func TestSecretsStayHidden(t *testing.T) {
	s := startScene(t, engine.Containerd, world.Options{})
	s.fillWith(t, "docker-manifest")
	expectExit(t, s.run(t), 0)
	for _, kind := range []string{"secret key", "job token", "password", "encoded password", "registry token of GitLab", "authorizationToken"} {
		if !slices.Contains(s.secrets.Kinds(), kind) {
			t.Errorf("no %s has passed by", kind)
		}
	}
	for _, process := range []string{"ecr2gitlab", "dockerd --config-file", "containerd --config"} {
		if !slices.ContainsFunc(s.secrets.Commands(), func(line string) bool { return strings.Contains(line, process) }) {
			t.Errorf("%s was never seen running", process)
		}
	}
}
