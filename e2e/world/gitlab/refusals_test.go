package gitlab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func TestMediaTypes(t *testing.T) {
	if n := len(mediaTypes()); n != 103 {
		t.Errorf("%d media types; GitLab's registry 4.32 has 103", n)
	}
	s := start(t, Options{})
	tests := []struct {
		config, artifact types.MediaType
		unknown          string
	}{
		{config: types.OCIConfigJSON},
		{config: types.DockerConfigJSON},
		{config: "application/vnd.cncf.helm.config.v1+json"},
		{config: "application/vnd.oci.empty.v1+json", artifact: "application/spdx+json"},
		{config: "application/vnd.amazon.soci.index.v2+json", unknown: "application/vnd.amazon.soci.index.v2+json"},
		{config: "application/vnd.wasm.config.v0+json", unknown: "application/vnd.wasm.config.v0+json"},
		{config: "application/vnd.cncf.notary.signature", unknown: "application/vnd.cncf.notary.signature"},
		{config: "application/vnd.oci.empty.v1+json", artifact: "application/vnd.example", unknown: "application/vnd.example"},
	}
	for _, anyType := range []bool{false, true} {
		s.Refuse(func(r *Refusals) { r.AnyMediaType = anyType })
		for i, tt := range tests {
			img := withLayer(t, mutate.ConfigMediaType(image(t), tt.config), "application/vnd.example.layer", nil)
			err := s.put(t, fmt.Sprintf("type-%d", i), edit(t, img, func(m map[string]any) {
				if tt.artifact != "" {
					m["artifactType"] = tt.artifact
				}
			}), img)
			if tt.unknown == "" || anyType {
				check(t, err)
				continue
			}
			expectRefusal(t, err, http.StatusBadRequest, "MANIFEST_INVALID", "manifest invalid", "unknown media type: "+tt.unknown)
		}
	}
}

// TestManifests pushes manifests that each break one rule.
func TestManifests(t *testing.T) {
	s := start(t, Options{})
	img := image(t)
	raw, err := img.RawManifest()
	check(t, err)
	lonely := mutate.Subject(image(t), describe(t, img)).(v1.Image) //nolint:forcetypeassert // Subject returns what it gets
	foreign := withLayer(t, image(t), types.DockerForeignLayer, []string{"https://127.0.0.1:1/layer"})
	three := image(t)
	for range 2 {
		three = withLayer(t, three, types.OCILayer, nil)
	}
	docker := string(types.DockerManifestSchema2)
	tests := []struct {
		name     string
		img      v1.Image
		body     []byte
		as       string // media type of the request
		refusals Refusals
		lifted   func(*Refusals)
		status   int
		code     string
		message  string
		detail   string
	}{
		{name: "cut", img: img, body: raw[:len(raw)-1], status: 400, code: "MANIFEST_INVALID", message: "manifest invalid", detail: "unexpected end of JSON input"},
		{name: "under another type", img: img, body: raw, as: docker, status: 400, code: "MANIFEST_INVALID", message: "manifest invalid",
			detail: "mediaType in manifest should be '" + docker + "' not '" + string(types.OCIManifestSchema1) + "'"},
		{name: "before its subject", img: lonely, status: 400, code: "MANIFEST_BLOB_UNKNOWN", message: "blob unknown to registry", detail: digestOf(t, img).String(),
			lifted: func(r *Refusals) { r.OrphanReferrers = true }},
		{name: "urls", img: foreign, status: 500, code: "UNKNOWN", message: "unknown error", detail: "invalid URL on layer",
			lifted: func(r *Refusals) { r.LayerURLs = true }},
		{name: "too large", img: img, refusals: Refusals{MaxManifest: len(raw) - 1}, status: 400, code: "MANIFEST_SIZE_LIMIT", message: "payload size limit exceeded",
			detail: fmt.Sprintf("manifest payload size of %d exceeds the limit of %d", len(raw), len(raw)-1),
			lifted: func(r *Refusals) { r.MaxManifest++ }},
		{name: "too many references", img: three, refusals: Refusals{MaxReferences: 4}, status: 400, code: "MANIFEST_REFERENCE_LIMIT", message: "too many manifest references",
			lifted: func(r *Refusals) { r.MaxReferences++ }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.Refuse(func(r *Refusals) { *r = tt.refusals })
			body := tt.body
			if body == nil {
				body, err = tt.img.RawManifest()
				check(t, err)
			}
			if tt.as == "" {
				tt.as = string(types.OCIManifestSchema1)
			}
			err := s.putAs(t, "v1", tt.as, body, tt.img)
			expectRefusal(t, err, tt.status, tt.code, tt.message, tt.detail)
			if tt.lifted != nil {
				s.Refuse(tt.lifted)
				check(t, s.putAs(t, "v1", tt.as, body, tt.img))
			}
		})
	}
}

