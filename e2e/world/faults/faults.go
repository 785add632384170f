// Package faults simulates failures between engines and registries: middleware that breaks single requests, and a link
// that slows down all of them.
package faults

import (
	"net/http"
	"strings"
	"sync/atomic"
)

// Match selects the requests that a fault applies to.
type Match func(*http.Request) bool

// BlobRead matches the download of a blob, whole or in part: from a registry, or from the bucket that it redirects to.
func BlobRead(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/sha256:") || BucketRead(r)
}

// BucketRead matches a request to a bucket, with a signature in its query.
func BucketRead(r *http.Request) bool {
	return r.Method == http.MethodGet && r.URL.Query().Has("X-Amz-Signature")
}

// BlobWrite matches a request with the content of a blob.
func BlobWrite(r *http.Request) bool {
	return strings.Contains(r.URL.Path, "/blobs/uploads/") && r.ContentLength != 0 &&
		(r.Method == http.MethodPatch || r.Method == http.MethodPut)
}

// ManifestRead matches a request for a manifest, by digest or tag.
func ManifestRead(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && strings.Contains(r.URL.Path, "/manifests/")
}

// ManifestWrite matches the push of a manifest.
func ManifestWrite(r *http.Request) bool {
	return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/")
}

// ECRCall matches a call of ECR's API.
func ECRCall(r *http.Request) bool { return r.Header.Get("X-Amz-Target") != "" }

// TokenCall matches a request to ECR for a registry token.
func TokenCall(r *http.Request) bool {
	return strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetAuthorizationToken")
}

// WithToken matches a request with a token from GitLab's /jwt/auth.
func WithToken(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ")
}

// Registry matches all requests to a registry and its token service, but none to an AWS API or a bucket.
func Registry(r *http.Request) bool { return r.URL.Path != "/" && !BucketRead(r) }

// Any matches every request.
func Any(*http.Request) bool { return true }

// Fault is middleware that breaks some requests, and counts them. It does not affect the tests' own client, which fills
// ECR and checks the results.
type Fault struct {
	concerns Match
	serve    func(w http.ResponseWriter, r *http.Request, next http.Handler)
	struck   atomic.Int64
	lifted   atomic.Bool
}

// Wrap adds the fault in front of a registry or an API.
func (f *Fault) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.lifted.Load() || !f.concerns(r) || strings.HasPrefix(r.UserAgent(), "go-containerregistry") {
			next.ServeHTTP(w, r)
			return
		}
		f.serve(w, r, next)
	})
}

// Lift ends the fault: it affects no further request.
func (f *Fault) Lift() { f.lifted.Store(true) }

// Struck returns how many requests the fault has affected so far.
func (f *Fault) Struck() int { return int(f.struck.Load()) }

// atMost limits the fault to a number of requests: the returned function reports whether another one may be affected.
func (f *Fault) atMost(times int) (strikes func() bool) {
	var asked atomic.Int64
	return func() bool {
		if asked.Add(1) > int64(times) {
			return false
		}
		f.struck.Add(1)
		return true
	}
}

// At calls then at the kth matching request, which is answered once then has returned.
func At(concerns Match, k int, then func()) *Fault {
	f := &Fault{concerns: concerns}
	var seen atomic.Int64
	f.serve = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if seen.Add(1) == int64(k) {
			f.struck.Add(1)
			then()
		}
		next.ServeHTTP(w, r)
	}
	return f
}
