package scenarios

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/aws"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/gitlab"
)

// Every scenario uses TLS with a private CA that the engine trusts by its certs.d: for both registries, the bucket, GitLab's
// token service on a host of its own, and object storage for GitLab's blobs. This test checks that it is so, and that an
// engine rejects a registry that it does not trust. Neither engine has been seen to ask for HTTP/2; the program does.
func TestMigratesOverTLS(t *testing.T) {
	t.Parallel()
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			var amazon, target protocols
			s := startScene(t, kind, world.Options{AWS: aws.Options{Wrap: amazon.wrap}, GitLab: gitlab.Options{Wrap: target.wrap}})
			shapes := s.fillWith(t, usualShapes...)
			outcome := s.run(t)
			expectExit(t, outcome, 0)
			s.expectArrived(t, outcome.Stdout, shapes...)
			expectNothingLeft(t, s.Engine)
			expectRequests(t, "the bucket", s.AWS.BucketRequests())
			expectRequests(t, "the object storage", s.GitLab.StorageRequests())
			expectRequests(t, "AWS over HTTP/2", int(amazon.http2.Load()))
			for _, p := range []*protocols{&amazon, &target} {
				expectRequests(t, "a server over TLS", int(p.http1.Load()))
				if n := p.plain.Load(); n > 0 {
					t.Errorf("%d requests over plain HTTP", n)
				}
			}

			stranger, err := world.Start(t.Context(), nil, world.Options{AWS: aws.Options{Addr: s.Engine.HostAddrs[0] + ":0"}})
			if err != nil {
				t.Fatal(err)
			}
			defer stranger.Close() //nolint:errcheck // the test has ended
			said := s.call(t, "POST", "/images/create?fromImage="+stranger.AWS.RegistryHost+"/shapes/docker-manifest:1.0", authn.AuthConfig{}, nil)
			if !strings.Contains(said, "certificate signed by unknown authority") {
				t.Errorf("a registry of another authority: %q", said)
			}
		})
	}
}

// Registries that the engine considers insecure, here because they are on loopback, may use plain HTTP.
func TestMigratesOverPlainHTTP(t *testing.T) {
	t.Parallel()
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			var requests protocols
			s := startSceneOn(t, startEngine(t, kind, engine.Options{}), world.Options{
				Plain: true, AWS: aws.Options{Wrap: requests.wrap}, GitLab: gitlab.Options{Wrap: requests.wrap},
			})
			shapes := s.fillWith(t, usualShapes...)
			outcome := s.run(t)
			expectExit(t, outcome, 0)
			s.expectArrived(t, outcome.Stdout, shapes...)
			expectNothingLeft(t, s.Engine)
			expectRequests(t, "a server over plain HTTP", int(requests.plain.Load()))
		})
	}
}

var usualShapes = []string{"docker-manifest", "oci-manifest", "odd-tags", "twelve-tags", "shared-one", "shared-two", "uncompressed-oci"}

func expectRequests(t *testing.T, to string, n int) {
	t.Helper()
	if n == 0 {
		t.Errorf("no request to %s", to)
	}
}

// protocols counts requests, except the tests' own.
type protocols struct{ plain, http1, http2 atomic.Int64 }

func (p *protocols) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.UserAgent(), "go-containerregistry") {
			p.count(r)
		}
		next.ServeHTTP(w, r)
	})
}

func (p *protocols) count(r *http.Request) {
	switch {
	case r.TLS == nil && r.URL.Path != "/v2/": // the tests' own client does not identify itself there
		p.plain.Add(1)
	case r.TLS == nil:
	case r.ProtoMajor == 2:
		p.http2.Add(1)
	default:
		p.http1.Add(1)
	}
}
