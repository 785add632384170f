package transfer

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// tryReferrers pushes each referrer that the target may refuse for its media type by its own digest. It returns the list
// of those that are left, which is the whole list if none was refused, and the last refusal.
func (w *workspace) tryReferrers(ctx context.Context, list image.Tree) (taken image.Tree, refused *docker.Refusal, err error) {
	var left []image.Tree
	below := map[digest.Digest]image.Manifest{}
	for _, m := range list.Manifests() {
		below[m.Digest] = m
	}
	for _, child := range list.Root.Children {
		referrer := list.Manifest(child.Digest)
		refusal, err := w.tryReferrer(ctx, referrer)
		switch {
		case err != nil:
			return image.Tree{}, nil, err
		case refusal != nil:
			refused = refusal
		default:
			left = append(left, image.NewTree(referrer, below))
		}
	}
	if refused == nil {
		return list, nil, nil
	}
	taken, err = image.ReferrersIndex(left)
	return taken, refused, err
}

// tryReferrer returns the target's refusal of the referrer's media type, if it refuses it or has done so before.
func (w *workspace) tryReferrer(ctx context.Context, m image.Manifest) (*docker.Refusal, error) {
	if m.IsIndex() || !kindMayBeRefused(m) {
		return nil, nil
	}
	if refusal := w.refused.of([]string{m.ArtifactType, m.Config.MediaType}); refusal != nil {
		return refusal, nil
	}
	err := w.tryKind(ctx, m)
	if refusal := refusedType(err); refusal != nil {
		return refusal, nil
	}
	return nil, err
}

// withoutRefused says that the target has taken that many of the referrers, and refused the others.
func withoutRefused(target string, referrers, taken int, refused *docker.Refusal) error {
	return &StepError{
		Step: StepPush, Ref: target,
		Err:    fmt.Errorf("%d of the %d referrers are at GitLab, which has refused the others: %w", taken, referrers, refused),
		Remedy: refused.Remedy() + "; MIGRATE_LEAVE_OUT=" + refused.MediaType + " leaves such referrers out on purpose",
	}
}
