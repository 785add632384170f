package bench

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestRequestKinds(t *testing.T) {
	asked := func(method, url string, headers ...string) *http.Request {
		r := httptest.NewRequest(method, url, nil)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		return r
	}
	const auth, target, ecr = "Authorization", "X-Amz-Target", "AmazonEC2ContainerRegistry_V20150921."
	tests := []struct {
		kind func(*http.Request) request
		r    *http.Request
		want request
	}{
		{awsRequest, asked("POST", "/", target, ecr+"GetAuthorizationToken"), request{ECRTokens, "GetAuthorizationToken"}},
		{awsRequest, asked("POST", "/", target, ecr+"DescribeImages"), request{AWS, "DescribeImages"}},
		{awsRequest, asked("POST", "/"), request{AWS, "STS"}},
		{awsRequest, asked("GET", "/v2/", auth, "Basic x"), request{ECR, "GET /v2/"}},
		{awsRequest, asked("GET", "/v2/a/b/blobs/sha256:1", auth, "Basic x"), request{ECR, "GET blobs"}},
		{awsRequest, asked("GET", "/object?X-Amz-Signature=s"), request{Bucket, "GET"}},
		{gitlabRequest, asked("GET", "/jwt/auth?scope=x", auth, "Basic x"), request{GitLabTokens, "GET"}},
		{gitlabRequest, asked("HEAD", "/registry/data?X-Goog-Signature=s"), request{GitLabStorage, "HEAD"}},
		{gitlabRequest, asked("HEAD", "/v2/a/manifests/v1"), request{GitLab, "HEAD manifests, anonymous"}},
		{gitlabRequest, asked("PUT", "/v2/a/blobs/uploads/1", auth, "Bearer x"), request{GitLab, "PUT blobs/uploads"}},
		{gitlabRequest, asked("GET", "/v2/manifests/tags/list", auth, "Bearer x"), request{GitLab, "GET tags"}},
	}
	for _, tt := range tests {
		if got := tt.kind(tt.r); got != tt.want {
			t.Errorf("%s %s is %v, want %v", tt.r.Method, tt.r.URL, got, tt.want)
		}
	}
}

func TestRequestsSince(t *testing.T) {
	var c requests
	handler := c.wrap(gitlabRequest)(http.NotFoundHandler())
	ask := func(path string) {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
	}
	ask("/jwt/auth")
	ask("/v2/")
	before := c.snapshot()
	ask("/jwt/auth")
	ask("/jwt/auth")
	got, want := since(before, c.snapshot()), map[request]int{{GitLabTokens, "GET"}: 2}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
