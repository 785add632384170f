package ecr

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// httpClient is the HTTP client of the SDK.
type httpClient func(*http.Request) (*http.Response, error)

func (c httpClient) Do(r *http.Request) (*http.Response, error) { return c(r) }

func answered(status int, body string) httpClient {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Status: http.StatusText(status), Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

func TestReadFromBucket(t *testing.T) {
	const query = "?X-Amz-Security-Token=secret-token&X-Amz-Signature=secret-signature"
	const bucket = "prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com"
	const denied = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message><Resource>/1a2b?X-Amz-Signature=secret-signature</Resource></Error>`
	for _, test := range []struct {
		name   string
		host   string
		client httpClient
		says   []string // parts of the error; empty: there is none
	}{
		{"part of it", bucket, answered(http.StatusPartialContent, "l"), nil},
		{"a bucket without ranges", bucket, answered(http.StatusOK, "layer"), nil},
		{"nothing in it", bucket, answered(http.StatusOK, ""), []string{"cannot read a layer from " + bucket + ": the layer's first byte did not arrive: EOF"}},
		{
			"an endpoint policy", bucket, answered(http.StatusForbidden, denied),
			[]string{"Forbidden: AccessDenied: Access Denied", "must allow s3:GetObject on arn:aws:s3:::prod-eu-west-1-starport-layer-bucket/*"},
		},
		{"another bucket", "127.0.0.1:9000", answered(http.StatusForbidden, denied), []string{"arn:aws:s3:::prod-REGION-starport-layer-bucket/*"}},
		{
			"a proxy", bucket, answered(http.StatusForbidden, "<html><body>Blocked?X-Amz-Signature=secret-signature</body></html>"),
			[]string{"layer from " + bucket + ": Forbidden\n", "proxy or firewall in front of it: allow requests to " + bucket},
		},
		{"a bucket in trouble", bucket, answered(http.StatusServiceUnavailable, ""), []string{": Service Unavailable"}},
		{
			"no way there", bucket, func(r *http.Request) (*http.Response, error) {
				return nil, &url.Error{Op: "Get", URL: r.URL.String(), Err: errors.New("connection refused")}
			},
			[]string{"layer from " + bucket + ": connection refused\n", "HTTPS_PROXY"},
		},
		{"no URL", "", nil, []string{"cannot read a layer from ECR's URL of a layer: it is not a URL"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			requests := 0
			client := httpClient(func(r *http.Request) (*http.Response, error) {
				requests++
				if r.Method != http.MethodGet || r.Header.Get("Range") != "bytes=0-0" || r.URL.RawQuery != query[1:] {
					t.Errorf("asked %s %s with %v", r.Method, r.URL, r.Header)
				}
				return test.client(r)
			})
			signed := "https://" + test.host + "/1a2b/layer" + query
			var buckets Buckets
			host, err := buckets.Read(t.Context(), client, signed)
			if again, errAgain := buckets.Read(t.Context(), client, strings.Replace(signed, "/layer?", "/another?", 1)); again != host || err != nil && errAgain.Error() != err.Error() {
				t.Errorf("then read from %q, %v", again, errAgain)
			}
			if want := min(1, len(test.host)); requests != want {
				t.Errorf("%d requests, want %d", requests, want)
			}
			if host != test.host || (err != nil) != (test.says != nil) {
				t.Fatalf("read from %q, %v", host, err)
			}
			for _, part := range test.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in\n%v", part, err)
				}
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("a signature is in\n%v", err)
			}
		})
	}
}

// impatient is the retryer of AWS calls, without delay.
type impatient struct{ aws.Retryer }

func (impatient) RetryDelay(int, error) (time.Duration, error) { return 0, nil }

func TestBucketIsTriedAgain(t *testing.T) {
	failed := func(err error) httpClient {
		return func(r *http.Request) (*http.Response, error) {
			return nil, &url.Error{Op: "Get", URL: r.URL.String(), Err: err}
		}
	}
	cutOff := func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusPartialContent, Body: io.NopCloser(&failingReader{io.ErrUnexpectedEOF})}, nil
	}
	trouble, good := answered(http.StatusServiceUnavailable, ""), answered(http.StatusPartialContent, "l")
	for _, test := range []struct {
		name     string
		answers  []httpClient // the last one is repeated
		requests int
		says     string // part of the error; empty: there is none
	}{
		{"a connection reset", []httpClient{failed(syscall.ECONNRESET), good}, 2, ""},
		{"nobody listening yet", []httpClient{failed(syscall.ECONNREFUSED), good}, 2, ""},
		{"a response cut off", []httpClient{cutOff, good}, 2, ""},
		{"trouble that passes", []httpClient{trouble, answered(http.StatusInternalServerError, ""), good}, 3, ""},
		{"trouble that stays", []httpClient{trouble}, 3, "Service Unavailable"},
		{"a refusal", []httpClient{answered(http.StatusForbidden, ""), good}, 1, "Forbidden"},
		{"an interrupted run", []httpClient{failed(context.Canceled), good}, 1, "context canceled"},
	} {
		t.Run(test.name, func(t *testing.T) {
			requests := 0
			client := httpClient(func(r *http.Request) (*http.Response, error) {
				requests++
				return test.answers[min(requests, len(test.answers))-1](r)
			})
			buckets := Buckets{Retryer: impatient{NewRetryer()}}
			_, err := buckets.Read(t.Context(), client, "https://bucket.example/layer?X-Amz-Signature=secret")
			if requests != test.requests {
				t.Errorf("%d requests, want %d", requests, test.requests)
			}
			if (err != nil) != (test.says != "") || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %q", err, test.says)
			}
		})
	}
}

type failingReader struct{ err error }

func (r *failingReader) Read([]byte) (int, error) { return 0, r.err }
