package proxy

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// startEngine serves handler on a socket, as an engine does.
func startEngine(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}}
	server.Start()
	t.Cleanup(server.Close)
	return "unix://" + socket
}

// ask makes a call through a proxy and returns the response's body and the error at its end.
func ask(t *testing.T, around Around, engine http.HandlerFunc) (string, error) {
	t.Helper()
	p, err := Start(t.Context(), Options{Engine: startEngine(t, engine), Listen: "tcp://127.0.0.1:0", Around: around})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() }) //nolint:errcheck // nothing is under way
	response, err := http.Get(strings.Replace(p.Host, "tcp:", "http:", 1) + "/images/a/json")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func TestCutsAnAnswerAndStopsTheEngine(t *testing.T) {
	stopped := make(chan struct{})
	body, err := ask(t, func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
		Lines(engine, func(line []byte) ([]byte, bool) { return line[:3], false }).ServeHTTP(w, r)
	}, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first\n")          //nolint:errcheck // ends with the test
		http.NewResponseController(w).Flush() //nolint:errcheck // likewise
		<-r.Context().Done()
		close(stopped)
	})
	if body != "fir" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
	<-stopped
}

func TestReplacesInEveryLine(t *testing.T) {
	body, err := ask(t, func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
		Replace(engine, "false", "true").ServeHTTP(w, r)
	}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "16")
		io.WriteString(w, "a: false\nb:false") //nolint:errcheck // ends with the test
	})
	if body != "a: true\nb:true" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
}

func TestCallOf(t *testing.T) {
	for _, test := range []struct {
		method, url string
		want        Call
	}{
		{"GET", "/v1.41/info", Call{Info, ""}},
		{"POST", "/v1.51/auth", Call{Login, ""}},
		{"GET", "/v1.51/distribution/h:1/a/b@sha256:00/json", Call{Distribution, "h:1/a/b@sha256:00"}},
		{"POST", "/v1.51/images/create?fromImage=h%3A1%2Fa&tag=sha256%3A00", Call{Pull, "h:1/a@sha256:00"}},
		{"POST", "/v1.51/images/create?fromImage=h%3A1%2Fa&tag=1.0", Call{Pull, "h:1/a:1.0"}},
		{"POST", "/v1.51/images/load?quiet=1", Call{Load, ""}},
		{"GET", "/v1.51/images/h:1/a:1.0/json?manifests=1", Call{Inspect, "h:1/a:1.0"}},
		{"POST", "/v1.51/images/h:1/a@sha256:00/tag?repo=x&tag=1.0", Call{Tag, "h:1/a@sha256:00"}},
		{"POST", "/v1.51/images/h:1/a/push?tag=1.0", Call{Push, "h:1/a:1.0"}},
		{"POST", "/v1.51/images/h:1/a@sha256:00/push", Call{Push, "h:1/a@sha256:00"}},
		{"DELETE", "/v1.51/images/h:1/a:1.0", Call{Remove, "h:1/a:1.0"}},
		{"HEAD", "/_ping", Call{Other, ""}},
	} {
		if got := CallOf(httptest.NewRequest(test.method, test.url, nil)); got != test.want {
			t.Errorf("%s %s: %v instead of %v", test.method, test.url, got, test.want)
		}
	}
}

func TestSecretsPassBy(t *testing.T) {
	var secrets Secrets
	server := secrets.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "<SecretAccessKey>temporary-key</SecretAccessKey>") //nolint:errcheck // a recorder
	}))
	request := httptest.NewRequest("POST", "/", nil)
	request.SetBasicAuth("AWS", "registry-token")
	server.ServeHTTP(httptest.NewRecorder(), request)
	if got := secrets.Shown("login with registry-token and temporary-key"); !slices.Equal(got, []string{"SecretAccessKey", "password"}) {
		t.Errorf("found %q", got)
	}
	if !slices.ContainsFunc(secrets.Commands(), func(line string) bool { return strings.Contains(line, "proxy.test") }) {
		t.Error("this process is not among the commands")
	}
}

// Requests arrive by the thousand, but processes are only checked a few times a second.
func TestLooksAtProcessesNowAndThen(t *testing.T) {
	var secrets Secrets
	began := time.Now()
	looks := 0
	for at := time.Duration(0); at < time.Second; at += time.Millisecond {
		if secrets.due(began.Add(at)) {
			looks++
		}
	}
	if looks != int(time.Second/lookInterval) {
		t.Errorf("looked %d times in a second of a thousand requests", looks)
	}
}
