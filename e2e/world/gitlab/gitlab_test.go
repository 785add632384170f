package gitlab

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// TestWhatAJobMayPush pushes to and pulls from every kind of path.
func TestWhatAJobMayPush(t *testing.T) {
	s := start(t, Options{Project: "acme/shop"})
	tests := []struct {
		repo    string
		refused bool
	}{
		{repo: "acme/shop"},
		{repo: "acme/shop/api"},
		{repo: "acme/shop/team/api"},
		{repo: "acme/shop/a__b/c.d-e_f"},
		{repo: "acme/shop/team/api/v2", refused: true},
		{repo: "acme/shop/a--b"},
		{repo: "acme/shopping", refused: true},
		{repo: "acme/other", refused: true},
		{repo: "acme", refused: true},
	}
	img := image(t)
	for _, tt := range tests {
		t.Run(tt.repo, func(t *testing.T) {
			ref := tag(t, s.Registry+"/"+tt.repo+":v1")
			err := remote.Write(ref, img, remote.WithAuth(s.Auth()))
			if tt.refused {
				if status(err) != http.StatusUnauthorized {
					t.Errorf("push: %v, want it refused", err)
				}
				return
			}
			check(t, err)
			pulled, err := remote.Image(ref, remote.WithAuth(s.Auth()))
			check(t, err)
			if got, want := digestOf(t, pulled), digestOf(t, img); got != want {
				t.Errorf("pulled %s, want %s", got, want)
			}
		})
	}
}

func TestInProject(t *testing.T) {
	tests := map[string]bool{
		"g/p": true, "g/p/a": true, "g/p/a/b": true, "g/p/0": true, "g/p/a-b.c_d__e": true,
		"g/p/a/b/c": false, "g/p/": false, "g/p//a": false, "g/p2": false, "g": false, "": false,
		"g/p/a--b": true, "g/p/_a": false, "g/p/a-": false, "g/p/a___b": false, "g/p/-a/b": false, "g/p/A": false,
	}
	for name, want := range tests {
		if got := inProject(name, "g/p"); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

// TestDeniedIsInsufficientScope checks the challenge that makes Docker print "denied: requested access to the resource
// is denied".
func TestDeniedIsInsufficientScope(t *testing.T) {
	s := start(t, Options{})
	for repo, want := range map[string]string{
		"group/project/a":       "",
		"group/project/a/b/c/d": `error="insufficient_scope"`,
	} {
		token := s.token(t, "repository:"+repo+":pull,push")
		resp := s.do(t, http.MethodPost, "/v2/"+repo+"/blobs/uploads/", token, "")
		challenge := resp.Header.Get("WWW-Authenticate")
		if refused := resp.StatusCode == http.StatusUnauthorized; refused != (want != "") || !strings.Contains(challenge, want) {
			t.Errorf("%s: %s %s", repo, resp.Status, challenge)
		}
	}
}

func TestTokenService(t *testing.T) {
	s := start(t, Options{User: "gitlab-ci-token", Password: "right"})
	tests := []struct {
		name, method, query, user, password string
		status                              int
		code                                string
	}{
		{"login", http.MethodGet, "service=container_registry&account=x&client_id=docker&offline_token=true", "gitlab-ci-token", "right", 200, ""},
		{"wrong password", http.MethodGet, "service=container_registry", "gitlab-ci-token", "wrong", 401, "UNAUTHORIZED"},
		{"wrong user", http.MethodGet, "service=container_registry", "root", "right", 401, "UNAUTHORIZED"},
		{"no password", http.MethodGet, "service=container_registry", "gitlab-ci-token", "", 401, "UNAUTHORIZED"},
		{"anonymous", http.MethodGet, "service=container_registry", "", "", 403, "DENIED"},
		{"anonymous with a scope", http.MethodGet, "service=container_registry&scope=repository:group/project:pull", "", "", 200, ""},
		{"other service", http.MethodGet, "service=dependency_proxy", "gitlab-ci-token", "right", 404, ""},
		{"POST", http.MethodPost, "service=container_registry&grant_type=password", "gitlab-ci-token", "right", 404, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp := s.ask(t, tt.method, tt.query, tt.user, tt.password)
			var answer struct {
				Token  string
				Errors []registryError
			}
			body := read(t, resp)
			if resp.StatusCode != http.StatusNotFound {
				check(t, json.Unmarshal([]byte(body), &answer))
			}
			if resp.StatusCode != tt.status || (answer.Token != "") != (tt.status == 200) {
				t.Errorf("%s %s", resp.Status, body)
			}
			if tt.code != "" && (len(answer.Errors) != 1 || answer.Errors[0].Code != tt.code) {
				t.Errorf("errors %v, want one %s", answer.Errors, tt.code)
			}
		})
	}
	if got := s.Tokens(); got != 2 {
		t.Errorf("%d tokens counted, 2 were issued", got)
	}
}

// TestTokensCarryWhatWasGranted requests several scopes at a time, and uses each.
func TestTokensCarryWhatWasGranted(t *testing.T) {
	s := start(t, Options{})
	repeated := s.token(t, "repository:group/project/a:pull,push", "repository:group/project/b:pull", "registry:catalog:*")
	inOne := s.token(t, "repository:group/project/a:pull,push repository:group/project/b:pull")
	deletion := s.token(t, "repository:group/project/a:delete")
	anonymous := tokenOf(t, s.ask(t, http.MethodGet, "service=container_registry&scope=repository:group/project/a:pull", "", ""))
	tests := []struct{ name, token, method, path, want string }{
		{"push granted", repeated, http.MethodPost, "/v2/group/project/a/blobs/uploads/", "202 Accepted"},
		{"push not asked for", repeated, http.MethodPost, "/v2/group/project/b/blobs/uploads/", "401 Unauthorized"},
		{"pull granted", repeated, http.MethodGet, "/v2/group/project/b/manifests/x", "404 Not Found"},
		{"catalog", repeated, http.MethodGet, "/v2/_catalog", "401 Unauthorized"},
		{"scopes in one parameter", inOne, http.MethodPost, "/v2/group/project/a/blobs/uploads/", "202 Accepted"},
		{"second scope in one parameter", inOne, http.MethodGet, "/v2/group/project/b/manifests/x", "404 Not Found"},
		{"delete", deletion, http.MethodDelete, "/v2/group/project/a/manifests/x", "401 Unauthorized"},
		{"anonymous pull", anonymous, http.MethodGet, "/v2/group/project/a/manifests/x", "401 Unauthorized"},
		{"no token", "", http.MethodGet, "/v2/", "401 Unauthorized"},
		{"garbage", "garbage", http.MethodGet, "/v2/", "401 Unauthorized"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if resp := s.do(t, tt.method, tt.path, tt.token, ""); resp.Status != tt.want {
				t.Errorf("%s, want %s", resp.Status, tt.want)
			}
		})
	}
}