func TestTagRules(t *testing.T) {
	s := start(t, Options{})
	auth := remote.WithAuth(s.Auth())
	first := image(t)
	check(t, remote.Write(tag(t, s.Image+":v1"), first, auth))
	s.Protect("prod-*")
	s.Immutable("v*")
	tests := map[string]struct{ code, message, detail string }{
		"prod-1": {"PROTECTED_TAG", "insufficient permissions to push or delete protected tag", `tag "prod-1" is protected`},
		"v1":     {"IMMUTABLE_TAG", "tag is immutable", `tag "v1" is immutable`},
		"v2":     {},
		"latest": {},
	}
	for tagName, want := range tests {
		err := remote.Write(tag(t, s.Image+":"+tagName), image(t), auth)
		if want.code == "" {
			check(t, err)
			continue
		}
		expectRefusal(t, err, http.StatusUnauthorized, want.code, want.message, want.detail)
	}
	check(t, remote.Write(tag(t, s.Image+":v1"), first, auth)) // which keeps its digest
	s.Protect()
	check(t, remote.Write(tag(t, s.Image+":prod-1"), image(t), auth))
}

func TestProtectedRepository(t *testing.T) {
	s := start(t, Options{Refusals: Refusals{ProtectedRepositories: []string{"group/project/team/*"}}})
	auth := remote.WithAuth(s.Auth())
	err := remote.Write(tag(t, s.Image+"/team/api:v1"), image(t), auth)
	expectRefusal(t, err, http.StatusForbidden, "DENIED", "Pushing to protected repository path forbidden", "")
	check(t, remote.Write(tag(t, s.Image+"/api:v1"), image(t), auth))
	if _, err := remote.Head(tag(t, s.Image+"/team/api:v1"), auth); status(err) != http.StatusNotFound {
		t.Errorf("a pull, which is allowed: %v", err)
	}
	s.Refuse(func(r *Refusals) { r.ProtectedRepositories = nil })
	check(t, remote.Write(tag(t, s.Image+"/team/api:v1"), image(t), auth))
}

// TestSwitches turns registry-wide refusals on and off again.
func TestSwitches(t *testing.T) {
	s := start(t, Options{})
	auth := remote.WithAuth(s.Auth())
	s.token(t, "")
	tests := []struct {
		name   string
		refuse func(*Refusals)
		status int
		says   string
	}{
		{"read-only", func(r *Refusals) { r.ReadOnly = true }, http.StatusMethodNotAllowed, "Method not allowed"},
		{"off", func(r *Refusals) { r.Off = true }, http.StatusNotFound, "UNAVAILABLE: registry not enabled"},
		{"off for the project", func(r *Refusals) { r.ProjectOff = true }, http.StatusUnauthorized, ""},
		{"a small body", func(r *Refusals) { r.MaxBody = 100 }, http.StatusRequestEntityTooLarge, "<center><h1>413 Request Entity Too Large</h1></center>"},
		{"a firewall", func(r *Refusals) {
			r.Firewall = func(r *http.Request) bool { return r.Method == http.MethodPost }
		}, http.StatusForbidden, "<head><title>Request Rejected</title></head>"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check(t, remote.Write(tag(t, s.Image+":before"), image(t), auth))
			s.Refuse(tt.refuse)
			err := remote.Write(tag(t, s.Image+":now"), image(t), auth)
			if status(err) != tt.status || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v, want %d %s", err, tt.status, tt.says)
			}
			if _, err := remote.Head(tag(t, s.Image+":before"), auth); err != nil && !strings.HasPrefix(tt.name, "off") {
				t.Errorf("a pull: %v", err)
			}
			s.Refuse(func(r *Refusals) { *r = Refusals{} })
			check(t, remote.Write(tag(t, s.Image+":now"), image(t), auth))
		})
	}
}

// TestReadOnlyMethods uses every method that a registry in maintenance mode has no handler for.
func TestReadOnlyMethods(t *testing.T) {
	s := start(t, Options{Refusals: Refusals{ReadOnly: true}})
	token := s.token(t, "repository:group/project:pull,push")
	for method, path := range map[string]string{
		http.MethodPost: "/v2/group/project/blobs/uploads/", http.MethodPatch: "/v2/group/project/blobs/uploads/0",
		http.MethodPut: "/v2/group/project/manifests/v1", http.MethodDelete: "/v2/group/project/manifests/v1",
	} {
		if resp := s.do(t, method, path, token, ""); resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %s", method, resp.Status)
		}
		if resp := s.do(t, method, path, "", ""); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without a token: %s", method, resp.Status)
		}
	}
}

