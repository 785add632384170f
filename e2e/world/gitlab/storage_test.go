package gitlab

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// TestStorage reads a blob through the redirect, as an engine does, and tampers with the URL.
func TestStorage(t *testing.T) {
	s := start(t, Options{StorageAddr: "127.0.0.1:0"})
	img := image(t)
	check(t, remote.Write(tag(t, s.Image+":v1"), img, remote.WithAuth(s.Auth())))
	equalRequests(t, s, 0) // the tests' own client
	token := s.token(t, "repository:group/project:pull")
	blob := "/v2/group/project/blobs/" + blobs(t, img)[1].Digest.String()

	signed := s.redirect(t, blob, token)
	if body := read(t, send(t, request(t, signed))); fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(body))) != blobs(t, img)[1].Digest.String() {
		t.Errorf("another blob: %d bytes", len(body))
	}
	for name, spoiled := range map[string]string{
		"another blob": strings.Replace(signed, url.QueryEscape(blob), url.QueryEscape("/v2/group/project/blobs/"+blobs(t, img)[0].Digest.String()), 1),
		"no signature": strings.Split(signed, "X-Goog-Signature")[0],
		"a later end":  strings.Replace(signed, "X-Goog-Expires=", "X-Goog-Expires=9", 1),
		"no query":     strings.Split(signed, "?")[0],
	} {
		if resp := send(t, request(t, spoiled)); resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s", name, resp.Status)
		}
	}
	equalRequests(t, s, 5)
	if resp := s.do(t, http.MethodGet, blob, "", ""); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: %s", resp.Status)
	}
	absent := "/v2/group/project/blobs/sha256:" + strings.Repeat("0", 64)
	if resp := s.do(t, http.MethodGet, absent, token, ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("an absent blob: %s", resp.Status)
	}
}

// redirect returns where the registry redirects a request for a blob.
func (s testServer) redirect(t *testing.T, blob, token string) string {
	t.Helper()
	req := request(t, "http://"+s.Registry+blob)
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultTransport.RoundTrip(req)
	check(t, err)
	t.Cleanup(func() { resp.Body.Close() })
	location := resp.Header.Get("Location")
	if resp.StatusCode != http.StatusTemporaryRedirect || strings.HasPrefix(location, "http://"+s.Registry) {
		t.Fatalf("%s to %s", resp.Status, location)
	}
	return location
}

func request(t *testing.T, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	check(t, err)
	return req
}

func equalRequests(t *testing.T, s testServer, want int) {
	t.Helper()
	if got := s.StorageRequests(); got != want {
		t.Errorf("%d requests to the storage, want %d", got, want)
	}
}