func TestExpiredToken(t *testing.T) {
	for lifetime, want := range map[time.Duration]int{-time.Second: http.StatusUnauthorized, 30 * time.Second: http.StatusOK} {
		s := start(t, Options{TokenLifetime: lifetime})
		resp := s.do(t, http.MethodGet, "/v2/", s.token(t, ""), "")
		if resp.StatusCode != want {
			t.Errorf("lifetime %s: %s, want %d", lifetime, resp.Status, want)
		}
		invalid := strings.Contains(resp.Header.Get("WWW-Authenticate"), `error="invalid_token"`)
		if invalid != (want == http.StatusUnauthorized) {
			t.Errorf("lifetime %s: challenge %s", lifetime, resp.Header.Get("WWW-Authenticate"))
		}
	}
}

func TestForeignTokensAreRefused(t *testing.T) {
	s, other := start(t, Options{}), start(t, Options{})
	if resp := s.do(t, http.MethodGet, "/v2/", other.token(t, ""), ""); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a token that another issuer signed: %s", resp.Status)
	}
}

func TestWrongPassword(t *testing.T) {
	s := start(t, Options{})
	wrong := &authn.Basic{Username: s.User, Password: "glcbt-wrong"}
	err := remote.Write(tag(t, s.Image+":v1"), image(t), remote.WithAuth(wrong))
	if status(err) != http.StatusUnauthorized || !strings.Contains(err.Error(), "HTTP Basic: Access denied") {
		t.Errorf("push: %v", err)
	}
}

