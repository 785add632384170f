package docker

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/docker/client"
)

// Endpoint is an engine's address and the directory with its client certificates, which is empty without TLS. With TLS,
// the engine's certificate is always verified.
type Endpoint struct {
	Host     string
	CertPath string
}

// Settings are the variables of the docker CLI and of dind that say where the engine is.
type Settings struct {
	Host       string // DOCKER_HOST
	TLSVerify  string // DOCKER_TLS_VERIFY
	CertPath   string // DOCKER_CERT_PATH
	TLSCertDir string // DOCKER_TLS_CERTDIR
	Home       string // HOME
}

const (
	defaultSocket = "/var/run/docker.sock"
	plainDind     = "tcp://docker:2375"
	tlsDind       = "tcp://docker:2376"
)

// Endpoint follows the docker CLI's variables and, where they are not set, the entrypoint of the official docker image: it
// prefers the socket to the service named docker, and uses TLS if dind has written certificates.
func (s Settings) Endpoint(socket string) Endpoint {
	certs := filepath.Join(s.TLSCertDir, "client")
	haveCerts := s.TLSCertDir != "" && filesExist(certs, "ca.pem", "cert.pem", "key.pem")
	verify := s.TLSVerify != ""

	host := s.Host
	switch {
	case host != "":
	case filesExist("/", socket):
		host = "unix://" + socket
	case haveCerts || verify:
		host = tlsDind
	default:
		host = plainDind
	}

	e := Endpoint{Host: host, CertPath: s.CertPath}
	switch {
	case e.CertPath != "" || !strings.HasPrefix(host, "tcp:"):
	case haveCerts:
		e.CertPath = certs
	case verify: // never without TLS: this connection carries credentials
		e.CertPath = filepath.Join(s.Home, ".docker")
	}
	return e
}

func filesExist(dir string, names ...string) bool {
	for _, name := range names {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.IsDir() {
			return false
		}
	}
	return true
}

// dial returns a client for the endpoint, which negotiates the API version with its first request.
func dial(at Endpoint) (*client.Client, error) {
	options := []client.Opt{client.WithAPIVersionNegotiation()}
	if at.usesTLS() {
		options = append(options, client.WithTLSClientConfig(at.pem("ca"), at.pem("cert"), at.pem("key")))
	}
	return client.NewClientWithOpts(append(options, client.WithHost(at.Host), withoutProxy)...)
}

// withoutProxy makes the client ignore HTTP_PROXY and HTTPS_PROXY. A proxy that a job needs for AWS cannot reach the job's
// services.
func withoutProxy(c *client.Client) error {
	transport, ok := c.HTTPClient().Transport.(*http.Transport)
	if !ok {
		return fmt.Errorf("the docker client has an unexpected transport: %T", c.HTTPClient().Transport)
	}
	transport.Proxy = nil
	return nil
}

func (at Endpoint) usesTLS() bool { return strings.HasPrefix(at.Host, "tcp:") && at.CertPath != "" }

func (at Endpoint) pem(name string) string { return filepath.Join(at.CertPath, name+".pem") }
