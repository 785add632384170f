package scenarios

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/gitlab"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/proxy"
)

var hardShapes = sync.OnceValues(func() ([]corpus.Shape, error) { return corpus.HardShapes(context.Background(), "") })

// fillHard pushes all hard shapes to ECR.
func fillHard(t *testing.T, w *world.World) {
	t.Helper()
	shapes, err := hardShapes()
	if err != nil {
		t.Fatal(err)
	}
	fillShapes(t, w, shapes)
}

// Engines report what GitLab rejects in their own words. These are the messages that the program has to recognize.
func TestWhatAnEngineSaysOfGitLab(t *testing.T) {
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			s := startScene(t, kind, world.Options{})
			s.fillWith(t, "docker-manifest", "oci-manifest")
			for _, repository := range []string{"docker-manifest", "oci-manifest"} {
				expectSaid(t, s.pull(t, "shapes/"+repository+":1.0"), "")
			}
			for _, row := range engineAnswers {
				if row.says[kind] == tooSlow {
					continue
				}
				t.Run(row.name, func(t *testing.T) {
					s.GitLab.Refuse(func(r *gitlab.Refusals) { *r = gitlab.Refusals{} })
					target := "answers/" + regexp.MustCompile("[^a-z]+").ReplaceAllString(row.name, "-")
					if row.before != "" {
						expectSaid(t, s.push(t, row.before, target, "v1"), "")
					}
					s.GitLab.Refuse(row.refuse)
					expectSaid(t, s.push(t, "shapes/docker-manifest:1.0", target, cmp.Or(row.tag, "v1")), row.says[kind])
				})
			}
			for _, repository := range []string{"docker-manifest", "oci-manifest"} {
				s.remove(t, "shapes/"+repository+":1.0")
			}
			expectNothingLeft(t, s.Engine)
		})
	}
}

// engineAnswer is the error of a push that GitLab rejects.
type engineAnswer struct {
	name   string
	before string // already in GitLab as v1
	tag    string // "": v1
	refuse func(*gitlab.Refusals)
	says   map[engine.Kind]string // regular expression for the error
}

// says maps each engine to a regular expression for its error; "" means that the push succeeds.
func says(classicSays, containerdSays string) map[engine.Kind]string {
	return map[engine.Kind]string{engine.Classic: classicSays, engine.Containerd: containerdSays}
}

var engineAnswers = []engineAnswer{
	{name: "nothing", refuse: func(*gitlab.Refusals) {}},
	{
		name: "protected tag", tag: "release-1", refuse: func(r *gitlab.Refusals) { r.ProtectedTags = []string{"release-*"} },
		says: says(`^unknown: insufficient permissions to push or delete protected tag$`,
			`^error from registry: insufficient permissions to push or delete protected tag - tag "release-1" is protected$`),
	},
	{
		name: "immutable tag", before: "shapes/oci-manifest:1.0", refuse: func(r *gitlab.Refusals) { r.ImmutableTags = []string{"v*"} },
		says: says(`^unknown: tag is immutable$`, `^error from registry: tag is immutable - tag "v1" is immutable$`),
	},
	{
		name: "immutable tag with its own digest", before: "shapes/docker-manifest:1.0",
		refuse: func(r *gitlab.Refusals) { r.ImmutableTags = []string{"v*"} },
	},
	{
		name: "protected repository", refuse: func(r *gitlab.Refusals) { r.ProtectedRepositories = []string{"group/project/answers/*"} },
		says: says(`^denied: Pushing to protected repository path forbidden$`, `^error from registry: Pushing to protected repository path forbidden$`),
	},
	{
		name: "read-only", refuse: func(r *gitlab.Refusals) { r.ReadOnly = true },
		says: says(`^error parsing HTTP 405 response body: invalid character 'M' looking for beginning of value: "Method not allowed\\n"$`,
			`^unknown: unexpected status from POST request to https?://[0-9.:]+/v2/group/project/answers/read-only/blobs/uploads/.*: 405 Method Not Allowed$`),
	},
	{
		name: "registry off", refuse: func(r *gitlab.Refusals) { r.Off = true },
		says: says(tooSlow, `^error from registry: registry not enabled$`), // the classic engine: "unavailable: registry not enabled", after 50 s
	},
	{
		name: "registry of the project off", refuse: func(r *gitlab.Refusals) { r.ProjectOff = true },
		says: says(`^denied: requested access to the resource is denied$`,
			`^push access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed$`),
	},
	{
		name: "body too large", refuse: func(r *gitlab.Refusals) { r.MaxBody, r.NoMounts = 10_000, true }, // mounts have no body
		says: says(`^error parsing HTTP 413 response body: invalid character '<' .*413 Request Entity Too Large`, `413 Request Entity Too Large`),
	},
	{
		name: "firewall", refuse: func(r *gitlab.Refusals) {
			r.Firewall = func(r *http.Request) bool { return r.Method == http.MethodPut }
		},
		says: says(`^error parsing HTTP 403 response body: invalid character '<' .*Request Rejected`,
			`unexpected status from PUT request to https?://[0-9.:]+/v2/group/project/answers/firewall/.*: 403 Forbidden$`),
	},
	{
		name: "manifest too large", refuse: func(r *gitlab.Refusals) { r.MaxManifest = 100 },
		says: says(`^unknown: payload size limit exceeded$`, `^error from registry: payload size limit exceeded - manifest payload size of \d+ exceeds the limit of 100$`),
	},
	{
		name: "too many references", refuse: func(r *gitlab.Refusals) { r.MaxReferences = 2 },
		says: says(`^unknown: too many manifest references$`, `^error from registry: too many manifest references$`),
	},
	{name: "no mounts", refuse: func(r *gitlab.Refusals) { r.NoMounts = true }},
}

