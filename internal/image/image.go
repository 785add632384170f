package image

import (
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Reference is how an engine pulls one of the repository's manifests.
func (r Repository) Reference(m Manifest) string { return r.URI + "@" + m.Digest.String() }

// MaxBlobPull is the largest blob that an engine with the containerd store pulls by its own digest, in bytes: what it
// resolves it takes for a manifest (containerd, core/remotes/docker/resolver.go, MaxManifestSize).
const MaxBlobPull = 4 * 1048 * 1048

// Store is the kind of image store that an engine keeps its images in. It decides what the engine can carry.
type Store string

// The two stores there are.
const (
	ClassicStore    Store = "classic"    // one platform an image; layers are compressed again on push
	ContainerdStore Store = "containerd" // everything, unchanged
)

// Resolved is what a registry answers for a reference.
type Resolved struct {
	Digest    digest.Digest
	Platforms []ocispec.Platform // of a single image: its own, where its config tells
}

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
