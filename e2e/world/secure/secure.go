// Package secure gives the servers of a test environment TLS, and with it HTTP/2.
package secure

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"strings"
	"time"
)

// Authority is a certificate authority for one test environment. A nil Authority means plain HTTP.
type Authority struct {
	PEM []byte // its certificate, for clients that should trust it

	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority creates an authority that no client trusts yet.
func NewAuthority() (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "the world's own authority"}, SerialNumber: big.NewInt(1),
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return &Authority{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), certificate, key}, err
}

// Scheme returns the scheme of the servers' URLs.
func (a *Authority) Scheme() string {
	if a == nil {
		return "http"
	}
	return "https"
}

// Listen returns a listener that serves TLS with a certificate for its address and the names. It accepts plain HTTP as
// well, for Guard to answer.
func (a *Authority) Listen(inner net.Listener, names ...string) (net.Listener, error) {
	if a == nil {
		return inner, nil
	}
	host, _, err := net.SplitHostPort(inner.Addr().String())
	if err != nil {
		return nil, err
	}
	certificate, err := a.issue(net.ParseIP(host), names)
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", host, err)
	}
	l := &listener{
		Listener: inner, conns: make(chan net.Conn), closed: make(chan struct{}), silent: map[net.Conn]bool{},
		config: &tls.Config{
			Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2", "http/1.1"},
			// Engines open a connection for almost every request. Without ML-KEM, a handshake takes two thirds of the time.
			CurvePreferences: []tls.CurveID{tls.X25519},
		},
	}
	go l.accept()
	return l, nil
}

func (a *Authority) issue(ip net.IP, names []string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: ip.String()}, SerialNumber: big.NewInt(time.Now().UnixNano()),
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 1, 0),
		IPAddresses: []net.IP{ip}, DNSNames: names,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// Guard rejects plain HTTP as net/http's servers do, except from the tests' own client, which only compares what has
// arrived. That client is given plain URLs in return.
func (a *Authority) Guard(next http.Handler) http.Handler {
	if a == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.TLS != nil:
			next.ServeHTTP(w, r)
		case testClient(r):
			next.ServeHTTP(&plainWriter{w, r.Host}, r)
		default:
			http.Error(w, "Client sent an HTTP request to an HTTPS server.", http.StatusBadRequest)
		}
	})
}

// testClient recognizes go-containerregistry, which does not identify itself in its first ping.
func testClient(r *http.Request) bool {
	agent := r.UserAgent()
	return strings.HasPrefix(agent, "go-containerregistry") || strings.HasPrefix(agent, "Go-http-client") && r.URL.Path == "/v2/"
}

// plainWriter rewrites challenges so that they point to the server itself, without TLS.
type plainWriter struct {
	http.ResponseWriter
	host string
}

// Unwrap gives http.ResponseController the connection behind it.
func (w *plainWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *plainWriter) WriteHeader(status int) {
	const name = "Www-Authenticate"
	if before, realm, ok := strings.Cut(w.Header().Get(name), `realm="https://`); ok {
		_, path, _ := strings.Cut(realm, "/")
		w.Header().Set(name, before+`realm="http://`+w.host+"/"+path)
	}
	w.ResponseWriter.WriteHeader(status)
}

// Pool returns a pool that trusts this authority only.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(bytes.Clone(a.PEM))
	return pool
}
