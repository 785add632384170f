package gitlab

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxManifest is the registry's maximum manifest size, in bytes.
const maxManifest = 4 << 20

var (
	manifestPath = regexp.MustCompile(`^/v2/(.+)/manifests/([^/]+)$`)
	uploadsPath  = regexp.MustCompile(`^/v2/(.+)/blobs/uploads/$`)
)

// rules rejects pushes that GitLab rejects and distribution would accept, and fails requests on demand.
type rules struct {
	realm func() string // in challenges

	mu       sync.RWMutex
	refusals Refusals
	failure  func(*http.Request) (int, bool)
}

func (ru *rules) fail(f func(*http.Request) (int, bool)) { ru.set(func() { ru.failure = f }) }

func (ru *rules) set(change func()) {
	ru.mu.Lock()
	defer ru.mu.Unlock()
	change()
}

// now returns the current refusals.
func (ru *rules) now() Refusals {
	ru.mu.RLock()
	defer ru.mu.RUnlock()
	return ru.refusals
}

// wrapFailures answers requests in place of Fail, and of a proxy in front of GitLab.
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
		if !ru.now().before(w, r) {
			next.ServeHTTP(w, r)
		}
	})
}

// wrap rejects pushes that break a rule. A client without access gets the registry's own response.
func (ru *rules) wrap(registry http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refusals := ru.now()
		manifest := manifestPath.FindStringSubmatch(r.URL.Path)
		switch {
		case refusals.readOnly(w, r):
		case refusals.NoMounts && r.URL.Query().Has("mount") && uploadsPath.MatchString(r.URL.Path):
			ru.denyMount(w, r)
		case r.Method == http.MethodPut && manifest != nil:
			ru.push(registry, refusals, manifest[1], manifest[2], w, r)
		default:
			registry.ServeHTTP(w, r)
		}
	})
}

func (ru *rules) push(registry http.Handler, refusals Refusals, name, reference string, w http.ResponseWriter, r *http.Request) {
	look := func(reference string) found { return head(registry, r, name, reference) }
	if look(reference).status == http.StatusUnauthorized {
		registry.ServeHTTP(w, r)
		return
	}
	_, err := digest.Parse(reference)
	byTag := err != nil
	if byTag && matches(refusals.ProtectedTags, reference) { // first, because the token contains the patterns
		protectedTag(reference).write(w)
		return
	}
	m := readManifest(r)
	m.look = look
	refused := refusals.check(m)
	if refused == nil && byTag {
		refused = refusals.checkTag(reference, m)
	}
	if refused != nil {
		refused.write(w)
		return
	}
	registry.ServeHTTP(w, r)
}

// denyMount responds as if the token did not allow pulling from the other repository.
func (ru *rules) denyMount(w http.ResponseWriter, r *http.Request) {
	name := uploadsPath.FindStringSubmatch(r.URL.Path)[1]
	w.Header().Set("WWW-Authenticate", `Bearer realm="`+ru.realm()+`",service="`+service+`",scope="repository:`+name+
		`:pull,push repository:`+r.URL.Query().Get("from")+`:pull",error="insufficient_scope"`)
	writeError(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
}

// found is a registry's response about a reference.
type found struct {
	status int
	digest string // empty: it does not exist
}

// head makes a HEAD request to the registry for a manifest, with the credentials of r.
func head(registry http.Handler, r *http.Request, name, reference string) found {
	req := httptest.NewRequestWithContext(r.Context(), http.MethodHead, "/v2/"+name+"/manifests/"+reference, nil)
	req.Header.Set("Authorization", r.Header.Get("Authorization"))
	for _, mediaType := range []string{
		ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex,
		"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json",
	} {
		req.Header.Add("Accept", mediaType)
	}
	answer := httptest.NewRecorder()
	registry.ServeHTTP(answer, req)
	return found{answer.Code, answer.Header().Get("Docker-Content-Digest")}
}

// pushed is a manifest being pushed: the checked fields of an image or an index.
type pushed struct {
	MediaType    string
	ArtifactType string
	Config       ocispec.Descriptor
	Layers       []ocispec.Descriptor
	Manifests    []ocispec.Descriptor
	Subject      *ocispec.Descriptor

	body        []byte
	syntax      error // of JSON
	contentType string
	look        func(reference string) found // in the same repository
}

// readManifest parses the manifest in r's body, and restores the body.
func readManifest(r *http.Request) pushed {
	m := pushed{contentType: r.Header.Get("Content-Type")}
	var err error
	m.body, err = io.ReadAll(io.LimitReader(r.Body, maxManifest+1))
	rest := r.Body
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(m.body), rest), rest}
	if err == nil {
		m.syntax = json.Unmarshal(m.body, &m)
	}
	var wrongType *json.UnmarshalTypeError
	if errors.As(m.syntax, &wrongType) {
		m.syntax = nil // the registry reports the error itself
	}
	return m
}

func (m pushed) digest() string { return digest.FromBytes(m.body).String() }

func (m pushed) subject() string {
	if m.Subject == nil {
		return ""
	}
	return m.Subject.Digest.String()
}

// references returns the descriptors in the manifest, including the config's.
func (m pushed) references() int {
	n := len(m.Layers) + len(m.Manifests)
	if m.Config.Digest != "" {
		n++
	}
	return n
}

// optionalType is the beginning of the message about an unexpected media type, which is optional in OCI manifests.
func (m pushed) optionalType() string {
	if strings.HasPrefix(m.contentType, "application/vnd.oci.") {
		return "if present, "
	}
	return ""
}

// tooLarge reports whether a body exceeds the limit, and restores it if it does not.
func tooLarge(r *http.Request, limit int64) bool {
	if r.ContentLength >= 0 {
		return r.ContentLength > limit
	}
	start, _ := io.ReadAll(io.LimitReader(r.Body, limit+1)) // an error will be returned again
	rest := r.Body
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(start), rest), rest}
	return int64(len(start)) > limit
}
