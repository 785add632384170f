package aws

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"
)

const ociManifest = "application/vnd.oci.image.manifest.v1+json"

// issued gets a registry token with the SDK.
func issued(t *testing.T, s *Server) authn.AuthConfig {
	t.Helper()
	out, err := ecrClient(t, s).GetAuthorizationToken(t.Context(), nil)
	check(t, err)
	decoded, err := base64.StdEncoding.DecodeString(sdk.ToString(out.AuthorizationData[0].AuthorizationToken))
	check(t, err)
	user, password, _ := strings.Cut(string(decoded), ":")
	return authn.AuthConfig{Username: user, Password: password}
}

func as(auth authn.AuthConfig) remote.Option { return remote.WithAuth(authn.FromConfig(auth)) }

func TestPullWithTokens(t *testing.T) {
	clock := newClock()
	s := start(t, Options{TokenLifetime: time.Minute, Now: clock.Now})
	create(t, s, "app")
	pushImage(t, s, "app", "v1")
	good := issued(t, s)
	tests := []struct {
		name string
		auth authn.AuthConfig
		wait time.Duration
		want int // status; 0: success
		text string
	}{
		{"issued", good, 0, 0, ""},
		{"none", authn.AuthConfig{}, 0, http.StatusUnauthorized, "Not Authorized"},
		{"made up", authn.AuthConfig{Username: "AWS", Password: "made-up"}, 0, http.StatusUnauthorized, "Not Authorized"},
		{"other user", authn.AuthConfig{Username: "root", Password: good.Password}, 0, http.StatusUnauthorized, "Not Authorized"},
		{"expired", good, time.Minute, http.StatusForbidden, "DENIED: Your authorization token has expired. Reauthenticate and try again."},
		{"the owner's, which never expires", s.AdminAuth(), 0, 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			clock.advance(tt.wait)
			_, err := remote.Get(ref(t, s, "app:v1"), as(tt.auth))
			checkStatus(t, err, tt.want, tt.text)
		})
	}
}

func TestExpireTokens(t *testing.T) {
	s := start(t, Options{})
	create(t, s, "app")
	pushImage(t, s, "app", "v1")
	stale := issued(t, s)
	s.ExpireTokens()
	_, err := remote.Get(ref(t, s, "app:v1"), as(stale))
	checkStatus(t, err, http.StatusForbidden, "has expired")
	_, err = remote.Get(ref(t, s, "app:v1"), as(issued(t, s)))
	check(t, err)
}

func TestChallenge(t *testing.T) {
	s := start(t, Options{})
	resp, err := http.Get("http://" + s.RegistryHost + "/v2/")
	check(t, err)
	check(t, resp.Body.Close())
	equal(t, "status", resp.StatusCode, http.StatusUnauthorized)
	equal(t, "challenge", resp.Header.Get("Www-Authenticate"), `Basic realm="http://`+s.RegistryHost+`/",service="ecr.amazonaws.com"`)
}

func TestPush(t *testing.T) {
	tests := []struct {
		name, reference string
		owner           bool
		want            int
		text            string
	}{
		{"owner", "app:v1", true, 0, ""},
		{"identity", "app:v1", false, http.StatusForbidden, "because no identity-based policy allows the ecr:InitiateLayerUpload action"},
		{"no such repository", "nowhere:v1", true, http.StatusNotFound, "NAME_UNKNOWN: The repository with name 'nowhere' does not exist in the registry with id '123456789012'"},
	}
	s := start(t, Options{})
	create(t, s, "app")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			auth := s.AdminAuth()
			if !tt.owner {
				auth = issued(t, s)
			}
			img, err := random.Image(64, 1)
			check(t, err)
			checkStatus(t, remote.Write(ref(t, s, tt.reference), img, as(auth)), tt.want, tt.text)
		})
	}
}

