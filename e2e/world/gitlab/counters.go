package gitlab

import (
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
)

// counters counts blob uploads.
type counters struct {
	bytes atomic.Int64

	mu      sync.Mutex
	uploads map[string]int // by digest
}

func (c *counters) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "/blobs/uploads/") {
			next.ServeHTTP(w, r)
			return
		}
		r.Body = &countedBody{r.Body, &c.bytes}
		answer := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(answer, r)
		// A mount names its blob in "mount"; an upload ends with the "digest" of its content.
		if digest := r.URL.Query().Get("digest"); digest != "" && answer.status == http.StatusCreated {
			c.add(digest)
		}
	})
}

func (c *counters) add(digest string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.uploads == nil {
		c.uploads = map[string]int{}
	}
	c.uploads[digest]++
}

func (c *counters) snapshot() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.uploads)
}

type countedBody struct {
	io.ReadCloser
	n *atomic.Int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n.Add(int64(n))
	return n, err
}

// statusWriter keeps the status of the response.
type statusWriter struct {
	http.ResponseWriter
	status  int
	written bool
}

// WriteHeader ignores all statuses but the first, without a line in the log: distribution's handlers write another one when
// a client has disconnected during an upload.
func (w *statusWriter) WriteHeader(status int) {
	if w.written {
		return
	}
	w.status, w.written = status, status >= http.StatusOK
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(data []byte) (int, error) {
	w.written = true
	return w.ResponseWriter.Write(data)
}

// Unwrap gives http.ResponseController the connection behind it.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
