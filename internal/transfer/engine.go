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

// Engine is the Docker Engine that pulls and pushes the images. References are complete: host, path, and tag or digest. Its
// calls do not retry. Their errors have the engine's own words, and wrap one of the causes in package docker if the cause is
// known. A call without progress ends with docker.ErrStalled.
type Engine interface {
	plan.Resolver
	Puller
	Loader
	Inspector
	Lister
	Pusher
	Remover
}

// Puller pulls from a registry.
type Puller interface {
	// Pull pulls what a digest reference names: one platform of an index, all of a manifest, or, on the containerd store, a
	// single blob.
	Pull(ctx context.Context, ref string, progress docker.Listener) error
	// PullIndex pulls an index for one platform. The local image is incomplete unless the other platforms are there.
	PullIndex(ctx context.Context, ref string, platform ocispec.Platform, progress docker.Listener) error
	// PullContent pulls an image without unpacking more of it than the cut says. Once the engine has the layers, it succeeds.
	// The engine keeps them until Sweep, even if no reference holds them.
	PullContent(ctx context.Context, ref string, cut docker.Cut, progress docker.Listener) error
}

// Loader creates and names images in the engine.
type Loader interface {
	// Load loads an OCI image layout from a tar archive, which need not have the blobs that its manifests list. A load
	// that takes far too long for a few kilobytes ends with docker.ErrStalled.
	Load(ctx context.Context, archive []byte) error
	// Tag gives a local image another name.
	Tag(ctx context.Context, source, target string) error
}

// Inspector describes local images.
type Inspector interface {
	// Missing returns the manifests below a local reference that the engine does not hold completely.
	Missing(ctx context.Context, ref string) ([]digest.Digest, error)
	// Platform returns the platform of a local single image.
	Platform(ctx context.Context, ref string) (ocispec.Platform, error)
	// ImageID returns the digest of the config of a local single image, or an empty digest for anything else.
	ImageID(ctx context.Context, ref string) (digest.Digest, error)
}

// Lister lists the engine's images.
type Lister interface {
	// Local lists the local images, including those without a name.
	Local(ctx context.Context) ([]image.Local, error)
	// Find returns the local image that a reference or an image ID stands for. If there is none, the error is
	// docker.ErrNotFound.
	Find(ctx context.Context, ref string) (image.Local, error)
}

// Pusher pushes to a registry.
type Pusher interface {
	// Push pushes a local reference. It returns the digest that the engine reports, which it does not for a digest reference.
	Push(ctx context.Context, ref string, progress docker.Listener) (digest.Digest, error)
}

// Remover removes content from the engine.
type Remover interface {
	// Remove removes a local reference, or an image by its ID. An unknown one is not an error.
	Remove(ctx context.Context, ref string) error
	// Sweep drops the content of interrupted pulls. No pull and no load may be under way.
	Sweep(ctx context.Context) error
}

// Source is the registry that is migrated.
type Source interface {
	plan.Source
	// Renew gets new credentials for the registry, which refused the current ones in a call that began at the given time.
	// It reports whether there are newer ones now: calls that fail together renew the credentials once.
	Renew(ctx context.Context, began time.Time) (fresh bool, err error)
}