// tooSlow marks rows that are skipped because the engine retries for most of a minute.
const tooSlow = "too slow"

// GitLab rejects the hard shapes when an engine pushes them in one go. Engines with the containerd store load the whole
// shape, as the program has them do; the classic store pulls what it can hold.
func TestWhatAnEngineSaysOfHardShapes(t *testing.T) {
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			s := startScene(t, kind, world.Options{})
			fillHard(t, s.World)
			for _, row := range hardAnswers {
				t.Run(row.name, func(t *testing.T) {
					s.GitLab.Refuse(func(r *gitlab.Refusals) { *r = gitlab.Refusals{} })
					if row.lifted != nil {
						s.GitLab.Refuse(row.lifted)
					}
					expectSaid(t, s.bring(t, "shapes/"+row.repository, row.pulled), row.says[kind])
					s.remove(t, "shapes/"+row.repository+":1.0")
				})
			}
			expectNothingLeft(t, s.Engine)
		})
	}
}

// hardAnswer is the expected error from copying a hard shape.
type hardAnswer struct {
	name, repository string
	pulled           bool // from ECR by either store
	lifted           func(*gitlab.Refusals)
	says             map[engine.Kind]string
}

const unsupported = "^unsupported media type "

var hardAnswers = []hardAnswer{
	{name: "a size too small", repository: "wrong-size", says: says("", `^error from registry: manifest invalid - unexpected end of JSON input$`)},
	{name: "a size too small, pulled", repository: "wrong-size", pulled: true, says: says("", `failed size validation: \d+ != \d+: failed precondition$`)},
	{
		name: "another type", repository: "wrong-type",
		says: says("", `^error from registry: manifest invalid - if present, mediaType in manifest should be `+
			`'application/vnd.oci.image.manifest.v1\+json' not 'application/vnd.docker.distribution.manifest.v2\+json'$`),
	},
	// The engine pushes the manifests of an index at once. Rarely, the subject is there before what refers to it.
	{name: "a subject later", repository: "subject-beside", says: says("", `^(error from registry: blob unknown to registry - sha256:[0-9a-f]{64})?$`)},
	{name: "a subject later, GitLab 4.42", repository: "subject-beside", lifted: func(r *gitlab.Refusals) { r.OrphanReferrers = true }},
	{
		name: "SOCI", repository: "soci",
		says: says("", `^error from registry: manifest invalid - unknown media type: application/vnd.amazon.soci.index.v2\+json$`),
	},
	{
		name: "WebAssembly", repository: "wasm",
		says: says(unsupported, `^error from registry: manifest invalid - unknown media type: application/vnd.wasm.config.v0\+json$`),
	},
	{
		name: "a type of its own", repository: "own-type",
		says: says(unsupported, `^error from registry: manifest invalid - unknown media type: application/vnd.example.model.config.v1\+json$`),
	},
	{
		name: "a type of its own, any type taken", repository: "own-type", lifted: func(r *gitlab.Refusals) { r.AnyMediaType = true },
		says: says(unsupported, ""),
	},
	{
		name: "a foreign layer elsewhere", repository: "foreign-layer", pulled: true,
		says: says(`^unknown blob$`, `^failed to copy: httpReadSeeker: failed open: failed to do request: Get "http://127.0.0.1:1/[0-9a-f]+": dial tcp 127.0.0.1:1: connect: connection refused$`),
	},
	{name: "a foreign layer at ECR, pulled", repository: "foreign-kept", pulled: true, says: says("", `Get "http://127.0.0.1:1/[0-9a-f]+": dial tcp 127.0.0.1:1: connect: connection refused$`)},
	{name: "a foreign layer", repository: "foreign-kept", says: says("", `^error from registry: unknown error - invalid URL on layer`)},
	{name: "a foreign layer, URLs taken", repository: "foreign-kept", lifted: func(r *gitlab.Refusals) { r.LayerURLs = true }},
}