// TestPullPermissions denies the permissions that a pull requires, one by one.
func TestPullPermissions(t *testing.T) {
	for _, action := range []string{"BatchGetImage", "GetDownloadUrlForLayer"} {
		t.Run(action, func(t *testing.T) {
			s := start(t, Options{})
			create(t, s, "app")
			pushImage(t, s, "app", "v1")
			auth := as(issued(t, s))
			check(t, pull(t, s, auth))
			s.Deny(action)
			checkStatus(t, pull(t, s, auth), http.StatusForbidden, "no identity-based policy allows the ecr:"+action+" action")
		})
	}
	t.Run("another account", func(t *testing.T) {
		s := start(t, Options{IdentityAccountID: "444455556666"})
		create(t, s, "app")
		pushImage(t, s, "app", "v1")
		checkStatus(t, pull(t, s, as(issued(t, s))), http.StatusForbidden, "no resource-based policy allows the ecr:BatchGetImage action")
	})
}

func TestPullArchived(t *testing.T) {
	s := start(t, Options{})
	create(t, s, "app")
	img := pushImage(t, s, "app", "v1")
	check(t, s.Archive("app", digestOf(t, img)))
	auth := as(issued(t, s))
	for _, reference := range []string{"app:v1", "app@" + digestOf(t, img).String()} {
		_, err := remote.Get(ref(t, s, reference), auth)
		checkStatus(t, err, http.StatusNotFound, "MANIFEST_UNKNOWN: Requested image not found")
	}
	// The client skips a manifest that exists, which an archived one does not.
	check(t, remote.Write(ref(t, s, "app:v1"), img, admin(s)))
	check(t, pull(t, s, auth))
	if err := s.Archive("app", absent); err == nil {
		t.Error("an image that is not there can be archived")
	}
}

func TestPullMeasured(t *testing.T) {
	s := start(t, Options{})
	create(t, s, "app")
	img := pushImage(t, s, "app", "v1")
	check(t, pull(t, s, admin(s)))
	equal(t, "bytes to the owner", s.BytesOut(), 0)

	auth := as(issued(t, s))
	check(t, pull(t, s, auth))
	raw, err := img.RawManifest()
	check(t, err)
	want := sizeOf(t, img) + int64(len(raw))
	equal(t, "bytes", s.BytesOut(), want)
	equal(t, "bytes of blobs", s.BlobBytesOut(), sizeOf(t, img))
	check(t, pull(t, s, auth))
	equal(t, "bytes after another pull", s.BytesOut(), 2*want)

	layers, err := img.Layers()
	check(t, err)
	config, err := img.ConfigName()
	check(t, err)
	equal(t, "pulls", s.BlobPulls(), map[string]int{digestOf(t, layers[0]).String(): 2, config.String(): 2})
	_, err = remote.Head(ref(t, s, "app:v1"), auth)
	check(t, err)
	equal(t, "bytes after a HEAD", s.BytesOut(), 2*want)
}

func TestTagsAndReferrers(t *testing.T) {
	s := start(t, Options{})
	create(t, s, "app")
	auth := as(issued(t, s))
	tags, err := remote.List(ref(t, s, "app").Context(), auth)
	check(t, err)
	equal(t, "tags of an empty repository", len(tags), 0)

	img := pushImage(t, s, "app", "v2", "v1")
	tags, err = remote.List(ref(t, s, "app").Context(), auth)
	check(t, err)
	equal(t, "tags", tags, []string{"v1", "v2"})

	subject, err := remote.Head(ref(t, s, "app:v1"), admin(s))
	check(t, err)
	referrer := pushManifest(t, s, "app", "", ociManifest, fmt.Sprintf(
		`{"schemaVersion":2,"mediaType":%q,"artifactType":"application/vnd.example","config":%s,"layers":[],"subject":{"mediaType":%q,"digest":%q,"size":%d}}`,
		ociManifest, configOf(t, img), subject.MediaType, subject.Digest, subject.Size))
	index, err := remote.Referrers(ref(t, s, "app").Context().Digest(subject.Digest.String()), auth)
	check(t, err)
	found, err := index.IndexManifest()
	check(t, err)
	equal(t, "referrers", len(found.Manifests), 1)
	equal(t, "referrer", found.Manifests[0].Digest.String(), referrer)
}

