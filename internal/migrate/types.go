// Package migrate holds the decisions of a migration: what is copied, in which order, and what counts as done.
// It knows no AWS and no Docker: it owns the small interfaces that the two edges satisfy, and emits events.
package migrate

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"
)

// registry is the source of a plan.
type registry interface {
	// Repositories returns all of the registry's repositories, in the registry's order.
	Repositories(ctx context.Context) ([]Repository, error)
	// Images returns the repository's tagged images and its referrers.
	Images(ctx context.Context, repository Repository) ([]Image, error)
	// Manifests returns the manifests of one repository by digest. One that cannot be had is missing from the
	// map, and the error (possibly joined) says why; what could be had is returned all the same.
	Manifests(ctx context.Context, repository Repository, digests []digest.Digest) (map[digest.Digest]Manifest, error)
}

// Source is the registry that is migrated.
type Source interface {
	registry
	// Renew replaces the credentials that the engine is handed for the registry, which has refused them in a call that
	// began at the given time. It reports whether there are fresher ones now: credentials that a refusal has just
	// renewed are not renewed again for the next one.
	Renew(ctx context.Context, began time.Time) (fresh bool, err error)
}
