package gitlab

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// urlLifetime is how long the URL of a blob is valid: 20 minutes, as in the registry's storage drivers.
const urlLifetime = 20 * time.Minute

var blobPath = regexp.MustCompile(`^/v2/.+/blobs/sha256:([0-9a-f]{64})$`)

// storage is the object storage behind the registry, as on GitLab.com (R: registry/storage/blobserver.go): blob reads are
// redirected to it with 307.
type storage struct {
	base     url.URL
	key      []byte
	requests atomic.Int64
	issuer   *issuer
	registry http.Handler
	server   *http.Server // nil: there is none
}

// listen starts the storage on an address of its own.
func (st *storage) listen(ctx context.Context, opts Options, registry http.Handler) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", opts.StorageAddr)
	if err != nil {
		return err
	}
	st.key, st.registry = []byte(rand.Text()), registry
	st.base = url.URL{Scheme: opts.Secure.Scheme(), Host: listener.Addr().String()}
	if listener, err = opts.link(listener); err != nil {
		return err
	}
	handler := http.Handler(st)
	if opts.Wrap != nil {
		handler = opts.Wrap(handler)
	}
	st.server = &http.Server{Handler: opts.Secure.Guard(handler), ReadHeaderTimeout: time.Minute}
	go st.server.Serve(listener) //nolint:errcheck // returns ErrServerClosed, by close
	return nil
}

func (st *storage) close() error {
	if st.server == nil {
		return nil
	}
	return st.server.Close()
}

// wrap redirects blob reads that would succeed. The tests' own client is served by the registry itself.
func (st *storage) wrap(registry http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		read := r.Method == http.MethodGet || r.Method == http.MethodHead
		if st.server == nil || !read || !blobPath.MatchString(r.URL.Path) || strings.HasPrefix(r.UserAgent(), "go-containerregistry") {
			registry.ServeHTTP(w, r)
			return
		}
		question := r.Clone(r.Context())
		question.Method = http.MethodHead
		answer := httptest.NewRecorder()
		if registry.ServeHTTP(answer, question); answer.Code != http.StatusOK {
			registry.ServeHTTP(w, r)
			return
		}
		http.Redirect(w, r, st.sign(r.Method, r.URL.Path, time.Now().Add(urlLifetime)), http.StatusTemporaryRedirect)
	})
}

// sign returns a URL for the blob that is valid until the given time.
func (st *storage) sign(method, path string, until time.Time) string {
	digest := blobPath.FindStringSubmatch(path)[1]
	target := st.base
	target.Path = "/registry/docker/registry/v2/blobs/sha256/" + digest[:2] + "/" + digest + "/data"
	query := url.Values{"X-Goog-Expires": {strconv.FormatInt(until.Unix(), 10)}, "path": {path}}
	query.Set("X-Goog-Signature", st.mac(method, target.Path, query))
	target.RawQuery = query.Encode()
	return target.String()
}

func (st *storage) mac(method, path string, query url.Values) string {
	mac := hmac.New(sha256.New, st.key)
	fmt.Fprint(mac, method, path, query.Get("X-Goog-Expires"), query.Get("path"))
	return hex.EncodeToString(mac.Sum(nil))
}

func (st *storage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	st.requests.Add(1)
	query := r.URL.Query()
	until, err := strconv.ParseInt(query.Get("X-Goog-Expires"), 10, 64)
	if err != nil || !hmac.Equal([]byte(st.mac(r.Method, r.URL.Path, query)), []byte(query.Get("X-Goog-Signature"))) || time.Now().Unix() >= until {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, "<?xml version='1.0' encoding='UTF-8'?><Error><Code>AccessDenied</Code><Message>Access denied.</Message></Error>")
		return
	}
	path := query.Get("path")
	name, _, _ := strings.Cut(strings.TrimPrefix(path, "/v2/"), "/blobs/")
	token, err := st.issuer.sign("storage", []access{{Type: "repository", Name: name, Actions: []string{"pull"}}})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	read := r.Clone(r.Context())
	read.URL = &url.URL{Path: path}
	read.Header.Set("Authorization", "Bearer "+token)
	st.registry.ServeHTTP(w, read)
}
