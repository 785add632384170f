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

// Everything uses TLS: both registries with a private CA that the engine trusts by its certs.d, the bucket, GitLab's token
// service on a host of its own, and object storage for GitLab's blobs. Neither engine has been seen to ask for HTTP/2 here.
func TestMigratesOverTLS(t *testing.T) {
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			e := ownEngine(t, kind, engine.Options{Bridge: true, Verify: true})
			amazon, target := e.HostAddrs[0]+":0", e.HostAddrs[1]+":0"
			var requests protocols
			w, err := world.Start(t.Context(), e, world.Options{
				TLS:    true,
				AWS:    aws.Options{Addr: amazon, BucketAddr: amazon, Wrap: requests.wrap},
				GitLab: gitlab.Options{Addr: target, TokenAddr: amazon, StorageAddr: target, Wrap: requests.wrap},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close() //nolint:errcheck // the test has ended
			s := &scene{World: w}
			shapes := s.fillWith(t, usualTLS...)
			outcome := run(t, w.Env())
			expectExit(t, outcome, 0)
			s.expectArrived(t, outcome.Stdout, shapes...)
			expectNothingLeft(t, e)

			again := run(t, w.Env())
			expectExit(t, again, 0)
			if kind == engine.Containerd { // the classic store changes digests, and there is no report.json to go by
				expectOutput(t, again.Stdout, "present")
			}

			if n := w.AWS.BucketRequests(); n == 0 {
				t.Error("nothing was read from the bucket")
			}
			if n := w.GitLab.StorageRequests(); n == 0 {
				t.Error("the object storage was asked for nothing")
			}
			t.Logf("%d requests over HTTP/2, %d over HTTP/1.1", requests.http2.Load(), requests.http1.Load())

			// A registry that the engine does not trust is rejected, so certificates are verified.
			stranger, err := world.Start(t.Context(), nil, world.Options{TLS: true, AWS: aws.Options{Addr: amazon}})
			if err != nil {
				t.Fatal(err)
			}
			defer stranger.Close() //nolint:errcheck // likewise
			said := s.call(t, "POST", "/images/create?fromImage="+stranger.AWS.RegistryHost+"/shapes/docker-manifest:1.0", authn.AuthConfig{}, nil)
			if !strings.Contains(said, "certificate signed by unknown authority") {
				t.Errorf("a registry of another authority: %q", said)
			}
		})
	}
}

var usualTLS = []string{"docker-manifest", "oci-manifest", "odd-tags", "twelve-tags", "shared-one", "shared-two", "uncompressed-oci"}

// protocols counts the requests over TLS.
type protocols struct{ http1, http2 atomic.Int64 }

func (p *protocols) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.TLS == nil: // the tests' own
		case r.ProtoMajor == 2:
			p.http2.Add(1)
		default:
			p.http1.Add(1)
		}
		next.ServeHTTP(w, r)
	})
}
