package transfer

import (
	"context"
	"net/url"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// isForeign reports whether a layer is not distributed with its image, so that the registry need not have it.
func isForeign(blob ocispec.Descriptor) bool {
	return len(blob.URLs) > 0 || strings.Contains(blob.MediaType, "foreign") || strings.Contains(blob.MediaType, "nondistributable")
}

// pullForeign pulls the foreign layers of the tree that the source has, as far as they are small. The containerd store gets a
// layer from the URLs of its manifest even if the registry has it, but not a blob that is pulled by digest. Those that
// cannot be pulled come with their images.
func (w *workspace) pullForeign(ctx context.Context, tree image.Tree) {
	if w.store == image.ClassicStore || w.blobs.rejected() {
		return
	}
	for _, leaf := range tree.Leaves() {
		for _, blob := range w.missing(leaf) {
			if len(blob.URLs) == 0 || isLarge(blob) {
				continue
			}
			err := w.holdBlob(ctx, w.blobReference(blob))
			if w.takeOver(ctx, blob, err) == nil {
				w.arrived(blob)
			}
		}
	}
}

// foreignHosts is the context key of the hosts that the layers of the image being pulled may come from.
type foreignHosts struct{}

// withForeignHosts names in the context the hosts of the manifest's foreign layers.
func withForeignHosts(ctx context.Context, m image.Manifest) context.Context {
	var hosts []string
	for _, layer := range m.Layers {
		for _, at := range layer.URLs {
			if u, err := url.Parse(at); err == nil && u.Host != "" {
				hosts = append(hosts, u.Host)
			}
		}
	}
	if len(hosts) == 0 {
		return ctx
	}
	return context.WithValue(ctx, foreignHosts{}, hosts)
}

// unlessForeign tells the failure of a pull at a host of foreign layers from one at the registry. The registry may be asked
// again, such a host is not.
func unlessForeign(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	hosts, _ := ctx.Value(foreignHosts{}).([]string)
	return docker.AtForeignHost(err, hosts)
}
