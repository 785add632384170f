package migrate

import (
	"context"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// Options say what a run works with and how.
type Options struct {
	Source      transfer.Source
	Engine      transfer.Engine
	Store       image.Store       // of the engine
	Dedicated   bool              // the engine has no images but those of this run; with a Journal, the run finds out
	Namer       plan.Namer        // where repositories go
	Choice      plan.Choice       // what of the registry is wanted
	Share       plan.Share        // what of that this run copies
	Platform    *ocispec.Platform // copy this platform of every index; nil: all of it
	LeaveOut    plan.Patterns     // kinds of artifacts that are left out of indexes and of referrers
	Concurrency int               // images pulled at once, and as many pushed, at least 1
	Disk        int64             // bytes that the images of this run may take up in the engine; 0: no bound
	Deadline    Deadline          // zero: the run may take as long as it needs
	Observe     func(Event)       // called by one goroutine at a time
	// Known returns what an earlier run has left at the complete target reference, of the source's repository, where
	// that has another digest than what was copied; nil: nothing is known. It is called concurrently.
	Known func(repository, target string) (transfer.DigestChange, bool)
	// Earlier are tags that earlier runs have copied. What they left may be replaced, and Verify asks for those that the
	// source no longer lists.
	Earlier  []Earlier
	Conflict transfer.ConflictPolicy // what happens to tags that someone else has pushed
	Journal  transfer.Journal        // where the run notes what the engine held before; nil: the engine need not be left as it was
	// Access tries what the engine needs to pull the layer; nil: it is not tried. Only Plan calls it, concurrently.
	Access func(ctx context.Context, repository image.Repository, layer digest.Digest) Access

	retries []retryRule // nil: those of the table
}

// Earlier is a tag that an earlier run has copied.
type Earlier struct {
	Repository, Tag string
	Target          string        // the complete reference
	Source          digest.Digest // as the source listed it
	Pushed          digest.Digest // as the target answered
}

// leftAt returns what earlier runs have left at each target reference.
func leftAt(earlier []Earlier) map[string][]digest.Digest {
	left := make(map[string][]digest.Digest, len(earlier))
	for _, e := range earlier {
		left[e.Target] = append(left[e.Target], e.Pushed)
	}
	return left
}
