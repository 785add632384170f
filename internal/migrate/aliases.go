package migrate

import "gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"

type (
	Repository = image.Repository // an alias
	Image      = image.Image      // an alias
	Manifest   = image.Manifest   // an alias
	Tree       = image.Tree       // an alias
	Store      = image.Store      // an alias
	Resolved   = image.Resolved   // an alias
)

// Aliases of what the package image declares.
const (
	ClassicStore    = image.ClassicStore
	ContainerdStore = image.ContainerdStore
)

// Aliases of what the package image declares.
var (
	NewTree       = image.NewTree
	ParseManifest = image.ParseManifest
)
