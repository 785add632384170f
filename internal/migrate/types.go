// Package migrate holds the decisions of a migration: what is copied, in which order, and what counts as done.
// It knows no AWS and no Docker: it owns the small interfaces that the two edges satisfy, and emits events.
package migrate

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Repository is one repository of the source registry.
type Repository struct {
	Name string // within the registry: "team/app"
	URI  string // as an engine pulls it: "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app"
}

// Image is one digest of a repository with all the tags that name it.
type Image struct {
	Repository   Repository
	Digest       digest.Digest
	Tags         []string // sorted; none for a referrer that is reached through its subject alone
	MediaType    string   // of the manifest
	ArtifactType string   // the config's media type or the manifest's artifactType, as the registry lists it
	Size         int64    // bytes, compressed; for an index the size of its largest child
	PushedAt     time.Time
	Archived     bool          // listed, but cannot be pulled
	Subject      digest.Digest // the image that this one refers to (OCI 1.1), else empty
}

// Manifest is an image manifest or an index, as the source registry holds it.
type Manifest struct {
	ocispec.Descriptor // MediaType, Digest and Size of the manifest itself
	Raw                []byte
	Config             ocispec.Descriptor   // empty for an index
	Layers             []ocispec.Descriptor // none for an index
	Children           []ocispec.Descriptor // of an index, in its order
	Subject            digest.Digest        // empty where there is none
}

// Source is the registry that is migrated.
type Source interface {
	// Repositories returns all of the registry's repositories, in the registry's order.
	Repositories(ctx context.Context) ([]Repository, error)
	// Images returns the repository's tagged images and its referrers.
	Images(ctx context.Context, repository Repository) ([]Image, error)
	// Manifests returns the manifests of one repository by digest. One that cannot be had is missing from the
	// map, and the error (possibly joined) says why; what could be had is returned all the same.
	Manifests(ctx context.Context, repository Repository, digests []digest.Digest) (map[digest.Digest]Manifest, error)
	// Renew replaces the credentials that the engine is handed for the registry, which has refused them.
	Renew(ctx context.Context) error
}