// TestRevoke uses a registry token that was issued before the job token was revoked.
func TestRevoke(t *testing.T) {
	s := start(t, Options{})
	token := s.token(t, "")
	push := func() error { return remote.Write(tag(t, s.Image+":v1"), image(t), remote.WithAuth(s.Auth())) }
	s.Revoke()
	if err := push(); status(err) != http.StatusUnauthorized || !strings.Contains(err.Error(), "HTTP Basic: Access denied") {
		t.Errorf("push: %v", err)
	}
	if resp := s.do(t, http.MethodGet, "/v2/", token, ""); resp.StatusCode != http.StatusOK {
		t.Errorf("with a token from before: %s", resp.Status)
	}
	s.Reinstate()
	check(t, push())
}

func TestNoReferrersAPI(t *testing.T) {
	s := start(t, Options{})
	img := image(t)
	check(t, remote.Write(tag(t, s.Image+":v1"), img, remote.WithAuth(s.Auth())))
	resp := s.do(t, http.MethodGet, "/v2/group/project/referrers/"+digestOf(t, img).String(), s.token(t, "repository:group/project:pull"), "")
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("GitLab has no Referrers API; got %s", resp.Status)
	}
}

func TestFail(t *testing.T) {
	s := start(t, Options{})
	s.Fail(func(r *http.Request) (int, bool) { return http.StatusTooManyRequests, r.URL.Path == "/jwt/auth" })
	resp := s.ask(t, http.MethodGet, "service=container_registry", s.User, s.Password)
	if body := read(t, resp); resp.StatusCode != http.StatusTooManyRequests || !strings.Contains(body, "TOOMANYREQUESTS") {
		t.Errorf("%s %s", resp.Status, body)
	}
	if resp := s.do(t, http.MethodGet, "/v2/", "", ""); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the hook left this one alone: %s", resp.Status)
	}
	s.Fail(nil)
	s.token(t, "")
}

// TestCounters pushes an image twice, and once to another repository that can mount its blobs.
func TestCounters(t *testing.T) {
	s := start(t, Options{})
	auth := remote.WithAuth(s.Auth())
	img := image(t)
	for _, ref := range []string{s.Image + "/a:v1", s.Image + "/a:v2"} {
		check(t, remote.Write(tag(t, ref), img, auth))
	}
	pushed, err := remote.Image(tag(t, s.Image+"/a:v1"), auth)
	check(t, err)
	check(t, remote.Write(tag(t, s.Image+"/b:v1"), pushed, auth))

	want := int64(0)
	uploads := s.Uploads()
	for _, blob := range blobs(t, img) {
		want += blob.Size
		if got := uploads[blob.Digest.String()]; got != 1 {
			t.Errorf("blob %s: %d uploads, want 1", blob.Digest, got)
		}
	}
	if got := s.BytesIn(); got != want {
		t.Errorf("%d bytes in, want %d", got, want)
	}
}

func TestAddresses(t *testing.T) {
	tests := []struct {
		opts            Options
		registry, realm string
		sameAddress     bool
	}{
		{Options{}, "127.0.0.1:", "http://127.0.0.1:", true},
		{Options{Addr: "127.0.0.2:0"}, "127.0.0.2:", "http://127.0.0.2:", true},
		{Options{TokenAddr: "127.0.0.3:0"}, "127.0.0.1:", "http://127.0.0.3:", false},
	}
	for _, tt := range tests {
		s := start(t, tt.opts)
		realm := s.realm(t)
		if !strings.HasPrefix(s.Registry, tt.registry) || !strings.HasPrefix(realm, tt.realm) {
			t.Errorf("%+v: registry %s, realm %s", tt.opts, s.Registry, realm)
		}
		shared := s.do(t, http.MethodGet, "/jwt/auth?service=container_registry", "", "")
		if got := shared.StatusCode == http.StatusForbidden; got != tt.sameAddress {
			t.Errorf("%+v: /jwt/auth at the registry: %s", tt.opts, shared.Status)
		}
		if resp := s.do(t, http.MethodGet, "/v2/", s.token(t, ""), ""); resp.StatusCode != http.StatusOK {
			t.Errorf("%+v: with a token: %s", tt.opts, resp.Status)
		}
	}
}

