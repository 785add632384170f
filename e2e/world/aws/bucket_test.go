package aws

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// TestBlobsAreInABucket pulls as the identity, whose client follows the redirect, and as the owner, who is not
// redirected.
func TestBlobsAreInABucket(t *testing.T) {
	for _, direct := range []bool{false, true} {
		s := start(t, Options{Direct: direct})
		create(t, s, "app")
		img := pushImage(t, s, "app", "v1")
		check(t, pull(t, s, as(s.AdminAuth())))
		equal(t, "requests by the owner", s.BucketRequests(), 0)
		check(t, pull(t, s, as(issued(t, s))))
		want := 2 // config and layer
		if direct {
			want = 0
		}
		equal(t, "requests", s.BucketRequests(), want)
		equal(t, "bytes of blobs", s.BlobBytesOut(), sizeOf(t, img))
	}
}

// TestBucketRefuses changes one property of a signed URL, or of the bucket, at a time.
func TestBucketRefuses(t *testing.T) {
	clock := newClock()
	s := start(t, Options{Now: clock.Now})
	create(t, s, "app")
	img := pushImage(t, s, "app", "v1")
	good := layerURL(t, s, img)
	without := func(name string) string { return edited(t, good, func(query url.Values) { query.Del(name) }) }
	with := func(name, value string) string {
		return edited(t, good, func(query url.Values) { query.Set(name, value) })
	}
	tests := []struct {
		name, method, url string
		prepare           func()
		status            int
		says              string
	}{
		{"good", http.MethodGet, good, nil, http.StatusOK, ""},
		{"again", http.MethodGet, good, nil, http.StatusOK, ""},
		{"no signature", http.MethodGet, without("X-Amz-Signature"), nil, 403, "<Code>AccessDenied</Code><Message>Access Denied</Message>"},
		{"no query", http.MethodGet, strings.Split(good, "?")[0], nil, 403, "<Code>AccessDenied</Code>"},
		{"a longer life", http.MethodGet, with("X-Amz-Expires", "86400"), nil, 403, "<Code>SignatureDoesNotMatch</Code>"},
		{"another session", http.MethodGet, with("X-Amz-Security-Token", "other"), nil, 403, "<Code>SignatureDoesNotMatch</Code>"},
		{"another key", http.MethodGet, with("X-Amz-Credential", "AKIA/20260101/eu-central-1/s3/aws4_request"), nil, 403, "<Code>SignatureDoesNotMatch</Code>"},
		{"another blob", http.MethodGet, strings.Replace(good, "?", "0?", 1), nil, 403, "<Code>SignatureDoesNotMatch</Code>"},
		{"HEAD", http.MethodHead, good, nil, 403, ""},
		{"denied", http.MethodGet, good, func() { s.DenyBucket(true) }, 403, "<Code>AccessDenied</Code><Message>Access Denied</Message>"},
		{"allowed again", http.MethodGet, good, func() { s.DenyBucket(false) }, http.StatusOK, ""},
		{"a clock ahead", http.MethodGet, good, func() { s.ExpireURLs(true) }, 403, "<Message>Request has expired</Message><X-Amz-Expires>3600</X-Amz-Expires>"},
		{"a clock set right", http.MethodGet, good, func() { s.ExpireURLs(false) }, http.StatusOK, ""},
		{"nearly an hour", http.MethodGet, good, func() { clock.advance(59 * time.Minute) }, http.StatusOK, ""},
		{"an hour", http.MethodGet, good, func() { clock.advance(time.Minute) }, 403, "<Code>AccessDenied</Code><Message>Request has expired</Message>"},
	}
	for _, tt := range tests {
		if tt.prepare != nil {
			tt.prepare()
		}
		status, body := fetch(t, tt.method, tt.url)
		if status != tt.status || !strings.Contains(body, tt.says) {
			t.Errorf("%s: %d %.300s", tt.name, status, body)
		}
	}
}

// TestHeadBlobs requests HEAD for an existing blob, and then reads it regardless of the status.
func TestHeadBlobs(t *testing.T) {
	for answer, want := range map[int]int{0: 200, 401: 401, 403: 403, 404: 404, 405: 405, 307: 403} {
		s := start(t, Options{HeadBlobs: answer})
		create(t, s, "app")
		layers, err := pushImage(t, s, "app", "v1").Layers()
		check(t, err)
		blob := "http://" + s.RegistryHost + "/v2/app/blobs/" + digestOf(t, layers[0]).String()
		for method, want := range map[string]int{http.MethodHead: want, http.MethodGet: http.StatusOK} {
			req, err := http.NewRequestWithContext(t.Context(), method, blob, nil)
			check(t, err)
			auth := s.PullAuth()
			req.SetBasicAuth(auth.Username, auth.Password)
			resp, err := http.DefaultClient.Do(req)
			check(t, err)
			check(t, resp.Body.Close())
			if resp.StatusCode != want {
				t.Errorf("%d: %s: %s, want %d", answer, method, resp.Status, want)
			}
		}
	}
}

// TestBucketName uses a host name in URLs that differs from the listening address.
func TestBucketName(t *testing.T) {
	s := start(t, Options{BucketName: BucketHost("eu-central-1")})
	create(t, s, "app")
	signed, err := url.Parse(layerURL(t, s, pushImage(t, s, "app", "v1")))
	check(t, err)
	equal(t, "host", signed.Hostname(), "prod-eu-central-1-starport-layer-bucket.s3.eu-central-1.amazonaws.com")
	equal(t, "host and port", signed.Host, s.BucketHost)
	for _, name := range []string{"X-Amz-Signature", "X-Amz-Security-Token", "X-Amz-Credential", "X-Amz-Expires", "X-Amz-Date"} {
		if signed.Query().Get(name) == "" {
			t.Errorf("no %s in the URL", name)
		}
	}
}

// layerURL returns the URL from GetDownloadUrlForLayer.
func layerURL(t *testing.T, s *Server, img v1.Image) string {
	t.Helper()
	layers, err := img.Layers()
	check(t, err)
	layer := digestOf(t, layers[0]).String()
	out, err := ecrClient(t, s).GetDownloadUrlForLayer(t.Context(), &ecr.GetDownloadUrlForLayerInput{RepositoryName: sdk.String("app"), LayerDigest: &layer})
	check(t, err)
	return *out.DownloadUrl
}

// edited returns the URL with another query.
func edited(t *testing.T, signed string, edit func(url.Values)) string {
	t.Helper()
	parsed, err := url.Parse(signed)
	check(t, err)
	query := parsed.Query()
	edit(query)
	parsed.RawQuery = query.Encode()
	return parsed.String()
}

func fetch(t *testing.T, method, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	check(t, err)
	resp, err := http.DefaultClient.Do(req)
	check(t, err)
	body, err := io.ReadAll(resp.Body)
	check(t, errors.Join(err, resp.Body.Close()))
	return resp.StatusCode, string(body)
}
