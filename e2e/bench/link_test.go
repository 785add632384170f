package bench

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestLink measures requests on a connection that is there already.
func TestLink(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })) //nolint:errcheck // seen by the client
	defer server.Close()
	var l link
	defer l.close()
	host, err := l.announce(strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if took := ask(t, host); took > 5*time.Second {
		t.Errorf("a request took %s before it was to be slow", took)
	}
	if err := l.slowDown(200 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if took := ask(t, host); took < 200*time.Millisecond || took > 5*time.Second {
		t.Errorf("a request took %s, want 200 ms and some", took)
	}
}

func ask(t *testing.T, host string) time.Duration {
	t.Helper()
	started := time.Now()
	response, err := http.Post("http://"+host, "text/plain", strings.NewReader("ping"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != "ping" {
		t.Errorf("got %q, %v", body, err)
	}
	return time.Since(started)
}
