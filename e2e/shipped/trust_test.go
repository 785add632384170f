package shipped

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/shipped/standin"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/gitlab"
)

// meeting is a world with registries that the engine does not trust by default.
type meeting struct {
	world            *world.World
	trusted          string // the insecure registries in the stand-in's configuration
	insecureRegistry string // set by the user
	ca               string // PEM; empty: none
}

// overPlainHTTP returns a world in which both registries use plain HTTP.
func (s shipping) overPlainHTTP(t *testing.T) meeting {
	t.Helper()
	return meeting{world: s.startWorld(t), insecureRegistry: engine.Subnet.String()}
}

// withPrivateCA returns a world in which GitLab's registry has a certificate of a private CA.
func (s shipping) withPrivateCA(t *testing.T) meeting {
	t.Helper()
	certificate := selfSigned(t, s.engine.HostAddrs[1])
	w := s.startWorldOf(t, world.Options{GitLab: gitlab.Options{Announce: func(registry string) (string, error) {
		return startTLSFront(t, s.engine.HostAddrs[1], certificate, registry)
	}}})
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})
	return meeting{world: w, trusted: s.engine.HostAddrs[0] + "/32", insecureRegistry: "127.0.0.0/8", ca: string(ca)}
}

// caFile writes the file that compose mounts.
func (m meeting) caFile(t *testing.T) string {
	t.Helper()
	if m.ca == "" {
		return ""
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte(m.ca), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// testTrust runs the component with and without the input that makes the engine trust GitLab's registry.
func (s shipping) testTrust(t *testing.T, meet func(*testing.T) meeting, refusal string) {
	m := meet(t)
	shown := include{Component: readIncludes(t, "docs/pipeline.md")[0].Component, Inputs: map[string]any{}}
	run := func() (string, error) {
		p := s.includingProject(t, m.world, shown)
		p.setVariables(t, append(m.world.Env(), standin.InsecureRegistries+"="+m.trusted, "GITLAB_CA="+m.ca))
		return p.tryRun(t, "--variable", newPipeline, "--variable", bulkMigrate)
	}
	if output, err := run(); err == nil || !strings.Contains(output, refusal) {
		t.Errorf("without the input: %v, and not %q:\n%s", err, refusal, output)
	}
	shown.Inputs["insecure_registry"], shown.Inputs["engine_ca"] = m.insecureRegistry, "$GITLAB_CA"
	if output, err := run(); err != nil {
		t.Fatalf("with the input: %v:\n%s", err, output)
	}
	s.compare(t, m.world)
}

// selfSigned returns a self-signed certificate for an address.
func selfSigned(t *testing.T, address string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.ParseIP(address)},
		IsCA: true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{certificate}, PrivateKey: key}
}

// startTLSFront adds TLS in front of a registry and its token service, and returns its address. The port also accepts
// plain HTTP, because the independent client does not trust the CA.
func startTLSFront(t *testing.T, host string, certificate tls.Certificate, registry string) (string, error) {
	t.Helper()
	listener, err := net.Listen("tcp", host+":0")
	if err != nil {
		return "", err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: registry})
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		ModifyResponse: func(response *http.Response) error {
			if challenge := response.Header.Get("WWW-Authenticate"); response.Request.Header.Get("X-Forwarded-Proto") == "https" {
				response.Header.Set("WWW-Authenticate", strings.Replace(challenge, `realm="http:`, `realm="https:`, 1))
			}
			return nil
		},
	}
	server := &http.Server{Handler: proxy, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)} // handshakes fail
	either := listenForEither(listener, &tls.Config{Certificates: []tls.Certificate{certificate}})
	go func() {
		if err := server.Serve(either); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { _ = server.Close() })
	return listener.Addr().String(), nil
}

// eitherListener accepts connections with and without TLS.
type eitherListener struct {
	net.Listener
	accepted chan net.Conn
	failed   chan error
}

func listenForEither(listener net.Listener, config *tls.Config) eitherListener {
	l := eitherListener{listener, make(chan net.Conn), make(chan error, 1)}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				l.failed <- err
				return
			}
			go func() { l.accepted <- detectTLS(conn, config) }()
		}
	}()
	return l
}

func (l eitherListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.accepted:
		return conn, nil
	case err := <-l.failed:
		return nil, err
	}
}

// detectTLS reads the first byte from the client.
func detectTLS(conn net.Conn, config *tls.Config) net.Conn {
	const handshake = 0x16 // the first byte of a TLS connection
	buffered := bufferedConn{conn, bufio.NewReader(conn)}
	if first, err := buffered.reader.Peek(1); err == nil && first[0] == handshake {
		return tls.Server(buffered, config)
	}
	return buffered // the server handles a closed connection
}

type bufferedConn struct {
	net.Conn
	reader *bufio.Reader
}

func (c bufferedConn) Read(p []byte) (int, error) { return c.reader.Read(p) }
