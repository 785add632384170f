package gitlab

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// maxManifest is the largest manifest a registry takes, in bytes.
const maxManifest = 4 << 20

var manifestPath = regexp.MustCompile(`^/v2/(.+)/manifests/([^/]+)$`)

// rules refuses pushes that GitLab refuses and distribution would take, and fails requests on demand.
type rules struct {
	acceptOrphans bool

	mu         sync.RWMutex
	protected  []string
	immutables []string
	failure    func(*http.Request) (int, bool)
}

func (ru *rules) protect(globs []string)   { ru.set(func() { ru.protected = globs }) }
func (ru *rules) immutable(globs []string) { ru.set(func() { ru.immutables = globs }) }

func (ru *rules) fail(f func(*http.Request) (int, bool)) { ru.set(func() { ru.failure = f }) }

func (ru *rules) set(change func()) {
	ru.mu.Lock()
	defer ru.mu.Unlock()
	change()
}

func (ru *rules) globs() (protected, immutables []string) {
	ru.mu.RLock()
	defer ru.mu.RUnlock()
	return ru.protected, ru.immutables
}

// wrapFailures answers what Fail wants answered.
func (ru *rules) wrapFailures(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ru.mu.RLock()
		failure := ru.failure
		ru.mu.RUnlock()
		if failure != nil {
			if status, ok := failure(r); ok {
				writeError(w, status, cmp.Or(codes[status], "UNKNOWN"), strings.ToLower(http.StatusText(status)))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// wrap refuses pushes of manifests that break a rule. A client without access gets the
// registry's own answer.
func (ru *rules) wrap(registry http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		match := manifestPath.FindStringSubmatch(r.URL.Path)
		if r.Method != http.MethodPut || match == nil {
			registry.ServeHTTP(w, r)
			return
		}
		look := func(reference string) int { return head(registry, r, match[1], reference) }
		if status, e, refused := ru.check(look, match[2], r); refused {
			writeDetailed(w, status, e)
			return
		}
		registry.ServeHTTP(w, r)
	})
}

// check looks for a broken rule. look returns the status with which the registry answers for a tag or
// digest of the same repository.
func (ru *rules) check(look func(reference string) int, reference string, r *http.Request) (int, registryError, bool) {
	found := look(reference)
	if found == http.StatusUnauthorized {
		return 0, registryError{}, false
	}
	protected, immutables := ru.globs()
	switch {
	case matches(protected, reference):
		return denied("tag %q is protected", reference)
	case found == http.StatusOK && matches(immutables, reference):
		return denied("tag %q is immutable", reference)
	}
	if subject := peekSubject(r); !ru.acceptOrphans && subject != "" && look(subject) != http.StatusOK {
		return http.StatusBadRequest, registryError{"MANIFEST_BLOB_UNKNOWN", "blob unknown to registry", subject}, true
	}
	return 0, registryError{}, false
}

func denied(format, tag string) (int, registryError, bool) {
	const message = "requested access to the resource is denied"
	return http.StatusForbidden, registryError{"DENIED", message, fmt.Sprintf(format, tag)}, true
}

func matches(globs []string, tag string) bool {
	return slices.ContainsFunc(globs, func(glob string) bool {
		ok, err := path.Match(glob, tag)
		return ok && err == nil
	})
}

// head asks the registry for a manifest in the name of the client that sent r.
func head(registry http.Handler, r *http.Request, name, reference string) int {
	req := httptest.NewRequestWithContext(r.Context(), http.MethodHead, "/v2/"+name+"/manifests/"+reference, nil)
	req.Header.Set("Authorization", r.Header.Get("Authorization"))
	for _, mediaType := range []string{
		"application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json",
		"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json",
	} {
		req.Header.Add("Accept", mediaType)
	}
	answer := httptest.NewRecorder()
	registry.ServeHTTP(answer, req)
	return answer.Code
}

// peekSubject returns the digest of the subject of the manifest in r's body, "" if it has none, and
// leaves the body as it was.
func peekSubject(r *http.Request) string {
	start, err := io.ReadAll(io.LimitReader(r.Body, maxManifest+1))
	rest := r.Body
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(start), rest), rest}
	var manifest struct {
		Subject struct {
			Digest string `json:"digest"`
		} `json:"subject"`
	}
	if err != nil || json.Unmarshal(start, &manifest) != nil {
		return "" // the registry will say what is wrong with it
	}
	return manifest.Subject.Digest
}
