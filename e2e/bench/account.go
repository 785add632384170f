package bench

import (
	"context"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/aws"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
)

// account is what the contenders migrate: the images of the first run, and those that are tagged for the last.
type account struct {
	images []corpus.Repository
	next   []corpus.Repository
}

func newAccount(ctx context.Context, scale corpus.Scale) (*account, error) {
	options := corpus.AccountOptions{Scale: scale}
	images, err := corpus.Account(ctx, options)
	if err != nil {
		return nil, err
	}
	next, err := corpus.NextReleases(ctx, options)
	return &account{images, next}, err
}

// all returns all repositories with all their images, future ones without their tags: ECR then holds the same content
// for every contender, and removing the tags undoes what a run adds.
func (a *account) all() []corpus.Repository {
	var repositories []corpus.Repository
	for i, r := range a.images {
		images := append([]corpus.Image{}, r.Images...)
		for _, image := range a.next[i].Images {
			images = append(images, corpus.Image{Object: image.Object})
		}
		repositories = append(repositories, corpus.Repository{Name: r.Name, Images: images})
	}
	return repositories
}

// tag is a tag in ECR.
type tag struct {
	repository, name, digest string
}

// tags returns the tags in ECR during a phase, by repository.
func (a *account) tags(phase Phase) []tag {
	tags := tagsOf(a.images)
	if phase == Added {
		tags = append(tags, tagsOf(a.next)...)
	}
	return tags
}

func tagsOf(repositories []corpus.Repository) []tag {
	var tags []tag
	for _, r := range repositories {
		for _, image := range r.Images {
			digest, err := image.Object.Digest()
			if err != nil {
				panic(err) // from bytes in memory
			}
			for _, name := range image.Tags {
				tags = append(tags, tag{r.Name, name, digest.String()})
			}
		}
	}
	return tags
}

// addTags adds the tags of the future images in ECR, and removeTags removes them.
func (a *account) addTags(server *aws.Server) error {
	for _, t := range tagsOf(a.next) {
		if err := server.Tag(t.repository, t.name, digest.Digest(t.digest)); err != nil {
			return err
		}
	}
	return nil
}

func (a *account) removeTags(server *aws.Server) error {
	for _, t := range tagsOf(a.next) {
		if err := server.Untag(t.repository, t.name); err != nil {
			return err
		}
	}
	return nil
}

// uniqueBytes returns the size of the blobs that a phase is the first to copy, each counted once. A second run copies
// none, and is measured by what exists.
func (a *account) uniqueBytes(phase Phase) (n int64) {
	blobs := blobsOf(a.images)
	if phase == Added {
		known := blobs
		blobs = blobsOf(a.next)
		for digest := range known {
			delete(blobs, digest)
		}
	}
	for _, size := range blobs {
		n += size
	}
	return n
}

// blobsOf returns the sizes of configs and layers by digest.
func blobsOf(repositories []corpus.Repository) map[v1.Hash]int64 {
	blobs := map[v1.Hash]int64{}
	for _, r := range repositories {
		for _, image := range r.Images {
			manifest, err := image.Object.(v1.Image).Manifest()
			if err != nil {
				panic(err) // it is in memory
			}
			blobs[manifest.Config.Digest] = manifest.Config.Size
			for _, layer := range manifest.Layers {
				blobs[layer.Digest] = layer.Size
			}
		}
	}
	return blobs
}

// unpackedBytes returns the uncompressed size of all layers of the first run, each counted once.
func (a *account) unpackedBytes() (n int64, err error) {
	seen := map[v1.Hash]bool{}
	for _, r := range a.images {
		for _, image := range r.Images {
			layers, err := image.Object.(v1.Image).Layers()
			if err != nil {
				return 0, err
			}
			for _, layer := range layers {
				size, err := unpackedSize(layer, seen)
				if err != nil {
					return 0, fmt.Errorf("unpack a layer of %s: %w", r.Name, err)
				}
				n += size
			}
		}
	}
	return n, nil
}

// unpackedSize returns the uncompressed size of a layer that has not been seen yet, and 0 for others.
func unpackedSize(layer v1.Layer, seen map[v1.Hash]bool) (int64, error) {
	digest, err := layer.Digest()
	if err != nil || seen[digest] {
		return 0, err
	}
	seen[digest] = true
	archive, err := layer.Uncompressed()
	if err != nil {
		return 0, err
	}
	defer archive.Close() //nolint:errcheck // only read
	return io.Copy(io.Discard, archive)
}
