package scenarios

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/proxy"
)

// api makes a call to the engine's API with a body, which must succeed.
func (s *scene) api(t *testing.T, method, path string, auth *authn.AuthConfig, body []byte) []byte {
	t.Helper()
	client := http.Client{Transport: proxy.Transport(s.Engine.Host)}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, "http://engine"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if auth != nil {
		encoded, err := json.Marshal(auth)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Registry-Auth", base64.URLEncoding.EncodeToString(encoded))
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= http.StatusBadRequest || bytes.Contains(answer, []byte(`"error"`)) {
		t.Fatalf("%s %s: %s %s %v", method, path, response.Status, answer, err)
	}
	return answer
}

// pullAs pulls a reference into the engine.
func (s *scene) pullAs(t *testing.T, ref string, auth authn.AuthConfig) {
	t.Helper()
	s.api(t, http.MethodPost, "/images/create?fromImage="+url.QueryEscape(ref), &auth, nil)
}

// build makes an image of one file, as a user's build does. The name may be empty.
func (s *scene) build(t *testing.T, content, name string) {
	t.Helper()
	var file bytes.Buffer
	w := tar.NewWriter(&file)
	if err := w.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := "/images/create?fromSrc=-"
	if name != "" {
		repository, tag := name[:strings.LastIndex(name, ":")], name[strings.LastIndex(name, ":")+1:]
		path += "&repo=" + url.QueryEscape(repository) + "&tag=" + tag
	}
	s.api(t, http.MethodPost, path, nil, file.Bytes())
}

func (s *scene) tag(t *testing.T, image, name string) {
	t.Helper()
	repository, tag := name[:strings.LastIndex(name, ":")], name[strings.LastIndex(name, ":")+1:]
	s.api(t, http.MethodPost, "/images/"+image+"/tag?repo="+url.QueryEscape(repository)+"&tag="+tag, nil, nil)
}

func (s *scene) untag(t *testing.T, ref string) {
	t.Helper()
	s.api(t, http.MethodDelete, "/images/"+ref+"?noprune=1", nil, nil)
}

// holdings describes every image of the engine, with its names and its layers, and every volume.
func (s *scene) holdings(t *testing.T) string {
	t.Helper()
	var images []struct{ ID string }
	if err := json.Unmarshal(s.api(t, http.MethodGet, "/images/json?all=1", nil, nil), &images); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, i := range images {
		var image struct {
			RepoTags, RepoDigests []string
			RootFS                struct{ Layers []string }
		}
		if err := json.Unmarshal(s.api(t, http.MethodGet, "/images/"+i.ID+"/json", nil, nil), &image); err != nil {
			t.Fatal(err)
		}
		slices.Sort(image.RepoTags)
		slices.Sort(image.RepoDigests)
		lines = append(lines, fmt.Sprintf("%s\n  tags %q\n  digests %q\n  layers %q", i.ID, image.RepoTags, image.RepoDigests, image.RootFS.Layers))
	}
	slices.Sort(lines)
	var volumes struct{ Volumes []struct{ Name string } }
	if err := json.Unmarshal(s.api(t, http.MethodGet, "/volumes", nil, nil), &volumes); err != nil {
		t.Fatal(err)
	}
	for _, v := range volumes.Volumes {
		lines = append(lines, "volume "+v.Name)
	}
	return strings.Join(lines, "\n")
}

func (s *scene) expectHoldings(t *testing.T, before string) {
	t.Helper()
	if now := s.holdings(t); now != before {
		t.Errorf("the engine holds\n%s\nand held before\n%s", now, before)
	}
}

// lived is an engine of a user's with one image of each kind that the run can get in the way of.
type lived struct {
	*scene
	shapes []corpus.Shape
	before string
}

// livedIn starts a world with such an engine, which is empty again at the end of the test.
func livedIn(t *testing.T, kind engine.Kind) lived {
	t.Helper()
	return livedOn(t, borrowEngine(t, kind))
}

func livedOn(t *testing.T, e *engine.Engine) lived {
	t.Helper()
	s := startSceneOn(t, e, world.Options{})
	t.Cleanup(func() { s.empty(t) })
	shapes := s.fillWith(t, "docker-manifest", "oci-manifest", "shared-one", "shared-two", "twelve-tags", "uncompressed-oci")
	source := func(i int) string {
		return s.AWS.RegistryHost + "/" + shapes[i].Repository + "@" + digestOf(t, shapes[i].Object).String()
	}
	target := func(i int) string { return s.GitLab.Image + "/" + shapes[i].Repository }
	ecr, gitlab := s.AWS.AdminAuth(), authn.AuthConfig{Username: s.GitLab.User, Password: s.GitLab.Password}

	// ECR's image by its digest, and a build under the name of its tag at GitLab.
	s.pullAs(t, source(0), ecr)
	s.build(t, "a build for GitLab", target(0)+":1.0")
	// ECR's image by no name.
	s.pullAs(t, source(1), ecr)
	s.tag(t, source(1), "nobody/needs:1")
	s.untag(t, source(1))
	s.build(t, "two names, one of them the target's", "nobody/needs:1")
	s.tag(t, "nobody/needs:1", target(1)+":1.0")
	// ECR's image under the tag that it has at GitLab.
	s.pullAs(t, source(2), ecr)
	s.tag(t, source(2), target(2)+":"+shapes[2].Tags[0])
	s.untag(t, source(2))
	// ECR's image by GitLab's digest, and under another tag of the same repository.
	s.pullAs(t, target(3)+"@"+putAtTarget(t, s, shapes[3].Repository, "theirs", shapes[3].Object), gitlab)
	s.tag(t, target(3)+"@"+digestOf(t, shapes[3].Object).String(), "copy/of:it")
	// ECR's image under ECR's tag.
	s.pullAs(t, s.AWS.RegistryHost+"/"+shapes[5].Repository+":1.0", ecr)
	// Builds without a name, and under a name that has nothing to do with either.
	s.build(t, "no name", "")
	s.build(t, "another project's", "registry.example.com/another/project:latest")
	return lived{s, shapes, s.holdings(t)}
}

// empty removes everything from the engine.
func (s *scene) empty(t *testing.T) {
	t.Helper()
	var images []struct{ ID string }
	if err := json.Unmarshal(s.api(t, http.MethodGet, "/images/json?all=1", nil, nil), &images); err != nil {
		t.Fatal(err)
	}
	for _, i := range images {
		s.api(t, http.MethodDelete, "/images/"+i.ID+"?force=1", nil, nil)
	}
	var volumes struct{ Volumes []struct{ Name string } }
	if err := json.Unmarshal(s.api(t, http.MethodGet, "/volumes", nil, nil), &volumes); err != nil {
		t.Fatal(err)
	}
	for _, v := range volumes.Volumes {
		s.api(t, http.MethodDelete, "/volumes/"+v.Name, nil, nil)
	}
	expectNothingLeft(t, s.Engine)
}

// What an engine held before a run, it holds afterwards, whether the run succeeds or not.
func TestGuest(t *testing.T) {
	t.Parallel()
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := livedIn(t, kind)
			var once sync.Once
			failing := s.run(t, s.through(t, func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
				if proxy.CallOf(r).Verb == proxy.Push {
					once.Do(s.GitLab.Revoke)
				}
				engine.ServeHTTP(w, r)
			}))
			if failing.ExitCode == 0 {
				t.Errorf("it succeeded:\n%s", failing.Stdout)
			}
			s.expectHoldings(t, s.before)
			s.GitLab.Reinstate()

			ctx, interrupt := context.WithTimeout(t.Context(), time.Minute)
			defer interrupt()
			outcome, err := program.Run(ctx, append(s.Env(), "MIGRATE_CONCURRENCY=1", s.through(t, hold(proxy.Push, 3, interrupt))))
			if err != nil {
				t.Fatal(err)
			}
			expectExit(t, outcome, 128+int(syscall.SIGTERM))
			s.expectHoldings(t, s.before)

			outcome = s.run(t)
			expectExit(t, outcome, 0)
			s.expectHoldings(t, s.before)
			s.command(t, []string{"verify", "--pull", "20"})
			s.expectHoldings(t, s.before)
		})
	}
}

