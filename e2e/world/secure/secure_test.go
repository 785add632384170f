package secure

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// serve starts a server that answers with the protocol it is asked in, and returns its host:port.
func serve(t *testing.T, a *Authority, names ...string) string {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := a.Listen(inner, names...)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: a.Guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://tokens.example:5000/jwt/auth",service="x"`)
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, r.Proto) //nolint:errcheck // seen by the client
	}))}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		if err := errors.Join(server.Close(), <-ended); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return inner.Addr().String()
}

// ask returns the status, the body and the challenge.
func ask(t *testing.T, client *http.Client, url, agent string) (int, string, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("User-Agent", agent)
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error(), ""
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, strings.TrimSpace(string(body)), response.Header.Get("WWW-Authenticate")
}

func TestListen(t *testing.T) {
	a, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	const name = "registry.example"
	host := serve(t, a, name)
	trusting := func(http2 bool) *http.Client {
		dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, network, host)
		}
		return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.Pool()}, ForceAttemptHTTP2: http2, DialContext: dial, DisableKeepAlives: true}}
	}
	const far, near = `Bearer realm="https://tokens.example:5000/jwt/auth",service="x"`, `Bearer realm="http://HOST/jwt/auth",service="x"`
	tests := []struct {
		what       string
		client     *http.Client
		url, agent string
		status     int
		body       string
		challenge  string
	}{
		{"HTTP/2", trusting(true), "https://" + host, "docker", 401, "HTTP/2.0", far},
		{"HTTP/1.1", trusting(false), "https://" + host, "docker", 401, "HTTP/1.1", far},
		{"by name", trusting(true), "https://" + name, "docker", 401, "HTTP/2.0", far},
		{"by another name", trusting(true), "https://other.example", "docker", 0, "certificate is valid for registry.example, not other.example", ""},
		{"without trust", http.DefaultClient, "https://" + host, "docker", 0, "certificate signed by unknown authority", ""},
		{"plain", http.DefaultClient, "http://" + host, "docker", 400, "Client sent an HTTP request to an HTTPS server.", ""},
		{"plain, another Go program", http.DefaultClient, "http://" + host + "/v2/a/blobs/b", "Go-http-client/1.1", 400, "Client sent an HTTP request to an HTTPS server.", ""},
		{"plain, the tests' own looks around", http.DefaultClient, "http://" + host + "/v2/", "Go-http-client/1.1", 401, "HTTP/1.1", strings.Replace(near, "HOST", host, 1)},
		{"plain, the tests' own", http.DefaultClient, "http://" + host, "go-containerregistry/v0.22.1", 401, "HTTP/1.1", strings.Replace(near, "HOST", host, 1)},
	}
	for _, tt := range tests {
		status, body, challenge := ask(t, tt.client, tt.url, tt.agent)
		if status != tt.status || !strings.Contains(body, tt.body) || challenge != tt.challenge {
			t.Errorf("%s: %d %s %s", tt.what, status, body, challenge)
		}
	}
}

// TestSilence holds a connection on which nothing is sent, which must neither keep others from being served nor the
// server from ending.
func TestSilence(t *testing.T) {
	a, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	host := serve(t, a)
	silent, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() }) //nolint:errcheck // the server has closed it
	if status, body, _ := ask(t, http.DefaultClient, "http://"+host, "docker"); status != http.StatusBadRequest {
		t.Errorf("%d %s", status, body)
	}
}

// TestNoAuthority changes nothing.
func TestNoAuthority(t *testing.T) {
	var a *Authority
	host := serve(t, a)
	if status, body, _ := ask(t, http.DefaultClient, a.Scheme()+"://"+host, "docker"); status != http.StatusUnauthorized || body != "HTTP/1.1" {
		t.Errorf("%d %s", status, body)
	}
}
