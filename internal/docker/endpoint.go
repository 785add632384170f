package docker

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/docker/client"
)

// Endpoint is an address of an engine and the certificates to reach it with; CertPath is empty without TLS. With it
// the engine's certificate is always verified.
type Endpoint struct {
	Host     string
	CertPath string
}

// Settings are the docker CLI's variables, and dind's.
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

// Endpoint does what the docker CLI does with its variables, and with none of them what the official docker
// image's entrypoint does: the socket, else the service named docker, with TLS where dind has left certificates.
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
	case verify: // never plain: what goes over this connection are credentials
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

// dial makes a client for the endpoint. The API version is negotiated with the first request.
func dial(at Endpoint) (*client.Client, error) {
	options := []client.Opt{client.WithAPIVersionNegotiation()}
	if at.usesTLS() {
		options = append(options, client.WithTLSClientConfig(at.pem("ca"), at.pem("cert"), at.pem("key")))
	}
	return client.NewClientWithOpts(append(options, client.WithHost(at.Host), withoutProxy)...)
}

// withoutProxy takes out what the docker client does with HTTP_PROXY and HTTPS_PROXY. A proxy that a job needs for AWS
// does not know the job's services.
func withoutProxy(c *client.Client) error {
	transport, ok := c.HTTPClient().Transport.(*http.Transport)
	if !ok {
		return fmt.Errorf("the docker client has a transport of another type: %T", c.HTTPClient().Transport)
	}
	transport.Proxy = nil
	return nil
}

func (at Endpoint) usesTLS() bool { return strings.HasPrefix(at.Host, "tcp:") && at.CertPath != "" }

func (at Endpoint) pem(name string) string { return filepath.Join(at.CertPath, name+".pem") }
