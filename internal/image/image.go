// Package image describes container images as registries hold them: repositories, manifests, platforms, the referrers
// of an image, and the OCI image layout. It does no I/O.
package image

import (
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Repository is a repository of the source registry.
type Repository struct {
	Name string // within the registry: "team/app"
	URI  string // as an engine pulls it: "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app"
}

// Reference returns the digest reference by which an engine pulls a manifest of the repository.
func (r Repository) Reference(m Manifest) string { return r.URI + "@" + m.Digest.String() }

// Image is one digest in a repository, with all of its tags.
type Image struct {
	Repository   Repository
	Digest       digest.Digest
	Tags         []string // sorted; empty for a referrer that is known by its subject only
	MediaType    string   // of the manifest
	ArtifactType string   // the manifest's artifactType or its config's media type, as the registry lists it
	Size         int64    // compressed, in bytes; for an index, the size of its largest child
	PushedAt     time.Time
	Archived     bool          // listed, but cannot be pulled
	Subject      digest.Digest // the manifest that this one refers to (OCI 1.1); empty if there is none
}

// Store is a kind of engine image store. It determines what the engine can carry.
type Store string

// The image stores of Docker Engine.
const (
	ClassicStore    Store = "classic"    // one platform per image; compresses layers again on push
	ContainerdStore Store = "containerd" // any content, unchanged
)

// MaxBlobPull is the size in bytes of the largest blob that an engine with the containerd store pulls by digest. The
// engine resolves the digest as if it were a manifest (containerd, core/remotes/docker/resolver.go, MaxManifestSize).
const MaxBlobPull = 4 * 1048 * 1048

// Resolved is a registry's answer to what a reference stands for.
type Resolved struct {
	Digest    digest.Digest
	Platforms []ocispec.Platform // for a single image, its own platform if its config names one
}

// Short returns the first twelve hexadecimal digits of a digest, the form in which engines name blobs and people compare
// digests, or the empty string for what is not a digest.
func Short(d digest.Digest) string {
	if d.Validate() != nil {
		return ""
	}
	return d.Encoded()[:12]
}

// Local is an image in an engine.
type Local struct {
	ID    digest.Digest // of the config in the classic store, of the manifest or index in the containerd store
	Names []string      // its complete references
}
