package scenarios

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/aws"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/gitlab"
)

// All of it over TLS and, where the engine speaks it, HTTP/2: two registries with a private authority, which the engine
// trusts by its certs.d, the bucket, GitLab's token service on a host of its own, and its blobs in object storage.
func TestMigratesOverTLS(t *testing.T) {
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			e := ownEngine(t, kind, engine.Options{Bridge: true, Verify: true})
			amazon, target := e.HostAddrs[0]+":0", e.HostAddrs[1]+":0"
			w, err := world.Start(t.Context(), e, world.Options{
				TLS:    true,
				AWS:    aws.Options{Addr: amazon, BucketAddr: amazon},
				GitLab: gitlab.Options{Addr: target, TokenAddr: amazon, StorageAddr: target},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close() //nolint:errcheck // nothing is to be learned from it
			s := &scene{World: w}
			shapes := s.fillWith(t, usualTLS...)
			outcome := run(t, w.Env())
			expectExit(t, outcome, 0)
			s.expectArrived(t, outcome.Stdout, shapes...)
			expectNothingLeft(t, e)

			again := run(t, w.Env())
			expectExit(t, again, 0)
			expectOutput(t, again.Stdout, "present")

			// The one that it does not trust is refused, so that the others were not taken unseen.
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
