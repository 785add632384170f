package corpus

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// pusher uploads to one repository, each blob once.
type pusher struct {
	repo   name.Repository
	remote *remote.Pusher
}

func newPusher(repo name.Repository, auth authn.Authenticator, options ...remote.Option) (pusher, error) {
	if auth == nil {
		auth = authn.Anonymous
	}
	options = append(options, remote.WithAuth(auth), remote.WithTransport(referrersAPI{remote.DefaultTransport}))
	p, err := remote.NewPusher(options...)
	return pusher{repo, p}, err
}

// push uploads object and everything that it refers to, under each tag, or by digest if there are no tags.
func (p pusher) push(ctx context.Context, object Object, tags []string) error {
	refs := make([]name.Reference, 0, len(tags)+1)
	for _, tag := range tags {
		refs = append(refs, p.repo.Tag(tag))
	}
	if len(tags) == 0 {
		digest, err := object.Digest()
		if err != nil {
			return err
		}
		refs = append(refs, p.repo.Digest(digest.String()))
	}
	for _, ref := range refs {
		if err := p.remote.Push(ctx, ref, object); err != nil {
			return fmt.Errorf("push %s: %w", ref, err)
		}
	}
	return nil
}

// referrersAPI tells the client that the registry itself maintains the list of referrers, as ECR does. Otherwise the
// client would add an index under a sha256-… tag, which ECR does not have.
type referrersAPI struct{ http.RoundTripper }

func (t referrersAPI) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/referrers/") {
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}, nil
	}
	return t.RoundTripper.RoundTrip(req)
}
