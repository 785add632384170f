// Package faults holds what goes wrong between engines and registries: middlewares that spoil single requests, and a
// link on which all of them take their time.
package faults

import (
	"net/http"
	"strings"
	"sync/atomic"
)

// Match tells the requests that a fault is for.
type Match func(*http.Request) bool

// BlobRead is the download of a blob, whole or in part: from a registry, or from the bucket that it has redirected to.
func BlobRead(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/sha256:") || BucketRead(r)
}

// BucketRead is a request to a bucket, with a signature in its query.
func BucketRead(r *http.Request) bool {
	return r.Method == http.MethodGet && r.URL.Query().Has("X-Amz-Signature")
}

// BlobWrite is a request that brings the content of a blob.
func BlobWrite(r *http.Request) bool {
	return strings.Contains(r.URL.Path, "/blobs/uploads/") && r.ContentLength != 0 &&
		(r.Method == http.MethodPatch || r.Method == http.MethodPut)
}

// ManifestRead is the question for a manifest, or for what a tag stands for.
func ManifestRead(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && strings.Contains(r.URL.Path, "/manifests/")
}

// ManifestWrite is the push of a manifest.
func ManifestWrite(r *http.Request) bool {
	return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/")
}

// ECRCall is a call of ECR's API.
func ECRCall(r *http.Request) bool { return r.Header.Get("X-Amz-Target") != "" }

// TokenCall asks ECR for a registry token.
func TokenCall(r *http.Request) bool {
	return strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetAuthorizationToken")
}

// WithToken is a request with a token of GitLab's /jwt/auth.
func WithToken(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ")
}

// Registry is all that a registry and its token service are asked, and no API of AWS and no bucket.
func Registry(r *http.Request) bool { return r.URL.Path != "/" && !BucketRead(r) }

// Any is every request.
func Any(*http.Request) bool { return true }

// Fault is a middleware that spoils some requests, and counts them. It leaves the tests' own client alone, which fills
// ECR and compares what has arrived.
type Fault struct {
	concerns Match
	serve    func(w http.ResponseWriter, r *http.Request, next http.Handler)
	struck   atomic.Int64
}

// Wrap puts the fault before a registry or an API.
func (f *Fault) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !f.concerns(r) || strings.HasPrefix(r.UserAgent(), "go-containerregistry") {
			next.ServeHTTP(w, r)
			return
		}
		f.serve(w, r, next)
	})
}

// Struck returns how often the fault has struck so far.
func (f *Fault) Struck() int { return int(f.struck.Load()) }

// atMost has the fault strike so many times: it returns what tells whether it does once more.
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

// At calls then at the kth of these requests, which waits until it returns, and is answered after that.
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
