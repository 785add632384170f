package gitlab

import (
	"bytes"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestFirstStatusCounts uploads to handlers that write more than one status, as distribution's do when a client has
// disconnected. The first one counts, and the server does not log the others.
func TestFirstStatusCounts(t *testing.T) {
	tests := []struct {
		name    string
		handler http.HandlerFunc
		status  int
		uploads int
	}{
		{"created, then failed", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusCreated)
			w.WriteHeader(http.StatusInternalServerError)
		}, http.StatusCreated, 1},
		{"failed, then created", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			w.WriteHeader(http.StatusCreated)
		}, http.StatusInternalServerError, 0},
		{"written, then created", func(w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte("no")) //nolint:errcheck // seen by the client
			w.WriteHeader(http.StatusCreated)
		}, http.StatusOK, 0},
		{"early hints, then created", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusCreated)
		}, http.StatusCreated, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var c counters
			var logged bytes.Buffer
			server := httptest.NewUnstartedServer(c.wrap(tt.handler))
			server.Config.ErrorLog = log.New(&logged, "", 0)
			server.Start()
			response, err := http.Post(server.URL+"/v2/app/blobs/uploads/1?digest=sha256:0", "", strings.NewReader("blob"))
			check(t, err)
			check(t, response.Body.Close())
			server.Close()
			if response.StatusCode != tt.status || c.snapshot()["sha256:0"] != tt.uploads {
				t.Errorf("status %d, uploads %v", response.StatusCode, c.snapshot())
			}
			if logged.Len() > 0 {
				t.Errorf("logged %q", logged.String())
			}
		})
	}
}
