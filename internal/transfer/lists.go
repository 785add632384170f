package transfer

import (
	"context"
	"slices"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

// isOwnList reports whether a list of referrers that the target has was left there by this program: an earlier run has
// recorded it, or it lists what the source had at some time, with or without what the target refuses. Nothing is lost if
// the list is replaced. The same referrers yield the same bytes, so comparing digests is enough, without report.json and
// without a pull.
func (c *Copier) isOwnList(ctx context.Context, i *plan.Item, found digest.Digest) (bool, error) {
	if slices.Contains(c.earlier[i.Tagged(i.Image.Tags[0])], found) {
		return true, nil
	}
	list, err := c.open(ctx, i)
	if err != nil {
		return false, err
	}
	referrers := inOrder(list, i.List.Roots)
	for n := len(referrers); n > 0; n-- {
		if is, err := isListOf(referrers[:n], i.Unknown, found); is || err != nil {
			return is, err
		}
	}
	return false, nil
}

// inOrder returns the trees of the list's referrers, in the order of the roots.
func inOrder(list image.Tree, roots []digest.Digest) []image.Tree {
	below := map[digest.Digest]image.Manifest{}
	for _, m := range list.Manifests() {
		below[m.Digest] = m
	}
	var trees []image.Tree
	for _, root := range roots {
		trees = append(trees, image.NewTree(list.Manifest(root), below))
	}
	return trees
}

// isListOf reports whether the digest is that of the list of the referrers, without those of none or some of the media types.
func isListOf(referrers []image.Tree, mediaTypes []string, found digest.Digest) (bool, error) {
	const most = 6 // media types, of which some have been refused and others not
	mediaTypes = mediaTypes[:min(most, len(mediaTypes))]
	for set := range 1 << len(mediaTypes) {
		list, err := image.ReferrersIndex(slices.DeleteFunc(slices.Clone(referrers), func(t image.Tree) bool {
			return isAmong(t.Root, mediaTypes, set)
		}))
		if err != nil || list.Root.Digest == found {
			return err == nil, err
		}
	}
	return false, nil
}

// isAmong reports whether the manifest has one of the media types whose bits are in the set.
func isAmong(m image.Manifest, mediaTypes []string, set int) bool {
	for bit, mediaType := range mediaTypes {
		if set&(1<<bit) != 0 && (m.ArtifactType == mediaType || m.Config.MediaType == mediaType) {
			return true
		}
	}
	return false
}
