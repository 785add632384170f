package aws

import (
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
)

// counter counts events by name.
type counter struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counter) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[name]++
}

func (c *counter) snapshot() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.n)
}

// traffic counts what the registry sends.
type traffic struct {
	bytes     atomic.Int64
	blobBytes atomic.Int64 // in bytes, the blobs' part
	blobs     counter      // completed reads, by digest
}

// wrap counts the body of a successful response. blob is the digest, or empty for a manifest.
func (t *traffic) wrap(w http.ResponseWriter, blob string) http.ResponseWriter {
	return &meteredWriter{ResponseWriter: w, traffic: t, blob: blob}
}

type meteredWriter struct {
	http.ResponseWriter
	traffic *traffic
	blob    string
	started bool
	counted bool
}

func (w *meteredWriter) WriteHeader(status int) {
	w.started = true
	w.counted = status == http.StatusOK || status == http.StatusPartialContent
	if w.counted && w.blob != "" {
		w.traffic.blobs.add(w.blob)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *meteredWriter) Write(p []byte) (int, error) {
	if !w.started {
		w.WriteHeader(http.StatusOK)
	}
	n, err := w.ResponseWriter.Write(p)
	if w.counted {
		w.traffic.bytes.Add(int64(n))
	}
	if w.counted && w.blob != "" {
		w.traffic.blobBytes.Add(int64(n))
	}
	return n, err
}

// Unwrap gives http.ResponseController the connection behind it.
func (w *meteredWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
