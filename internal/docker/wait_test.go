package docker

import (
	"context"
	"encoding/json"
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

// TestWaitSeesNewCertificates has dind write its certificates after the first try.
func TestWaitSeesNewCertificates(t *testing.T) {
	dir := t.TempDir()
	d := &daemon{}
	host, pems := startTLS(t, d)
	synctest.Test(t, func(t *testing.T) {
		settings := Settings{Host: host, TLSCertDir: dir}
		c, err := settings.Wait(t.Context(), time.Minute, func(string) { writePEMs(t, filepath.Join(dir, "client"), pems) })
		if err != nil {
			t.Fatal(err)
		}
		defer c.Client.Close() //nolint:errcheck // it never fails
		if c.At.CertPath != filepath.Join(dir, "client") {
			t.Errorf("connected with %+v", c.At)
		}
	})
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