func TestDeletionIsUnsupported(t *testing.T) {
	s := start(t, Options{})
	create(t, s, "app")
	pushImage(t, s, "app", "v1")
	checkStatus(t, remote.Delete(ref(t, s, "app:v1"), admin(s)), http.StatusMethodNotAllowed, "UNSUPPORTED")
}

// TestRefusedManifest pushes a manifest that the registry itself rejects: it must not be listed.
func TestRefusedManifest(t *testing.T) {
	s := start(t, Options{})
	create(t, s, "app")
	body := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/json","digest":%q,"size":2},"layers":[]}`, ociManifest, absent)
	resp, _ := putManifest(t, s, "app", "v1", ociManifest, body)
	equal(t, "status", resp.StatusCode, http.StatusBadRequest)
	equal(t, "images", len(repositoryOf(t, s, "app").list()), 0)
}

// pull reads the manifest of app:v1, its config and every layer.
func pull(t *testing.T, s *Server, opts ...remote.Option) error {
	t.Helper()
	img, err := remote.Image(ref(t, s, "app:v1"), opts...)
	if err != nil {
		return err
	}
	if _, err := img.RawConfigFile(); err != nil {
		return err
	}
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		if err := drain(layer); err != nil {
			return err
		}
	}
	return nil
}

func drain(layer v1.Layer) error {
	content, err := layer.Compressed()
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, content)
	return errors.Join(err, content.Close())
}

// checkStatus fails unless err is a registry error with the status and the text; status 0 means no error.
func checkStatus(t *testing.T, err error, status int, text string) {
	t.Helper()
	if status == 0 {
		check(t, err)
		return
	}
	var got *transport.Error
	if !errors.As(err, &got) || got.StatusCode != status || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want status %d: …%s…", err, status, text)
	}
}

// pushManifest pushes a raw manifest as the owner, by tag or else by digest, and returns its digest.
func pushManifest(t *testing.T, s *Server, repo, tag, mediaType, body string) string {
	t.Helper()
	d := digest.FromString(body).String()
	if tag == "" {
		tag = d
	}
	resp, answer := putManifest(t, s, repo, tag, mediaType, body)
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("push %s: %s: %s", tag, resp.Status, answer)
	}
	var m struct{ Subject struct{ Digest string } }
	check(t, json.Unmarshal([]byte(body), &m))
	equal(t, "OCI-Subject", resp.Header.Get("OCI-Subject"), m.Subject.Digest)
	return d
}

func putManifest(t *testing.T, s *Server, repo, reference, mediaType, body string) (resp *http.Response, answer string) {
	t.Helper()
	url := "http://" + s.RegistryHost + "/v2/" + repo + "/manifests/" + reference
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, bytes.NewBufferString(body))
	check(t, err)
	req.Header.Set("Content-Type", mediaType)
	req.SetBasicAuth(s.AdminAuth().Username, s.AdminAuth().Password)
	resp, err = http.DefaultClient.Do(req)
	check(t, err)
	content, err := io.ReadAll(resp.Body)
	check(t, errors.Join(err, resp.Body.Close()))
	return resp, string(content)
}

func repositoryOf(t *testing.T, s *Server, repo string) *repository {
	t.Helper()
	r, ok := s.account.find(s.AccountID, repo)
	if !ok {
		t.Fatalf("no repository %s", repo)
	}
	return r
}

// configOf returns the descriptor of an image's config as JSON.
func configOf(t *testing.T, img v1.Image) string {
	t.Helper()
	m, err := img.Manifest()
	check(t, err)
	b, err := json.Marshal(m.Config)
	check(t, err)
	return string(b)
}

func configSize(t *testing.T, img v1.Image) int64 {
	t.Helper()
	m, err := img.Manifest()
	check(t, err)
	return m.Config.Size
}

func sizeOf(t *testing.T, img v1.Image) int64 {
	t.Helper()
	m, err := img.Manifest()
	check(t, err)
	n := m.Config.Size
	for _, layer := range m.Layers {
		n += layer.Size
	}
	return n
}
