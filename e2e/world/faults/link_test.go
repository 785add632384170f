package faults

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestLink measures requests on an established connection.
func TestLink(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Write(body) //nolint:errcheck // seen by the client
	}))
	defer server.Close()
	var l Link
	defer l.Close()
	host, err := l.Announce(strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if took := ping(t, host); took > 5*time.Second {
		t.Errorf("a request took %s before it was to be slow", took)
	}
	if err := l.Delay(200*time.Millisecond, 0); err != nil {
		t.Fatal(err)
	}
	if took := ping(t, host); took < 200*time.Millisecond || took > 5*time.Second {
		t.Errorf("a request took %s, want 200 ms and some", took)
	}
	l.Restore(t.Context())
	if err := l.Limit(10); err != nil {
		t.Fatal(err)
	}
	if took := send(t, host, strings.Repeat("x", 10_000)); took < 1500*time.Millisecond || took > 10*time.Second {
		t.Errorf("10 KB there and back took %s at 10 KB/s, want two seconds", took)
	}
}

func ping(t *testing.T, host string) time.Duration {
	t.Helper()
	return send(t, host, "ping")
}

// send sends data that the server echoes.
func send(t *testing.T, host, content string) time.Duration {
	t.Helper()
	started := time.Now()
	response, err := http.Post("http://"+host, "text/plain", strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != content {
		t.Errorf("got %q, %v", body, err)
	}
	return time.Since(started)
}
