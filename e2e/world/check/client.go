package check

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// accept lists all manifest media types; a registry may reject those that a client does not list.
var accept = strings.Join([]string{
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.oci.image.index.v1+json",
	"application/vnd.docker.distribution.manifest.v2+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
	"*/*",
}, ", ")

// errAbsent is a registry's 404.
var errAbsent = errors.New("not found")

// repository reads one repository without validating the content, which is up to the caller.
type repository struct {
	name   name.Repository
	client *http.Client
}

// open logs in to the repository of ref, and returns it with ref's tag or digest.
func open(ctx context.Context, ref Ref) (*repository, string, error) {
	parsed, err := ref.parse()
	if err != nil {
		return nil, "", err
	}
	repo := parsed.Context()
	scopes := []string{repo.Scope(transport.PullScope)}
	rt, err := transport.NewWithContext(ctx, repo.Registry, ref.auth(), remote.DefaultTransport, scopes)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", repo, err)
	}
	return &repository{repo, &http.Client{Transport: rt}}, parsed.Identifier(), nil
}

func (ref Ref) parse() (name.Reference, error) {
	return name.ParseReference(ref.Name, name.Insecure)
}

func (ref Ref) auth() authn.Authenticator {
	if ref.Auth == nil {
		return authn.Anonymous
	}
	return ref.Auth
}

// manifest returns the raw manifest of a tag or digest, and its media type.
func (r *repository) manifest(ctx context.Context, reference string) ([]byte, string, error) {
	resp, err := r.get(ctx, "manifests", reference)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	raw, err := io.ReadAll(resp.Body)
	return raw, resp.Header.Get("Content-Type"), err
}

// blob reads a whole blob and returns its digest and size in bytes.
func (r *repository) blob(ctx context.Context, digest string) (string, int64, error) {
	resp, err := r.get(ctx, "blobs", digest)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	return sum(resp.Body)
}

// get requests /v2/<name>/<kind>/<reference>. The error is errAbsent if it does not exist.
func (r *repository) get(ctx context.Context, kind, reference string) (*http.Response, error) {
	url := fmt.Sprintf("%s://%s/v2/%s/%s/%s", r.name.Scheme(), r.name.RegistryStr(), r.name.RepositoryStr(), kind, reference)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept)
	// The bytes as stored, without any compression by a proxy.
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	if err := transport.CheckError(resp, http.StatusOK); err != nil {
		resp.Body.Close() //nolint:errcheck // only read
		if resp.StatusCode == http.StatusNotFound {
			return nil, fmt.Errorf("%s: %w", url, errAbsent)
		}
		return nil, err
	}
	return resp, nil
}

func sum(r io.Reader) (string, int64, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	return digestOf(h), n, err
}

func digestOf(h hash.Hash) string { return "sha256:" + hex.EncodeToString(h.Sum(nil)) }
