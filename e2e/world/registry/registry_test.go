package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

const (
	ociManifest = "application/vnd.oci.image.manifest.v1+json"
	ociIndex    = "application/vnd.oci.image.index.v1+json"
	ociConfig   = "application/vnd.oci.image.config.v1+json"
	dockerImage = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList  = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// TestManifests pushes raw manifests of every shape that ECR accepts, and reads the same bytes back.
func TestManifests(t *testing.T) {
	s := start(t, Options{})
	blob := s.pushBlob(t, `{}`)
	manifest := s.pushManifest(t, ociManifest, fmt.Sprintf(
		`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[]}`, ociManifest, descriptor(ociConfig, blob)))
	index := s.pushManifest(t, ociIndex, fmt.Sprintf(
		`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, ociIndex, descriptor(ociManifest, manifest)))
	foreign := descriptorWith("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", digest.FromString("absent"), 6,
		`"urls":["https://example.com/base.tar.gz"]`)
	nondistributable := descriptorWith("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", digest.FromString("absent"), 6,
		`"urls":["https://example.com/base.tar.gz"]`)
	absent := descriptorWith(ociManifest, digest.FromString("absent"), 6, `"annotations":{}`)

	tests := []struct {
		name, mediaType, body string
		want                  int
	}{
		{"image without layers", ociManifest, `{"schemaVersion":2,"config":` + descriptor(ociConfig, blob) + `,"layers":[]}`, http.StatusCreated},
		{"empty config and artifactType", ociManifest, `{"schemaVersion":2,"mediaType":"` + ociManifest + `","artifactType":"application/vnd.example+type",` +
			`"config":` + descriptor("application/vnd.oci.empty.v1+json", blob) + `,"layers":[` + descriptor("application/vnd.oci.empty.v1+json", blob) + `]}`, http.StatusCreated},
		{"any config and layer type", ociManifest, `{"schemaVersion":2,"config":` + descriptor("application/vnd.cncf.helm.config.v1+json", blob) +
			`,"layers":[` + descriptor("application/vnd.cncf.helm.chart.content.v1.tar+gzip", blob) + `]}`, http.StatusCreated},
		{"subject", ociManifest, `{"schemaVersion":2,"config":` + descriptor(ociConfig, blob) + `,"layers":[],"subject":` + descriptor(ociManifest, manifest) + `}`, http.StatusCreated},
		{"subject that is not there", ociManifest, `{"schemaVersion":2,"config":` + descriptor(ociConfig, blob) + `,"layers":[],"subject":` + absent + `}`, http.StatusCreated},
		{"zstd layer", ociManifest, `{"schemaVersion":2,"config":` + descriptor(ociConfig, blob) + `,"layers":[` +
			descriptor("application/vnd.oci.image.layer.v1.tar+zstd", blob) + `]}`, http.StatusCreated},
		{"non-distributable layer", ociManifest, `{"schemaVersion":2,"config":` + descriptor(ociConfig, blob) + `,"layers":[` + nondistributable + `]}`, http.StatusCreated},
		{"foreign layer", dockerImage, `{"schemaVersion":2,"mediaType":"` + dockerImage + `","config":` +
			descriptor("application/vnd.docker.container.image.v1+json", blob) + `,"layers":[` + foreign + `]}`, http.StatusCreated},
		{"nested index", ociIndex, `{"schemaVersion":2,"mediaType":"` + ociIndex + `","manifests":[` + descriptor(ociIndex, index) + `]}`, http.StatusCreated},
		{"nested index in a manifest list", dockerList, `{"schemaVersion":2,"mediaType":"` + dockerList + `","manifests":[` + descriptor(ociIndex, index) + `]}`, http.StatusCreated},
		{"index without media type", ociIndex, `{"schemaVersion":2,"manifests":[` + descriptor(ociManifest, manifest) + `]}`, http.StatusCreated},
		{"index with artifactType and subject", ociIndex, `{"schemaVersion":2,"mediaType":"` + ociIndex + `","artifactType":"application/vnd.example","manifests":[],"subject":` +
			descriptor(ociManifest, manifest) + `}`, http.StatusCreated},
		{"child twice, one unknown/unknown", ociIndex, `{"schemaVersion":2,"mediaType":"` + ociIndex + `","manifests":[` + descriptor(ociManifest, manifest) + `,` +
			descriptorWith(ociManifest, manifest, 0, `"platform":{"architecture":"unknown","os":"unknown"}`) + `]}`, http.StatusCreated},
		{"index of an absent child", ociIndex, `{"schemaVersion":2,"mediaType":"` + ociIndex + `","manifests":[` + absent + `]}`, http.StatusBadRequest},
		{"absent layer", ociManifest, `{"schemaVersion":2,"config":` + descriptor(ociConfig, blob) + `,"layers":[` +
			descriptorWith("application/vnd.oci.image.layer.v1.tar+gzip", digest.FromString("absent"), 6, `"annotations":{}`) + `]}`, http.StatusBadRequest},
		{"not JSON", ociManifest, `{`, http.StatusBadRequest},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url := fmt.Sprintf("http://%s/v2/some/repo/manifests/t%d", s.Host, i)
			if got := s.put(t, url, tt.mediaType, tt.body); got != tt.want {
				t.Fatalf("push: status %d, want %d", got, tt.want)
			}
			if tt.want != http.StatusCreated {
				return
			}
			if got := s.get(t, url, tt.mediaType); got != tt.body {
				t.Errorf("read back %s, want %s", got, tt.body)
			}
		})
	}
}

// TestImages lets a client push and pull its own images: several layers, chunked uploads, tags, deletion.
func TestImages(t *testing.T) {
	s := start(t, Options{})
	img, err := random.Image(4096, 3)
	check(t, err)
	tag, err := name.NewTag(s.Host + "/team/app:v1")
	check(t, err)
	check(t, remote.Write(tag, img))

	pulled, err := remote.Image(tag)
	check(t, err)
	want, got := digestOf(t, img), digestOf(t, pulled)
	if got != want {
		t.Errorf("pulled %s, pushed %s", got, want)
	}
	check(t, remote.Delete(tag.Repository.Digest(want.String())))
	if _, err := remote.Head(tag); err == nil {
		t.Error("the deleted image is still there")
	}
}

func TestDirSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	first := start(t, Options{Dir: dir})
	blob := first.pushBlob(t, "kept")
	check(t, first.Close())
	second := start(t, Options{Dir: dir})
	if got := second.get(t, "http://"+second.Host+"/v2/some/repo/blobs/"+blob.String(), "*/*"); got != "kept" {
		t.Errorf("after a restart: %q", got)
	}
}

func TestTemporaryDirIsRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s, err := Start(t.Context(), Options{})
	check(t, err)
	testServer{s}.pushBlob(t, "gone")
	check(t, s.Close())
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestWrapSeesRequestsFirst(t *testing.T) {
	s := start(t, Options{Wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/v2/private/") {
				http.Error(w, "no", http.StatusTeapot)
				return
			}
			next.ServeHTTP(w, r)
		})
	}})
	for path, want := range map[string]int{"/v2/": http.StatusOK, "/v2/private/x/tags/list": http.StatusTeapot} {
		resp, err := http.Get("http://" + s.Host + path)
		check(t, err)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

func TestUploadURLsNameTheHostAsked(t *testing.T) {
	s := start(t, Options{})
	req, err := http.NewRequest(http.MethodPost, "http://"+s.Host+"/v2/some/repo/blobs/uploads/", nil)
	check(t, err)
	req.Host = "registry.example:5000"
	resp, err := http.DefaultClient.Do(req)
	check(t, err)
	defer resp.Body.Close()
	if location := resp.Header.Get("Location"); !strings.HasPrefix(location, "http://registry.example:5000/v2/") {
		t.Errorf("Location: %s", location)
	}
}

func TestStartErrors(t *testing.T) {
	taken := start(t, Options{})
	tests := map[string]struct {
		opts Options
		want string
	}{
		"address in use":       {Options{Addr: taken.Host}, "address already in use"},
		"unknown access type":  {Options{Auth: configuration.Auth{"nonesuch": {}}}, "nonesuch"},
		"incomplete token set": {Options{Auth: configuration.Auth{"token": {"realm": "x"}}}, "issuer"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Start(t.Context(), tt.opts)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one that names %q", err, tt.want)
			}
		})
	}
}

// TestCloseEndsHangingRequests keeps a request open forever: Close must not wait for it.
func TestCloseEndsHangingRequests(t *testing.T) {
	entered := make(chan struct{})
	s := start(t, Options{Wrap: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(entered)
			<-r.Context().Done()
		})
	}})
	go http.Get("http://" + s.Host + "/v2/") //nolint:errcheck // cut off on purpose
	<-entered
	begin := time.Now()
	check(t, s.Close())
	if took := time.Since(begin); took > drainTimeout+5*time.Second {
		t.Errorf("Close took %s", took)
	}
	if _, err := http.Get("http://" + s.Host + "/v2/"); err == nil {
		t.Error("still answers after Close")
	}
}

// TestCloseIgnoresSilentConnections keeps a connection open without a request, as clients do.
func TestCloseIgnoresSilentConnections(t *testing.T) {
	s := start(t, Options{})
	conn, err := net.Dial("tcp", s.Host)
	check(t, err)
	defer conn.Close() //nolint:errcheck // nothing is under way
	// Connections are accepted in order: a response on the next one means that this one has been accepted.
	s.get(t, "http://"+s.Host+"/v2/", "*/*")
	begin := time.Now()
	check(t, s.Close())
	if took := time.Since(begin); took >= drainTimeout {
		t.Errorf("Close took %s", took)
	}
}

type testServer struct{ *Server }

func start(t *testing.T, opts Options) testServer {
	t.Helper()
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	s, err := Start(context.Background(), opts)
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
	return testServer{s}
}

func (s testServer) pushBlob(t *testing.T, content string) digest.Digest {
	t.Helper()
	repo, err := name.NewRepository(s.Host + "/some/repo")
	check(t, err)
	check(t, remote.WriteLayer(repo, static.NewLayer([]byte(content), types.OCIUncompressedLayer)))
	return digest.FromString(content)
}

func (s testServer) pushManifest(t *testing.T, mediaType, body string) digest.Digest {
	t.Helper()
	d := digest.FromString(body)
	if got := s.put(t, fmt.Sprintf("http://%s/v2/some/repo/manifests/%s", s.Host, d), mediaType, body); got != http.StatusCreated {
		t.Fatalf("push of %s: status %d", body, got)
	}
	return d
}

func (s testServer) put(t *testing.T, url, mediaType, body string) int {
	t.Helper()
	req, err := http.NewRequest(http.MethodPut, url, strings.NewReader(body))
	check(t, err)
	req.Header.Set("Content-Type", mediaType)
	resp, err := http.DefaultClient.Do(req)
	check(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	check(t, err)
	if len(answer) > 0 {
		t.Logf("%s", bytes.TrimSpace(answer))
	}
	return resp.StatusCode
}

func (s testServer) get(t *testing.T, url, accept string) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	check(t, err)
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	check(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	check(t, err)
	return string(body)
}

// descriptor returns a descriptor of which only the digest matters: the registry does not check sizes.
func descriptor(mediaType string, d digest.Digest) string {
	return descriptorWith(mediaType, d, 0, `"annotations":{}`)
}

func descriptorWith(mediaType string, d digest.Digest, size int, more string) string {
	s := fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,%s}`, mediaType, d, size, more)
	if !json.Valid([]byte(s)) {
		panic(s)
	}
	return s
}

func digestOf(t *testing.T, img v1.Image) v1.Hash {
	t.Helper()
	h, err := img.Digest()
	check(t, err)
	return h
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
