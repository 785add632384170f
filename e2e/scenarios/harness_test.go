// Package scenarios holds the tests of the whole program, on real engines and real registries.
package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/check"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/proxy"
)

// Shared by all tests: the program, and engines that are lent to one test at a time.
var (
	program world.Program
	engines = enginePool{free: map[engine.Kind][]*engine.Engine{}}
)

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	if err := world.InMemory(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "ecr2gitlab-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	if program, err = world.Build(context.Background(), dir, true); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := engines.close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// enginePool keeps engines between tests: as many of each kind as tests have used at the same time.
type enginePool struct {
	mu   sync.Mutex
	free map[engine.Kind][]*engine.Engine
}

// take returns a free engine, or nil if there is none.
func (p *enginePool) take(kind engine.Kind) *engine.Engine {
	p.mu.Lock()
	defer p.mu.Unlock()
	free := p.free[kind]
	if len(free) == 0 {
		return nil
	}
	p.free[kind] = free[:len(free)-1]
	return free[len(free)-1]
}

func (p *enginePool) put(e *engine.Engine) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free[e.Kind] = append(p.free[e.Kind], e)
}

func (p *enginePool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, free := range p.free {
		for _, e := range free {
			errs = append(errs, e.Close())
		}
	}
	return errors.Join(errs...)
}

