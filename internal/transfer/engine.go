package transfer

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

// Engine is the Docker Engine that carries the images. References are complete: host, path, and tag or digest.
// It does not retry; its errors are in the engine's own words, and one of the causes above where those tell. None of its
// calls lasts for ever: one without progress ends with ErrStalled.
type Engine interface {
	// Pull fetches what a digest reference names: of an index one platform, of a manifest all of it, and on the
	// containerd store a single blob.
	Pull(ctx context.Context, ref string, progress docker.Listener) error
	// PullIndex fetches an index, and of its images the one for the platform: an image of that name, which lacks the others.
	PullIndex(ctx context.Context, ref string, platform ocispec.Platform, progress docker.Listener) error
	// PullContent is Pull for an image whose layers nobody is going to run: it ends when the engine has these layers,
	// without waiting until they are unpacked. The engine keeps them until Sweep, whoever else refers to them.
	PullContent(ctx context.Context, ref string, layers []digest.Digest, progress docker.Listener) error
	// Sweep has the engine drop what it keeps of pulls that were cut off. No pull and no load may be under way.
	Sweep(ctx context.Context) error
	// Load takes an OCI image layout as a tar archive. Blobs that it refers to may be absent from it. One that takes far
	// longer than a few kilobytes should ends with ErrStalled.
	Load(ctx context.Context, archive []byte) error
	// Missing returns the manifests of a local reference that the engine does not hold whole.
	Missing(ctx context.Context, ref string) ([]digest.Digest, error)
	// Platform returns what platform a local single image is for.
	Platform(ctx context.Context, ref string) (ocispec.Platform, error)
	// ImageID returns the digest of the config of a local single image, or an empty digest for anything else.
	ImageID(ctx context.Context, ref string) (digest.Digest, error)
	// Tag names a local image a second time.
	Tag(ctx context.Context, source, target string) error
	// Push sends a local reference, and returns the digest that the engine says it pushed: none when ref is a digest.
	Push(ctx context.Context, ref string, progress docker.Listener) (digest.Digest, error)
	// Resolve asks the registry behind the reference what it stands for.
	Resolve(ctx context.Context, ref string) (image.Resolved, error)
	// Remove takes a local reference away; one that does not exist is no error.
	Remove(ctx context.Context, ref string) error
}

// Source is the registry that is migrated.
type Source interface {
	plan.Source
	// Renew replaces the credentials that the engine is handed for the registry, which has refused them in a call that
	// began at the given time. It reports whether there are fresher ones now: credentials that a refusal has just
	// renewed are not renewed again for the next one.
	Renew(ctx context.Context, began time.Time) (fresh bool, err error)
}
