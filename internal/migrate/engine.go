package migrate

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Causes that an Engine tells apart, for errors.Is.
var (
	// ErrNotFound: the reference does not exist, at the registry or in the engine.
	ErrNotFound = errors.New("not found")
	// ErrDenied: the registry refuses the credentials, or what they ask for.
	ErrDenied = errors.New("denied")
	// ErrUnauthenticated is an ErrDenied: the registry has seen no valid token, which a token service in trouble brings
	// about as well as the token's end.
	ErrUnauthenticated = fmt.Errorf("%w: authentication required", ErrDenied)
	// ErrNoSpace: the engine's disk is full.
	ErrNoSpace = errors.New("no space left on the engine's disk")
	// ErrInvalid: the registry or the engine does not take what it is given.
	ErrInvalid = errors.New("invalid")
	// ErrNotUnpacked: the engine has all of what it pulled, and cannot unpack it.
	ErrNotUnpacked = errors.New("not unpacked")
	// ErrThrottled: the registry wants fewer requests.
	ErrThrottled = errors.New("throttled")
	// ErrUnavailable: the registry has trouble of its own, or the connection to it.
	ErrUnavailable = errors.New("unavailable")
	// ErrBrokenOff: the engine's answer ended early.
	ErrBrokenOff = errors.New("broken off")
	// ErrStalled: nothing has moved for too long.
	ErrStalled = errors.New("no progress")
	// ErrEngineGone: the engine does not answer.
	ErrEngineGone = errors.New("the engine is gone")
)

// Engine is the Docker Engine that carries the images. References are complete: host, path, and tag or digest.
// It does not retry; its errors are in the engine's own words, and one of the causes above where those tell. None of its
// calls lasts for ever: one without progress ends with ErrStalled.
type Engine interface {
	// Pull fetches what a digest reference names: of an index one platform, of a manifest all of it, and on the
	// containerd store a single blob.
	Pull(ctx context.Context, ref string) error
	// PullContent is Pull for an image whose layers nobody is going to run: it ends when the engine has these layers,
	// without waiting until they are unpacked. The engine keeps them until Sweep, whoever else refers to them.
	PullContent(ctx context.Context, ref string, layers []digest.Digest) error
	// Sweep has the engine drop what it keeps of pulls that were cut off. No pull and no load may be under way.
	Sweep(ctx context.Context) error
	// Load takes an OCI image layout as a tar archive. Blobs that it refers to may be absent from it.
	Load(ctx context.Context, archive []byte) error
	// Missing returns the manifests of a local reference that the engine does not hold whole.
	Missing(ctx context.Context, ref string) ([]digest.Digest, error)
	// Platform returns what platform a local single image is for.
	Platform(ctx context.Context, ref string) (ocispec.Platform, error)
	// Tag names a local image a second time.
	Tag(ctx context.Context, source, target string) error
	// Push sends a local reference, and returns the digest that the engine says it pushed: none when ref is a digest.
	Push(ctx context.Context, ref string) (digest.Digest, error)
	// Resolve asks the registry behind the reference what it stands for.
	Resolve(ctx context.Context, ref string) (Resolved, error)
	// Remove takes a local reference away; one that does not exist is no error.
	Remove(ctx context.Context, ref string) error
}
