package corpus

import (
	"context"
	"fmt"
	"path"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
)

// TinyOptions configures a tiny account.
type TinyOptions struct {
	CacheDir     string // as in AccountOptions
	Repositories int
	Tags         int   // of each repository, each on its own image
	Aliases      int   // additional tags of each image
	Layers       int   // of each image, in addition to the two shared ones
	Size         int64 // of each layer in bytes before compression, which reduces it to about a quarter
}

// Tiny creates an account of many small images. Each has one layer shared by all images, one shared within its
// repository, and its own.
func Tiny(ctx context.Context, opts TinyOptions) ([]Repository, error) {
	store, err := openStore(opts.CacheDir)
	if err != nil {
		return nil, fmt.Errorf("tiny account: %w", err)
	}
	source, err := sourcePool(ctx)
	if err != nil {
		return nil, fmt.Errorf("tiny account: %w", err)
	}
	b := tinyBuilder{TinyOptions: opts, store: store, source: source}
	if b.base, err = b.layer(ctx, "tiny base"); err != nil {
		return nil, fmt.Errorf("tiny account: %w", err)
	}
	repositories := make([]Repository, opts.Repositories)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	for i := range repositories {
		group.Go(func() (err error) {
			repositories[i], err = b.repository(ctx, i)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("tiny account: %w", err)
	}
	return repositories, nil
}

type tinyBuilder struct {
	TinyOptions
	store  store
	source pool
	base   layer
}

func (b tinyBuilder) repository(ctx context.Context, number int) (Repository, error) {
	r := Repository{Name: fmt.Sprintf("team-%d/service-%02d", number/10, number%10)}
	shared, err := b.layer(ctx, r.Name)
	if err != nil {
		return r, err
	}
	for release := range b.Tags {
		layers := []layer{b.base, shared}
		for i := range b.Layers {
			own, err := b.layer(ctx, fmt.Sprintf("%s/%s layer %d", r.Name, version(release), i))
			if err != nil {
				return r, err
			}
			layers = append(layers, own)
		}
		image, err := newImage(imageSpec{
			name:     path.Base(r.Name),
			platform: v1.Platform{OS: "linux", Architecture: runtime.GOARCH},
			docker:   number%2 == 1,
			layers:   layers,
			created:  released(release),
			version:  version(release),
		})
		if err != nil {
			return r, err
		}
		tags := []string{version(release)}
		for i := range b.Aliases {
			tags = append(tags, fmt.Sprintf("%s-%d", version(release), i+1))
		}
		r.Images = append(r.Images, Image{Tags: tags, Object: image})
	}
	return r, nil
}

func (b tinyBuilder) layer(ctx context.Context, name string) (layer, error) {
	return b.store.layer(ctx, recipe{name: name, prefix: "opt", files: b.source.take(name, b.Size), compression: gzipDefault})
}