// TestNoMounts uploads a blob that it may not mount.
func TestNoMounts(t *testing.T) {
	s := start(t, Options{Refusals: Refusals{NoMounts: true}})
	token := s.token(t, "repository:group/project/b:pull,push")
	mount := "/v2/group/project/b/blobs/uploads/?mount=sha256:" + strings.Repeat("0", 64) + "&from=group/project/a"
	resp := s.do(t, http.MethodPost, mount, token, "")
	if challenge := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != http.StatusUnauthorized || !strings.Contains(challenge, `error="insufficient_scope"`) {
		t.Errorf("a mount: %s %s", resp.Status, challenge)
	}
	if resp := s.do(t, http.MethodPost, "/v2/group/project/b/blobs/uploads/", token, ""); resp.StatusCode != http.StatusAccepted {
		t.Errorf("an upload: %s", resp.Status)
	}
}

// TestChunkedBody sends a body without a length.
func TestChunkedBody(t *testing.T) {
	for size, want := range map[int64]bool{10: false, 11: true} {
		r, err := http.NewRequest(http.MethodPatch, "/", io.LimitReader(zeros{}, size))
		check(t, err)
		r.ContentLength = -1
		if got := tooLarge(r, 10); got != want {
			t.Errorf("%d bytes: too large %v", size, got)
		}
		if body, err := io.ReadAll(r.Body); err != nil || int64(len(body)) != size {
			t.Errorf("%d bytes are left of %d, %v", len(body), size, err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// expectRefusal checks the first error in a registry's response.
func expectRefusal(t *testing.T, err error, status int, code, message, detail string) {
	t.Helper()
	var answer *transport.Error
	if !errors.As(err, &answer) || len(answer.Errors) == 0 {
		t.Errorf("%v, want %d %s", err, status, code)
		return
	}
	got := answer.Errors[0]
	if answer.StatusCode != status || string(got.Code) != code || got.Message != message || detail != "" && got.Detail != detail {
		t.Errorf("%d %s %q %q, want %d %s %q %q", answer.StatusCode, got.Code, got.Message, got.Detail, status, code, message, detail)
	}
}

// withLayer adds a layer of the given type to the image.
func withLayer(t *testing.T, img v1.Image, mediaType types.MediaType, urls []string) v1.Image {
	t.Helper()
	other, err := image(t).Layers()
	check(t, err)
	img, err = mutate.Append(img, mutate.Addendum{Layer: other[0], MediaType: mediaType, URLs: urls})
	check(t, err)
	return img
}

// edit returns the image's manifest with changes.
func edit(t *testing.T, img v1.Image, change func(map[string]any)) []byte {
	t.Helper()
	raw, err := img.RawManifest()
	check(t, err)
	m := map[string]any{}
	check(t, json.Unmarshal(raw, &m))
	m["mediaType"] = types.OCIManifestSchema1
	change(m)
	raw, err = json.Marshal(m)
	check(t, err)
	return raw
}

func (s testServer) put(t *testing.T, tagName string, body []byte, img v1.Image) error {
	t.Helper()
	return s.putAs(t, tagName, string(types.OCIManifestSchema1), body, img)
}

// putAs pushes the image's blobs, and then the manifest unchanged.
func (s testServer) putAs(t *testing.T, tagName, mediaType string, body []byte, img v1.Image) error {
	t.Helper()
	repo := tag(t, s.Image+":"+tagName).Context()
	s.putBlobs(t, repo, img)
	url := "http://" + s.Registry + "/v2/" + repo.RepositoryStr() + "/manifests/" + tagName
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, bytes.NewReader(body))
	check(t, err)
	req.Header.Set("Content-Type", mediaType)
	req.Header.Set("Authorization", "Bearer "+s.token(t, "repository:"+repo.RepositoryStr()+":pull,push"))
	return transport.CheckError(send(t, req), http.StatusCreated)
}

func (s testServer) putBlobs(t *testing.T, repo name.Repository, img v1.Image) {
	t.Helper()
	layers, err := img.Layers()
	check(t, err)
	config, err := img.RawConfigFile()
	check(t, err)
	for _, layer := range append(layers, staticLayer{Layer: layers[0], content: config}) {
		check(t, remote.WriteLayer(repo, layer, remote.WithAuth(s.Auth())))
	}
}

// staticLayer uploads a config in the same way as a layer.
type staticLayer struct {
	v1.Layer
	content []byte
}

func (l staticLayer) Digest() (v1.Hash, error) {
	hash, _, err := v1.SHA256(bytes.NewReader(l.content))
	return hash, err
}
func (l staticLayer) Size() (int64, error) { return int64(len(l.content)), nil }
func (l staticLayer) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.content)), nil
}