// borrowEngine lends the test an engine of that kind until the test ends. It fails the test if there is none. An engine
// of a failed test is not lent again, because of what it may contain.
func borrowEngine(t *testing.T, kind engine.Kind) *engine.Engine {
	t.Helper()
	e := engines.take(kind)
	if e == nil {
		var err error
		options := engine.Options{Verify: true, Hosts: world.Hosts, Args: extraArgs(kind)}
		if e, err = engine.Start(t.Context(), kind, options); err != nil {
			t.Fatal(err)
		}
	}
	logged := len(e.Log())
	t.Cleanup(func() {
		if !t.Failed() {
			engines.put(e)
			return
		}
		keepLog(t, e, logged)
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// keepLog saves an engine's log, from the given byte on, as a file of the test, which go test -artifacts keeps.
func keepLog(t *testing.T, e *engine.Engine, from int) {
	t.Helper()
	file, err := os.CreateTemp(t.ArtifactDir(), strings.ReplaceAll(t.Name(), "/", "-")+"-"+string(e.Kind)+"-*.log")
	if err == nil {
		_, err = file.WriteString(e.Log()[from:])
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		t.Error(err)
	}
}

// ownEngine starts an engine for a test that kills it, breaks it or fills it up.
func ownEngine(t *testing.T, kind engine.Kind, options engine.Options) *engine.Engine {
	t.Helper()
	options.Verify, options.Hosts = true, world.Hosts
	return startEngine(t, kind, options)
}

func startEngine(t *testing.T, kind engine.Kind, options engine.Options) *engine.Engine {
	t.Helper()
	options.Args = append(extraArgs(kind), options.Args...)
	e, err := engine.Start(t.Context(), kind, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			keepLog(t, e, 0)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// extraArgs returns dockerd's options in E2E_ENGINE_ARGS, which every engine with the containerd store gets.
func extraArgs(kind engine.Kind) []string {
	if kind != engine.Containerd {
		return nil
	}
	return strings.Fields(os.Getenv("E2E_ENGINE_ARGS"))
}

func startWorld(t *testing.T, e *engine.Engine, options world.Options) *world.World {
	t.Helper()
	w, err := world.Start(t.Context(), e, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// scene is a world whose secrets are known, so that every run can be checked for them.
type scene struct {
	*world.World
	secrets *proxy.Secrets
}

// startScene starts a world with a borrowed engine.
func startScene(t *testing.T, kind engine.Kind, options world.Options) *scene {
	t.Helper()
	return startSceneOn(t, borrowEngine(t, kind), options)
}

func startSceneOn(t *testing.T, e *engine.Engine, options world.Options) *scene {
	t.Helper()
	secrets := &proxy.Secrets{}
	options.AWS.Wrap = both(secrets.Wrap, options.AWS.Wrap)
	options.GitLab.Wrap = both(secrets.Wrap, options.GitLab.Wrap)
	w := startWorld(t, e, options)
	secrets.Add("secret key", w.AWS.SecretAccessKey)
	secrets.Add("job token", w.GitLab.Password)
	secrets.Add("web identity token", options.AWS.WebIdentityToken)
	return &scene{w, secrets}
}

// both wraps the middleware inner, which may be nil, with outer.
func both(outer, inner func(http.Handler) http.Handler) func(http.Handler) http.Handler {
	if inner == nil {
		return outer
	}
	return func(h http.Handler) http.Handler { return outer(inner(h)) }
}

func fill(t *testing.T, w *world.World, account []corpus.Repository) {
	t.Helper()
	if err := w.Fill(t.Context(), account); err != nil {
		t.Fatal(err)
	}
}

// fillShapes pushes the shapes to ECR. Several may share a repository.
func fillShapes(t *testing.T, w *world.World, shapes []corpus.Shape) {
	t.Helper()
	repositories := map[string]bool{}
	for _, shape := range shapes {
		if !repositories[shape.Repository] {
			repositories[shape.Repository] = true
			if _, err := w.AWS.CreateRepository(shape.Repository); err != nil {
				t.Fatal(err)
			}
		}
		repo, auth, err := w.Owner(shape.Repository)
		if err != nil {
			t.Fatal(err)
		}
		if err := shape.Push(t.Context(), repo, auth); err != nil {
			t.Fatalf("%s: %v", shape.Name, err)
		}
	}
}

var allShapes = sync.OnceValues(func() ([]corpus.Shape, error) { return corpus.Shapes(context.Background(), "") })

var tinyAccount = []string{"docker-manifest", "oci-manifest", "no-layers", "uncompressed-oci", "odd-tags", "shared-one", "shared-two", "twelve-tags"}

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

// putAtTarget pushes an image to GitLab directly, and returns its digest.
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

// named returns an account with one small image in each of the repositories.
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

// through makes the program reach the engine through a proxy, and returns the variable for that.
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

// ask makes a call to the engine's API directly, and returns the response.
func (s *scene) ask(t *testing.T, method, path string, header http.Header) string {
	t.Helper()
	client := http.Client{Transport: proxy.Transport(s.Engine.Host)}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, "http://engine"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = header
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= http.StatusBadRequest {
		t.Errorf("%s %s: %s %s %v", method, path, response.Status, body, err)
	}
	return string(body)
}

// runLimit limits one run of the program.
const runLimit = 10 * time.Minute

func run(t *testing.T, env []string, args ...string) world.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runLimit)
	defer cancel()
	outcome, err := program.Run(ctx, env, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("exit code %d after %s", outcome.ExitCode, outcome.Took.Round(time.Millisecond))
	return outcome
}

// run runs the program with the scene's environment and the given changes to it.
func (s *scene) run(t *testing.T, changes ...string) world.Outcome {
	t.Helper()
	outcome := run(t, append(s.Env(), changes...))
	s.expectNoSecrets(t, outcome)
	return outcome
}

// command runs another command than the migration, with the scene's environment.
func (s *scene) command(t *testing.T, args []string, changes ...string) world.Outcome {
	t.Helper()
	outcome := run(t, append(s.Env(), changes...), args...)
	s.expectNoSecrets(t, outcome)
	return outcome
}

// runWithin is run with a limit: a program that does not end in time is interrupted, and its exit code is 143.
func (s *scene) runWithin(t *testing.T, limit time.Duration, changes ...string) world.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	outcome, err := program.Run(ctx, append(s.Env(), changes...))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("exit code %d after %s", outcome.ExitCode, outcome.Took.Round(time.Millisecond))
	s.expectNoSecrets(t, outcome)
	return outcome
}

func expectExit(t *testing.T, outcome world.Outcome, code int) {
	t.Helper()
	if outcome.ExitCode != code {
		t.Fatalf("exit code %d instead of %d\n%s\n%s", outcome.ExitCode, code, outcome.Stdout, outcome.Stderr)
	}
}

func expectOutput(t *testing.T, output string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(output, part) {
			t.Errorf("%q is missing in the output:\n%s", part, output)
		}
	}
}

// expectLine checks that the log has a line for the tag with that outcome.
func expectLine(t *testing.T, output, outcome, named string) {
	t.Helper()
	for line := range strings.Lines(output) {
		fields := strings.Fields(line)
		if i := slices.Index(fields, named); i > 0 && fields[i-1] == outcome {
			return
		}
	}
	if _, closing, _ := strings.Cut(output, "\nNot migrated:"); isListed(closing, named) {
		return // the sixth of a cause has no line of its own before the summary
	}
	t.Errorf("no line says that %s is %s", named, outcome)
}

// isListed reports whether a summary names the tag: by itself, or among others of its repository that share a cause.
func isListed(summary, named string) bool {
	repository, tag, _ := strings.Cut(named, ":")
	for line := range strings.Lines(summary) {
		tags, several := strings.CutPrefix(strings.TrimSpace(line), repository+": ")
		if strings.TrimSpace(line) == named || several && slices.Contains(strings.Split(tags, ", "), tag) {
			return true
		}
	}
	return false
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

// expectNothingLeft checks that the engine no longer has any images.
func expectNothingLeft(t *testing.T, e *engine.Engine) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", strings.TrimPrefix(e.Host, "unix://"))
	}}}
	defer client.CloseIdleConnections()
	response, err := client.Get("http://engine/images/json?all=1")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var images []struct {
		ID                    string
		RepoTags, RepoDigests []string
	}
	if err := json.NewDecoder(response.Body).Decode(&images); err != nil {
		t.Fatal(err)
	}
	if len(images) > 0 {
		t.Errorf("%d images are left in the engine: %+v", len(images), images)
	}
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

// expectAbsent checks that the target does not have the tag.
func (s *scene) expectAbsent(t *testing.T, repository, tag string) {
	t.Helper()
	if got, err := check.Digest(t.Context(), s.Target(repository, ":"+tag)); err != nil || got != "" {
		t.Errorf("%s:%s is at the target as %q (%v)", repository, tag, got, err)
	}
}

// expectTags checks that GitLab has exactly these tags.
func (s *scene) expectTags(t *testing.T, repository string, want ...string) {
	t.Helper()
	got, err := check.Tags(t.Context(), s.GitLab.Image+"/"+repository, s.GitLab.Auth())
	if err != nil && !strings.Contains(err.Error(), "UNAUTHORIZED") {
		t.Fatal(err)
	}
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("%s has the tags %q, want %q", repository, got, want)
	}
}

// compareTag returns exact, changed or refused, and fails the test unless the row expects it.
func compareTag(t *testing.T, w *world.World, checker *check.Checker, shape corpus.Shape, tag, output string) string {
	t.Helper()
	source, target := w.Source(shape.Repository, ":"+tag), w.Target(shape.Repository, ":"+tag)
	named := shape.Repository + ":" + tag
	if w.Engine.Kind == engine.Classic && shape.Classic == corpus.Refuses {
		if digest, err := check.Digest(t.Context(), target); err != nil || digest != "" {
			t.Errorf("%s: %s is at the target as %s (%v), and should have been refused", shape.Name, tag, digest, err)
		}
		expectLine(t, output, "refused", named)
		return "refused"
	}
	compare, became := checker.Same, "exact"
	if w.Engine.Kind == engine.Classic {
		compare, became = checker.SameContent, "changed"
	}
	report, err := compare(t.Context(), source, target)
	if err != nil {
		t.Errorf("%s: %v", shape.Name, err)
		return "unreadable"
	}
	for _, difference := range report.Differences {
		t.Errorf("%s: %s: %s", shape.Name, tag, difference)
		became = "DIFFERENT"
	}
	expectLine(t, output, became, named)
	return became
}

// compareTags compares every tag with the target, byte for byte, or file by file on the classic store, and counts them.
func compareTags(t *testing.T, w *world.World, account []corpus.Repository, kind engine.Kind) (tags, repositories int) {
	t.Helper()
	var checker check.Checker
	for _, repository := range account {
		digests, err := repository.Tags()
		if err != nil {
			t.Fatal(err)
		}
		if len(digests) > 0 {
			repositories++
		}
		for tag := range digests {
			tags++
			compare := checker.Same
			if kind == engine.Classic {
				compare = checker.SameContent
			}
			report, err := compare(t.Context(), w.Source(repository.Name, ":"+tag), w.Target(repository.Name, ":"+tag))
			if err != nil {
				t.Fatal(err)
			}
			for _, difference := range report.Differences {
				t.Errorf("%s:%s: %s", repository.Name, tag, difference)
			}
		}
	}
	t.Logf("compared %d tags in %d repositories", tags, repositories)
	return tags, repositories
}

// childFor returns an image for the platform in an index, or in an index within it.
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

func digestOf(t *testing.T, object corpus.Object) digest.Digest {
	t.Helper()
	hash, err := object.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.Digest(hash.String())
}