// bring copies tag 1.0 of a hard shape and returns the engine's error, or "" on success.
func (s *scene) bring(t *testing.T, repository string, pulled bool) string {
	t.Helper()
	if pulled || s.Engine.Kind == engine.Classic {
		if said := s.pull(t, repository+":1.0"); said != "" {
			return said
		}
	} else {
		s.load(t, repository)
	}
	return s.push(t, repository+":1.0", repository, "1.0")
}

// load loads a complete hard shape into the engine, under its name in ECR.
func (s *scene) load(t *testing.T, repository string) {
	t.Helper()
	shapes, err := hardShapes()
	if err != nil {
		t.Fatal(err)
	}
	object := shapes[slices.IndexFunc(shapes, func(shape corpus.Shape) bool { return shape.Repository == repository })].Object
	dir := t.TempDir()
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	name := layout.WithAnnotations(map[string]string{
		"io.containerd.image.name":  s.AWS.RegistryHost + "/" + repository + ":1.0",
		"vnd.docker.reference.type": "none", // so that it is not unpacked
	})
	switch object := object.(type) {
	case v1.Image:
		err = path.AppendImage(object, name)
	case v1.ImageIndex:
		err = path.AppendIndex(object, name)
	}
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	files := tar.NewWriter(&archive)
	if err := errors.Join(files.AddFS(os.DirFS(dir)), files.Close()); err != nil {
		t.Fatal(err)
	}
	expectSaid(t, s.call(t, http.MethodPost, "/images/load?quiet=1", authn.AuthConfig{}, &archive), "")
}

// pull pulls an image from ECR with the program's credentials, and returns the engine's error, or "" on success.
func (s *scene) pull(t *testing.T, image string) string {
	t.Helper()
	query := url.Values{"fromImage": {s.AWS.RegistryHost + "/" + image}}
	return s.call(t, http.MethodPost, "/images/create?"+query.Encode(), s.AWS.PullAuth(), nil)
}

// push tags an image from ECR in the engine, pushes it, and removes the tag. It returns the engine's error.
func (s *scene) push(t *testing.T, image, repository, tag string) string {
	t.Helper()
	target := s.GitLab.Image + "/" + repository
	if said := s.call(t, http.MethodPost, "/images/"+s.AWS.RegistryHost+"/"+image+"/tag?"+url.Values{"repo": {target}, "tag": {tag}}.Encode(), authn.AuthConfig{}, nil); said != "" {
		t.Fatalf("tag %s: %s", image, said)
	}
	said := s.call(t, http.MethodPost, "/images/"+target+"/push?tag="+tag, authn.AuthConfig{Username: s.GitLab.User, Password: s.GitLab.Password}, nil)
	if removal := s.call(t, http.MethodDelete, "/images/"+target+":"+tag, authn.AuthConfig{}, nil); removal != "" {
		t.Errorf("remove %s:%s: %s", target, tag, removal)
	}
	return said
}

// remove removes an image from ECR from the engine, if it exists.
func (s *scene) remove(t *testing.T, image string) {
	t.Helper()
	if said := s.call(t, http.MethodDelete, "/images/"+s.AWS.RegistryHost+"/"+image, authn.AuthConfig{}, nil); said != "" && !strings.Contains(said, "o such image") {
		t.Errorf("remove %s: %s", image, said)
	}
}

// call makes a call to the engine's API and returns its error, or "" on success.
func (s *scene) call(t *testing.T, method, path string, auth authn.AuthConfig, body io.Reader) string {
	t.Helper()
	said, err := s.callWithin(t.Context(), t, method, path, auth, body)
	if err != nil {
		t.Fatal(err)
	}
	return said
}

// callWithin is call with a context. It returns an error if there is no answer.
func (s *scene) callWithin(ctx context.Context, t *testing.T, method, path string, auth authn.AuthConfig, body io.Reader) (string, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, method, "http://engine"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	credentials, err := json.Marshal(map[string]string{"username": auth.Username, "password": auth.Password})
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Registry-Auth", base64.URLEncoding.EncodeToString(credentials))
	transport := proxy.Transport(s.Engine.Host)
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var message struct{ Message, Error string } // in an error response, or in the stream
	for decoder := json.NewDecoder(response.Body); ; {
		if err := decoder.Decode(&message); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return "", nil // a removal returns a list
		}
	}
	return cmp.Or(message.Error, message.Message), nil
}

func expectSaid(t *testing.T, said, want string) {
	t.Helper()
	if want == "" && said != "" || want != "" && !regexp.MustCompile(want).MatchString(said) {
		t.Errorf("the engine says %q, want %q", said, want)
	}
}
