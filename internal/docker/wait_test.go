package docker

import (
	"context"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types/system"
)

// daemon answers as an engine that says what it is, and records what it is asked but for pings.
type daemon struct {
	info system.Info

	mu    sync.Mutex
	asked []string
}

func (d *daemon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/_ping" {
		w.Header().Set("Api-Version", "1.51")
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, r.Method+" "+r.URL.Path)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(d.info)
}

// TestWait has the engine come up after the first try. Its clock stands still but for the pauses.
func TestWait(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "docker.sock")
	start, up := make(chan struct{}), make(chan struct{})
	go func() { // outside the bubble: a server is never done waiting
		defer close(up)
		<-start
		listener, err := net.Listen("unix", socket)
		if err != nil {
			t.Error(err)
			return
		}
		server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: &daemon{info: system.Info{ServerVersion: "29.0.0"}}}}
		server.Start()
		t.Cleanup(server.Close)
	}()
	synctest.Test(t, func(t *testing.T) {
		var said []string
		began := time.Now()
		c, err := Settings{Host: "unix://" + socket}.Wait(t.Context(), time.Minute, func(host string) {
			said = append(said, host)
			close(start)
			<-up
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Client.Close() //nolint:errcheck // it never fails
		if waited := time.Since(began); waited != time.Second || !slices.Equal(said, []string{"unix://" + socket}) {
			t.Errorf("waited for %s, and said so for %v", waited, said)
		}
		if c.Info.ServerVersion != "29.0.0" || c.At.Host != "unix://"+socket {
			t.Errorf("got version %s at %s", c.Info.ServerVersion, c.At.Host)
		}
	})
}

// TestWaitForSlowEngine has an engine that pauses before it listens, as dind does for 15 s without certificates.
func TestWaitForSlowEngine(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "docker.sock")
	start, up := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(up)
		<-start
		listener, err := net.Listen("unix", socket)
		if err != nil {
			t.Error(err)
			return
		}
		server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: &daemon{}}}
		server.Start()
		t.Cleanup(server.Close)
	}()
	synctest.Test(t, func(t *testing.T) {
		said, began := 0, time.Now()
		time.AfterFunc(15*time.Second, func() { close(start); <-up })
		c, err := Settings{Host: "unix://" + socket}.Wait(t.Context(), time.Minute, func(string) { said++ })
		if err != nil {
			t.Fatal(err)
		}
		defer c.Client.Close() //nolint:errcheck // it never fails
		if waited := time.Since(began); waited < 15*time.Second || waited > 16*time.Second || said != 1 {
			t.Errorf("waited for %s, and said so %d times", waited, said)
		}
	})
}

// TestWaitForCertificates has dind write its certificates while we wait: one file after the other, the key in two
// parts, or over those of an engine before it.
func TestWaitForCertificates(t *testing.T) {
	d := &daemon{}
	host, pems := startTLS(t, d)
	_, others := startTLS(t, &daemon{})
	without := func(name string, content []byte) map[string][]byte {
		some := maps.Clone(pems)
		some[name] = content
		if content == nil {
			delete(some, name)
		}
		return some
	}
	for name, first := range map[string]map[string][]byte{
		"none yet":           {},
		"no key yet":         without("key.pem", nil),
		"an empty key":       without("key.pem", []byte{}),
		"half of the key":    without("key.pem", pems["key.pem"][:len(pems["key.pem"])/2]),
		"an older authority": others,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writePEMs(t, filepath.Join(dir, "client"), first)
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				c, err := Settings{Host: host, TLSCertDir: dir}.Wait(t.Context(), time.Minute, func(string) { writePEMs(t, filepath.Join(dir, "client"), pems) })
				if err != nil {
					t.Fatal(err)
				}
				defer c.Client.Close() //nolint:errcheck // it never fails
				if waited := time.Since(began); waited != time.Second || c.At.CertPath != filepath.Join(dir, "client") {
					t.Errorf("connected after %s with %+v", waited, c.At)
				}
			})
		})
	}
}

// TestEitherCertDir has both values of DOCKER_TLS_CERTDIR that GitLab documents, on both sides alike.
func TestEitherCertDir(t *testing.T) {
	secure, pems := startTLS(t, &daemon{})
	dir := t.TempDir()
	writePEMs(t, filepath.Join(dir, "client"), pems)
	plain := httptest.NewServer(&daemon{})
	defer plain.Close()
	for _, settings := range []Settings{
		{Host: secure, TLSCertDir: dir},
		{Host: "tcp://" + plain.Listener.Addr().String(), TLSCertDir: ""},
	} {
		c, err := settings.Wait(t.Context(), time.Minute, func(string) { t.Error("waits") })
		if err != nil {
			t.Fatal(err)
		}
		if c.At.usesTLS() != (settings.TLSCertDir != "") {
			t.Errorf("%+v is reached with %+v", settings, c.At)
		}
		_ = c.Client.Close()
	}
}

func TestWaitSaysNothingOfOneThatIsUp(t *testing.T) {
	server := httptest.NewServer(&daemon{})
	defer server.Close()
	host := "tcp://" + server.Listener.Addr().String()
	c, err := Settings{Host: host}.Wait(t.Context(), time.Minute, func(string) { t.Error("waits") })
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Client.Close()
}

// nobody is where no engine answers.
const nobody = "tcp://127.0.0.1:1"

func TestWaitGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said, began := 0, time.Now()
		_, err := Settings{Host: nobody}.Wait(t.Context(), time.Minute, func(string) { said++ })
		if waited := time.Since(began); waited != time.Minute || said != 1 {
			t.Errorf("waited for %s, and said so %d times", waited, said)
		}
		assertFailure(t, err, "no Docker Engine answers at tcp://127.0.0.1:1 (tried for 1m0s): Cannot connect to the Docker daemon", "")
		for _, cause := range []string{"docker:29-dind", "DOCKER_HOST", "DOCKER_TLS_CERTDIR", "privileged = true"} {
			if !strings.Contains(err.Error(), cause) {
				t.Errorf("%s is not in\n%v", cause, err)
			}
		}
	})
}

func TestWaitEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		_, err := Settings{Host: nobody}.Wait(ctx, time.Minute, func(string) { cancel() })
		if err == nil || time.Since(began) > time.Second {
			t.Errorf("waited for %s, got %v", time.Since(began), err)
		}
	})
}
