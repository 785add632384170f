package bench

import (
	"cmp"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/faults"
)

// Server is one that contenders and their engines send requests to.
type Server string

// The servers, in the order of the tables. ECRTokens and AWS are actions of one API.
const (
	ECRTokens     Server = "ECR tokens"
	AWS           Server = "other AWS API"
	ECR           Server = "ECR registry"
	Bucket        Server = "bucket"
	GitLabTokens  Server = "GitLab tokens"
	GitLab        Server = "GitLab registry"
	GitLabStorage Server = "object storage"
)

func servers() []Server {
	return []Server{ECRTokens, AWS, ECR, Bucket, GitLabTokens, GitLab, GitLabStorage}
}

// request is a kind of request: to which server, and for what.
type request struct {
	server Server
	what   string
}

// requests counts requests by kind.
type requests struct {
	mu sync.Mutex
	n  map[request]int
}

// wrap counts what a server is asked for, before it answers.
func (c *requests) wrap(kind func(*http.Request) request) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c.add(kind(r))
			next.ServeHTTP(w, r)
		})
	}
}

func (c *requests) add(kind request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[request]int{}
	}
	c.n[kind]++
}

func (c *requests) snapshot() map[request]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.n)
}

// since returns what has been added to an earlier snapshot.
func since(before, after map[request]int) map[request]int {
	added := map[request]int{}
	for kind, n := range after {
		if n > before[kind] {
			added[kind] = n - before[kind]
		}
	}
	return added
}

// awsRequest returns the kind of a request to the AWS stand-in.
func awsRequest(r *http.Request) request {
	_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	switch {
	case faults.TokenCall(r):
		return request{ECRTokens, action}
	case faults.ECRCall(r):
		return request{AWS, action}
	case r.URL.Path == "/":
		return request{AWS, "STS"}
	case faults.BucketRead(r):
		return request{Bucket, r.Method}
	}
	return request{ECR, registryRequest(r)}
}

// gitlabRequest returns the kind of a request to the GitLab stand-in.
func gitlabRequest(r *http.Request) request {
	switch {
	case r.URL.Path == "/jwt/auth":
		return request{GitLabTokens, r.Method}
	case r.URL.Query().Has("X-Goog-Signature"):
		return request{GitLabStorage, r.Method}
	}
	return request{GitLab, registryRequest(r)}
}

var registryPath = regexp.MustCompile(`/(manifests|blobs/uploads|blobs|tags|referrers)/[^/]*$`)

// registryRequest returns the method and what it is applied to, marked if the request has no credentials.
func registryRequest(r *http.Request) string {
	what := r.Method + " /v2/"
	if parts := registryPath.FindStringSubmatch(r.URL.Path); parts != nil {
		what = r.Method + " " + parts[1]
	}
	if r.Header.Get("Authorization") == "" {
		what += ", anonymous"
	}
	return what
}

// kinds returns the kinds of requests, in order.
func kinds(n map[request]int) []request {
	order := servers()
	return slices.SortedFunc(maps.Keys(n), func(a, b request) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.server), slices.Index(order, b.server)), cmp.Compare(a.what, b.what))
	})
}
