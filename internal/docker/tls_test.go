package docker

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTLS(t *testing.T) {
	d := &daemon{}
	host, pems := startTLS(t, d)
	dir := t.TempDir()
	writePEMs(t, dir, pems)
	c, err := Connect(t.Context(), Endpoint{Host: host, CertPath: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Client.Close() //nolint:errcheck // it never fails
	body, err := PushDigest(t.Context(), c.Client, c.At, "registry.example.com/app@"+imageHash, "")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close() //nolint:errcheck // nothing is written
	if want := []string{"GET /v1.51/info", "POST /v1.51/images/registry.example.com/app@" + imageHash + "/push"}; !slices.Equal(d.asked, want) {
		t.Errorf("asked %v, want %v", d.asked, want)
	}
}

func TestTLSTrustsItsOwnAuthorityAlone(t *testing.T) {
	d := &daemon{}
	host, pems := startTLS(t, d)
	_, others := startTLS(t, d)
	tests := []struct {
		name string
		pems map[string][]byte
		want string
	}{
		{"another's authority", map[string][]byte{"ca.pem": others["ca.pem"], "cert.pem": pems["cert.pem"], "key.pem": pems["key.pem"]}, "certificate signed by unknown authority"},
		// With TLS 1.3 the engine refuses it after the handshake: a client that is writing sees the connection closed, and not why.
		{"another's certificate", map[string][]byte{"ca.pem": pems["ca.pem"], "cert.pem": others["cert.pem"], "key.pem": others["key.pem"]}, "during connect"},
		{"no certificates", nil, "ca.pem"},
		{"a key still to come", map[string][]byte{"ca.pem": pems["ca.pem"], "cert.pem": pems["cert.pem"], "key.pem": nil}, "key"},
	}
	for _, test := range tests {
		dir := t.TempDir()
		writePEMs(t, dir, test.pems)
		if _, err := Connect(t.Context(), Endpoint{Host: host, CertPath: dir}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", test.name, err, test.want)
		}
	}
	if _, err := Connect(t.Context(), Endpoint{Host: host}); err == nil || !strings.Contains(err.Error(), "HTTPS") {
		t.Errorf("without TLS: got %v", err)
	}
	if len(d.asked) != 0 {
		t.Errorf("asked %+v", d.asked)
	}
}

// startTLS serves over TLS to those with a certificate of its authority, as dind does. It returns the client's files.
func startTLS(t *testing.T, handler http.Handler) (host string, pems map[string][]byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{ // authority, server and client in one
		SerialNumber:          big.NewInt(1),
		NotBefore:             time.Unix(0, 0), // the clock of a synctest bubble starts in 2000
		NotAfter:              time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	authority := x509.NewCertPool()
	authority.AppendCertsFromPEM(certPEM)

	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: authority, ClientAuth: tls.RequireAndVerifyClientCert}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshakes that fail on purpose
	server.StartTLS()
	t.Cleanup(server.Close)
	return "tcp://" + server.Listener.Addr().String(), map[string][]byte{"ca.pem": certPEM, "cert.pem": certPEM, "key.pem": keyPEM}
}

func writePEMs(t *testing.T, dir string, pems map[string][]byte) {
	t.Helper()
	for name, content := range pems {
		writeFile(t, filepath.Join(dir, name), content)
	}
}
