package plan

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// classicRemedy ends every refusal because of the classic store.
const classicRemedy = "use an engine with the containerd image store: docker:29-dind without DOCKER_DRIVER, --storage-driver and " +
	"an older engine's data"

// ErrClassicReferrers rejects referrers on the classic store.
var ErrClassicReferrers = errors.New("the classic image store cannot carry signatures and other referrers: " + classicRemedy)

// classicCarries returns an error if the classic store cannot carry the image completely. It asks the registry for the
// platform, which the manifest of a single image does not contain.
func (p *Planner) classicCarries(ctx context.Context, repository image.Repository, tree image.Tree) error {
	if err := classicManifest(tree.Root); err != nil {
		return err
	}
	resolved, err := p.Resolver.Resolve(ctx, repository.Reference(tree.Root))
	if err != nil {
		return &Failure{Ref: repository.Reference(tree.Root), Err: err}
	}
	for _, platform := range resolved.Platforms {
		if platform.OS != "" && platform.OS != "linux" {
			return fmt.Errorf("the classic image store cannot hold an image for %s: %s", platforms.Format(platform), classicRemedy)
		}
	}
	return nil
}

// classicManifest returns an error for manifests that the classic store cannot carry.
func classicManifest(m image.Manifest) error {
	if m.IsIndex() {
		return fmt.Errorf("the classic image store would flatten this index of %d manifests to one platform: %s, or set "+
			"MIGRATE_PLATFORM to copy one platform on purpose", len(m.Children), classicRemedy)
	}
	if !m.IsContainerImage() {
		return fmt.Errorf("the classic image store holds only container images, and this is %s: %s", m.Kind(), classicRemedy)
	}
	for _, layer := range m.Layers {
		if !classicLayer(layer.MediaType) {
			return fmt.Errorf("the classic image store cannot read a layer of type %s: %s", layer.MediaType, classicRemedy)
		}
	}
	return nil
}

// classicLayer reports whether Engine 20.10 can pull the layer: a gzip or plain tar archive. Except on Windows, it pulls
// foreign layers from the registry, too.
func classicLayer(mediaType string) bool {
	switch mediaType {
	case image.MediaTypeDockerLayer, ocispec.MediaTypeImageLayer, ocispec.MediaTypeImageLayerGzip,
		image.MediaTypeDockerForeignLayer, strings.TrimSuffix(image.MediaTypeDockerLayer, ".gzip"):
		return true
	}
	return false
}

// reduce picks the manifest for the requested platform. Manifests without a platform are not reduced: artifacts, and
// indexes of artifacts.
func (p *Planner) reduce(ctx context.Context, repository image.Repository, tree image.Tree) (reduced image.Tree, changed bool, err error) {
	if !tree.Root.IsIndex() {
		return tree, false, p.hasPlatform(ctx, repository, tree.Root)
	}
	single, found := tree.Pick(*p.Platform)
	listed := tree.Platforms()
	switch {
	case found:
		return single, true, nil
	case len(listed) == 0:
		return tree, false, nil
	}
	return image.Tree{}, false, fmt.Errorf("the index has no manifest for %s (MIGRATE_PLATFORM): it lists %s",
		platforms.FormatAll(*p.Platform), strings.Join(listed, ", "))
}

// hasPlatform returns an error if a single image is for another platform than the wanted one. Registries answer that for
// Docker's images only; the others are checked after the pull.
func (p *Planner) hasPlatform(ctx context.Context, repository image.Repository, m image.Manifest) error {
	if !m.IsContainerImage() {
		return nil
	}
	resolved, err := p.Resolver.Resolve(ctx, repository.Reference(m))
	if err != nil {
		return &Failure{Ref: repository.Reference(m), Err: err}
	}
	for _, platform := range resolved.Platforms {
		if err := CheckPlatform(*p.Platform, platform); err != nil {
			return err
		}
	}
	return nil
}

// CheckPlatform returns an error unless the platform is the requested one.
func CheckPlatform(wanted, platform ocispec.Platform) error {
	if image.Fits(wanted, platform) {
		return nil
	}
	return fmt.Errorf("the image is only for %s, not for %s (MIGRATE_PLATFORM)",
		platforms.FormatAll(platform), platforms.FormatAll(wanted))
}