func TestAnnounce(t *testing.T) {
	var listening string
	s := start(t, Options{Announce: func(addr string) (string, error) {
		listening = addr
		return "proxy.example:5000", nil
	}})
	if s.Registry != "proxy.example:5000" || s.Image != "proxy.example:5000/group/project" {
		t.Errorf("registry %s, image %s", s.Registry, s.Image)
	}
	resp, err := http.Get("http://" + listening + "/v2/")
	check(t, err)
	defer resp.Body.Close()
	if realm := resp.Header.Get("WWW-Authenticate"); !strings.HasPrefix(realm, `Bearer realm="http://proxy.example:5000/jwt/auth"`) {
		t.Errorf("challenge %s", realm)
	}
	refused := errors.New("no proxy")
	if _, err := Start(t.Context(), Options{Announce: func(string) (string, error) { return "", refused }}); !errors.Is(err, refused) {
		t.Errorf("error %v, want %v", err, refused)
	}
}

func TestEnv(t *testing.T) {
	s := start(t, Options{Password: "secret"})
	want := []string{
		"CI_REGISTRY=" + s.Registry, "CI_REGISTRY_IMAGE=" + s.Registry + "/group/project",
		"CI_REGISTRY_USER=gitlab-ci-token", "CI_REGISTRY_PASSWORD=secret",
	}
	if got := s.Env(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestStartLeavesNothingBehind(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s, err := Start(t.Context(), Options{})
	check(t, err)
	if _, err := Start(t.Context(), Options{Addr: s.Registry}); err == nil {
		t.Error("two on one address")
	}
	check(t, s.Close())
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

type testServer struct{ *Server }

func start(t *testing.T, opts Options) testServer {
	t.Helper()
	s, err := Start(t.Context(), opts)
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
	return testServer{s}
}

// realm returns the token service's address from the registry's challenge, as clients do.
func (s testServer) realm(t *testing.T) string {
	t.Helper()
	challenge := s.do(t, http.MethodGet, "/v2/", "", "").Header.Get("WWW-Authenticate")
	realm, _, ok := strings.Cut(strings.TrimPrefix(challenge, `Bearer realm="`), `",service="container_registry"`)
	if !ok {
		t.Fatalf("challenge %s", challenge)
	}
	return realm
}

// ask sends a request to /jwt/auth.
func (s testServer) ask(t *testing.T, method, query, user, password string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.realm(t)+"?"+query, nil)
	check(t, err)
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	return send(t, req)
}

// token logs in as the job and returns a token for the scopes.
func (s testServer) token(t *testing.T, scopes ...string) string {
	t.Helper()
	query := url.Values{"service": {"container_registry"}, "scope": scopes}
	return tokenOf(t, s.ask(t, http.MethodGet, query.Encode(), s.User, s.Password))
}

func tokenOf(t *testing.T, resp *http.Response) string {
	t.Helper()
	var answer struct{ Token string }
	check(t, json.Unmarshal([]byte(read(t, resp)), &answer))
	if answer.Token == "" {
		t.Fatalf("no token: %s", resp.Status)
	}
	return answer.Token
}

func (s testServer) do(t *testing.T, method, path, token, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Registry+path, strings.NewReader(body))
	check(t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return send(t, req)
}

func send(t *testing.T, req *http.Request) *http.Response {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	check(t, err)
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func read(t *testing.T, resp *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	check(t, err)
	return string(body)
}

func image(t *testing.T) v1.Image {
	t.Helper()
	img, err := random.Image(1024, 2)
	check(t, err)
	return mutate.MediaType(img, types.OCIManifestSchema1)
}

func blobs(t *testing.T, img v1.Image) []v1.Descriptor {
	t.Helper()
	manifest, err := img.Manifest()
	check(t, err)
	return append([]v1.Descriptor{manifest.Config}, manifest.Layers...)
}

func describe(t *testing.T, img v1.Image) v1.Descriptor {
	t.Helper()
	size, err := img.Size()
	check(t, err)
	return v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: digestOf(t, img), Size: size}
}

func digestOf(t *testing.T, img v1.Image) v1.Hash {
	t.Helper()
	h, err := img.Digest()
	check(t, err)
	return h
}

func tag(t *testing.T, ref string) name.Tag {
	t.Helper()
	parsed, err := name.NewTag(ref)
	check(t, err)
	return parsed
}

// status returns the HTTP status in err, or 0 if there is none.
func status(err error) int {
	if e := (*transport.Error)(nil); errors.As(err, &e) {
		return e.StatusCode
	}
	return 0
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
