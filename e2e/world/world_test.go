package world

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/aws"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/check"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/gitlab"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/secure"
)

// TestTLS copies an image from one registry to the other with a client that trusts the world's authority, over HTTP/2,
// and compares both with the tests' own client, over plain HTTP.
func TestTLS(t *testing.T) {
	var http2, http1 atomic.Int64
	count := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.TLS != nil && r.ProtoMajor == 2:
				http2.Add(1)
			case r.TLS != nil:
				http1.Add(1)
			}
			next.ServeHTTP(w, r)
		})
	}
	w, err := Start(t.Context(), nil, Options{AWS: aws.Options{Wrap: count}, GitLab: gitlab.Options{Wrap: count, StorageAddr: "127.0.0.2:0"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := w.AWS.CreateRepository("app"); err != nil {
		t.Fatal(err)
	}
	image, err := random.Image(1024, 2)
	if err != nil {
		t.Fatal(err)
	}
	repo, owner, err := w.Owner("app")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(repo.Tag("v1"), image, remote.WithAuth(owner)); err != nil {
		t.Fatal(err)
	}

	client := remote.WithTransport(&http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: trusted(t, w.Env())}})
	source, err := name.NewTag(w.AWS.RegistryHost + "/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	pulled, err := remote.Image(source, client, remote.WithAuth(authn.FromConfig(w.AWS.PullAuth())))
	if err != nil {
		t.Fatal(err)
	}
	target, err := name.NewTag(w.GitLab.Image + "/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(target, pulled, client, remote.WithAuth(w.GitLab.Auth())); err != nil {
		t.Fatal(err)
	}
	if http2.Load() == 0 || http1.Load() > 0 || w.AWS.BucketRequests() == 0 {
		t.Errorf("%d requests over HTTP/2, %d over HTTP/1.1, %d to the bucket", http2.Load(), http1.Load(), w.AWS.BucketRequests())
	}
	report, err := check.Same(t.Context(), w.Source("app", ":v1"), w.Target("app", ":v1"))
	if err != nil || len(report.Differences) > 0 {
		t.Errorf("%v, %v", report.Differences, err)
	}
}

// TestAuthority uses the caller's authority, and another one for GitLab.
func TestAuthority(t *testing.T) {
	public, private := newAuthority(t), newAuthority(t)
	w, err := Start(t.Context(), nil, Options{Authority: public, GitLab: gitlab.Options{Secure: private}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	if env := w.Env(); slices.ContainsFunc(env, func(entry string) bool { return strings.HasPrefix(entry, "SSL_CERT_FILE=") }) {
		t.Errorf("the program is told what to trust: %q", env)
	}
	for host, signer := range map[string]*secure.Authority{w.AWS.RegistryHost: public, w.GitLab.Registry: private} {
		for _, authority := range []*secure.Authority{public, private} {
			if trusts, want := handshakes(t, host, authority), authority == signer; trusts != want {
				t.Errorf("%s: a client of this authority trusts it: %t, want %t", host, trusts, want)
			}
		}
	}
}

func newAuthority(t *testing.T) *secure.Authority {
	t.Helper()
	authority, err := secure.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

// handshakes reports whether a client that trusts only this authority accepts the server's certificate.
func handshakes(t *testing.T, host string, authority *secure.Authority) bool {
	t.Helper()
	conn, err := tls.Dial("tcp", host, &tls.Config{RootCAs: authority.Pool()})
	if err == nil {
		return conn.Close() == nil
	}
	var refused *tls.CertificateVerificationError
	if !errors.As(err, &refused) {
		t.Fatal(err)
	}
	return false
}

// trusted returns the certificate pool in the file that the program trusts.
func trusted(t *testing.T, env []string) *x509.CertPool {
	t.Helper()
	const variable = "SSL_CERT_FILE="
	i := slices.IndexFunc(env, func(entry string) bool { return strings.HasPrefix(entry, variable) })
	if i < 0 {
		t.Fatalf("no %s in %q", variable, env)
	}
	file, err := os.ReadFile(strings.TrimPrefix(env[i], variable))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(file) {
		t.Fatalf("no certificate in %s", file)
	}
	return pool
}
