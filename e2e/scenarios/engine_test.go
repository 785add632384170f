package scenarios

import (
	"bytes"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/proxy"
)

// Without an engine, the program gives up after a minute, and reports what it tried and the usual causes.
func TestNoEngine(t *testing.T) {
	t.Parallel() // it only waits
	w, err := world.Start(t.Context(), nil, world.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close() //nolint:errcheck // nothing was pushed
	host := "unix://" + filepath.Join(t.TempDir(), "docker.sock")
	outcome := run(t, append(w.Env(), "DOCKER_HOST="+host))
	expectExit(t, outcome, 1)
	expectOutput(t, outcome.Stdout, "waiting for it at "+host+", for up to 1m0s")
	expectOutput(t, outcome.Stderr, "no Docker Engine answers at "+host, "services: [docker:29-dind]", "DOCKER_TLS_CERTDIR", "privileged = true")
	if outcome.Took.Minutes() > 1.5 {
		t.Errorf("it took %s", outcome.Took)
	}
}

// The program waits for an engine that starts late. It is on TCP, like a job's service.
func TestEngineComesUpLate(t *testing.T) {
	t.Parallel()
	s := startScene(t, engine.Containerd, world.Options{})
	shapes := s.fillWith(t, "docker-manifest", "oci-index")
	address := startProxy(t, proxy.Options{Engine: s.Engine.Host, Listen: "tcp://127.0.0.1:0"})
	if err := address.Close(); err != nil { // nothing listens there now
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	late := proxy.Options{Engine: s.Engine.Host, Listen: address.Host}
	watch := &lineWatch{written: &stdout, wanted: "waiting for it", then: func() { startProxy(t, late) }}
	if err := program.Stream(t.Context(), watch, &stderr, append(s.Env(), "DOCKER_HOST="+address.Host)); err != nil {
		t.Fatalf("%v\n%s\n%s", err, stdout.String(), stderr.String())
	}
	expectOutput(t, stdout.String(), "Engine: waiting for it at "+address.Host, "Engine: Docker "+s.Engine.Version)
	s.expectArrived(t, stdout.String(), shapes...)
	s.expectNoSecrets(t, world.Outcome{Stdout: stdout.String(), Stderr: stderr.String()})
}

// lineWatch calls then once, when the program has printed the line.
type lineWatch struct {
	written *bytes.Buffer
	wanted  string
	then    func()
	once    sync.Once
}

func (w *lineWatch) Write(data []byte) (int, error) {
	n, err := w.written.Write(data)
	if strings.Contains(w.written.String(), w.wanted) {
		w.once.Do(w.then)
	}
	return n, err
}