// What a killed run has left is gone after the next one, and what it has taken is back.
func TestGuestKilled(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			calls := countCalls(t, kind)
			chance := rand.New(rand.NewPCG(seed, 0))
			for range 4 { // and one more, for each store: ten in all
				at, after := chance.Int32N(calls)+1, chance.IntN(2) == 0
				t.Run(fmt.Sprintf("call %d of %d, answered %t", at, calls, after), func(t *testing.T) {
					killAndRepeat(t, kind, after, "", func(n int32, _ *http.Request) bool { return n == at })
				})
			}
			t.Run("while a name is parked", func(t *testing.T) {
				killAndRepeat(t, kind, true, "ecr2gitlab.invalid/parked/", func(_ int32, r *http.Request) bool {
					call := proxy.CallOf(r)
					return call.Verb == proxy.Push && strings.Contains(call.Ref, "docker-manifest")
				})
			})
		})
	}
}

// countCalls returns the number of calls of a run that nobody kills.
func countCalls(t *testing.T, kind engine.Kind) int32 {
	t.Helper()
	var calls atomic.Int32
	t.Run("not killed", func(t *testing.T) {
		s := livedIn(t, kind)
		expectExit(t, s.run(t, s.through(t, func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
			calls.Add(1)
			engine.ServeHTTP(w, r)
		})), 0)
		s.expectHoldings(t, s.before)
	})
	return calls.Load()
}

// killAndRepeat kills a run at one of its calls, after the engine has answered it or before it gets it, and runs the program
// again. left is part of a name that the killed run leaves.
func killAndRepeat(t *testing.T, kind engine.Kind, after bool, left string, moment func(n int32, r *http.Request) bool) {
	t.Helper()
	s := livedIn(t, kind)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var calls atomic.Int32
	var once sync.Once
	kill := make(chan struct{})
	host := s.through(t, func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
		now := moment(calls.Add(1), r)
		if now && !after {
			once.Do(func() { close(kill) })
			<-r.Context().Done()
			return
		}
		engine.ServeHTTP(w, r)
		if now {
			once.Do(func() { close(kill) })
		}
	})
	command := program.Command(ctx, append(s.Env(), host))
	command.Cancel = func() error { return command.Process.Kill() }
	go func() {
		select {
		case <-kill:
		case <-ctx.Done():
		}
		cancel()
	}()
	output, err := command.CombinedOutput()
	t.Logf("%v", err)
	if command.ProcessState.ExitCode() != -1 {
		t.Logf("not killed: %s", output)
	}
	if held := s.holdings(t); !strings.Contains(held, left) {
		t.Errorf("no name with %s is left:\n%s", left, held)
	}
	again := s.run(t)
	expectExit(t, again, 0)
	s.expectHoldings(t, s.before)
	if t.Failed() {
		t.Logf("killed:\n%s\nagain:\n%s", output, again.Stdout)
	}
}
