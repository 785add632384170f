package migrate

import "gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"

// Names that moved to the package image. Remove them with the last use.
type (
	Repository = image.Repository
	Image      = image.Image
	Manifest   = image.Manifest
	Tree       = image.Tree
	Store      = image.Store
	Resolved   = image.Resolved
)

const (
	ClassicStore    = image.ClassicStore
	ContainerdStore = image.ContainerdStore
)

var (
	NewTree       = image.NewTree
	ParseManifest = image.ParseManifest
)
