package migrate

import (
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

type (
	Repository = image.Repository // an alias
	Image      = image.Image      // an alias
	Manifest   = image.Manifest   // an alias
	Tree       = image.Tree       // an alias
	Store      = image.Store      // an alias
	Resolved   = image.Resolved   // an alias
	Choice     = plan.Choice      // an alias
	Patterns   = plan.Patterns    // an alias
	Namer      = plan.Namer       // an alias
	Share      = plan.Share       // an alias
	Pace       = plan.Pace        // an alias
	JobTime    = plan.JobTime     // an alias
	Content    = plan.Content     // an alias
	SharedBlob = plan.SharedBlob  // an alias
	BlobClass  = plan.BlobClass   // an alias
	Unmatched  = plan.Unmatched   // an alias
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
	ParsePatterns = plan.ParsePatterns
)
