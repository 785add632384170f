// Package migrate holds the decisions of a migration: what is copied, in which order, and what counts as done.
// It knows no AWS and no Docker: it owns the small interfaces that the two edges satisfy, and emits events.
package migrate

import (
	"context"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

// Source is the registry that is migrated.
type Source interface {
	plan.Source
	// Renew replaces the credentials that the engine is handed for the registry, which has refused them in a call that
	// began at the given time. It reports whether there are fresher ones now: credentials that a refusal has just
	// renewed are not renewed again for the next one.
	Renew(ctx context.Context, began time.Time) (fresh bool, err error)
}
