package corpus

import (
	"context"
	"crypto/sha1"
	"fmt"
	"path"
	"runtime"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
)

// Scale is the size of the account's layers, in bytes before compression, which reduces them to about a third. The
// numbers of repositories, tags and blobs do not depend on it.
type Scale struct {
	Base        int64 // each of the three base layers
	Dependency  int64 // each of the 36 layers of libraries
	Application int64 // each of the 84 layers on top
}

// Small is an account of about 50 MiB for tests, and Large one of about 350 MiB for benchmarks, both compressed, with
// each blob counted once.
var (
	Small = Scale{Base: 24 << 20, Dependency: 1 << 20, Application: 400 << 10}
	Large = Scale{Base: 80 << 20, Dependency: 11 << 20, Application: 4 << 20}
)

// AccountOptions configures an account. The zero value is a small one without special cases.
type AccountOptions struct {
	CacheDir string // keeps compressed layers between runs; empty: in the user's cache directory
	Scale    Scale  // zero: Small
	Empty    bool   // add a repository without images
	Untagged bool   // add a repository with untagged images only
}

// service is a repository of the account: its number of releases and its tagging scheme.
type service struct {
	repository   string
	base         int // which of the base layers
	releases     int // images
	dependencies int // generations of the dependency layer, spread over the releases
	docker       bool
	tags         func(s service, release int) []string
}

// services have 84 images, 36 generations of dependencies and 108 tags. With three bases and the configs, that makes
// 207 blobs.
var services = []service{
	{"base/debian", 0, 6, 2, false, dateTags},
	{"data/etl_jobs", 1, 8, 3, true, dateTags},
	{"data/spark-runner", 1, 4, 3, true, versionTags},
	{"ml/feature-store", 1, 6, 3, false, versionTags},
	{"payments/invoice-worker", 0, 6, 3, true, commitTags},
	{"payments/ledger", 0, 7, 3, true, versionAndCommitTags},
	{"platform/api-gateway", 0, 10, 4, false, versionTags},
	{"platform/auth-service", 0, 8, 3, true, versionTags},
	{"shop/cart-service", 2, 9, 3, false, versionTags},
	{"shop/search.indexer", 1, 5, 2, true, dateTags},
	{"shop/web_frontend", 2, 8, 4, false, commitTags},
	{"tools/ci-runner", 2, 7, 3, true, versionTags},
}

// Account creates a plausible ECR account: 12 repositories with 108 tags on single-platform images for this machine,
// which every engine can copy, with Docker and OCI media types. Layers that are not in the cache are packed first,
// which takes seconds for Small, and about half a minute for Large.
func Account(ctx context.Context, opts AccountOptions) ([]Repository, error) {
	if opts.Scale == (Scale{}) {
		opts.Scale = Small
	}
	b, err := newBuilder(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("account: %w", err)
	}
	repositories, err := b.repositories(ctx)
	if err != nil {
		return nil, fmt.Errorf("account: %w", err)
	}
	if opts.Untagged {
		repositories = append(repositories, untagged(repositories[0]))
	}
	if opts.Empty {
		repositories = append(repositories, Repository{Name: "platform/retired"})
	}
	return repositories, nil
}

// NextReleases creates another image with one tag for each repository of Account: on the base and the dependencies of
// the repository's newest image, with a new layer on top.
func NextReleases(ctx context.Context, opts AccountOptions) ([]Repository, error) {
	if opts.Scale == (Scale{}) {
		opts.Scale = Small
	}
	b, err := newBuilder(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("next releases: %w", err)
	}
	var repositories []Repository
	for _, s := range services {
		image, err := b.image(ctx, s, s.releases)
		if err != nil {
			return nil, fmt.Errorf("next releases: %w", err)
		}
		image.Tags = image.Tags[:1]
		repositories = append(repositories, Repository{Name: s.repository, Images: []Image{image}})
	}
	return repositories, nil
}

// untagged is a repository whose images have lost their tags.
func untagged(from Repository) Repository {
	r := Repository{Name: "tools/scratchpad"}
	for _, image := range from.Images[:2] {
		r.Images = append(r.Images, Image{Object: image.Object})
	}
	return r
}

// builder holds what the account is built from.
type builder struct {
	store  store
	scale  Scale
	source pool
	system pool
	bases  [3]recipe
}

func newBuilder(ctx context.Context, opts AccountOptions) (b builder, err error) {
	if b.store, err = openStore(opts.CacheDir); err != nil {
		return b, err
	}
	if b.source, err = sourcePool(ctx); err != nil {
		return b, err
	}
	if b.system, err = systemPool(); err != nil {
		return b, err
	}
	tools, err := toolPool(ctx)
	if err != nil {
		return b, err
	}
	b.scale = opts.Scale
	for i, p := range []pool{b.system, tools, b.system} {
		name := fmt.Sprintf("base-%d", i)
		b.bases[i] = recipe{name: name, files: p.take(name, b.scale.Base), compression: gzipDefault}
	}
	return b, nil
}

// repositories builds the repositories of all services, with one worker per processor.
func (b builder) repositories(ctx context.Context) ([]Repository, error) {
	repositories := make([]Repository, len(services))
	if err := b.packBases(ctx); err != nil {
		return nil, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	for i, s := range services {
		group.Go(func() (err error) {
			repositories[i], err = b.repository(ctx, s)
			return err
		})
	}
	return repositories, group.Wait()
}

// packBases packs the shared layers before several repositories need them at the same time.
func (b builder) packBases(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, base := range b.bases {
		group.Go(func() error {
			_, err := b.store.layer(ctx, base)
			return err
		})
	}
	return group.Wait()
}

func (b builder) repository(ctx context.Context, s service) (Repository, error) {
	r := Repository{Name: s.repository}
	for release := range s.releases {
		image, err := b.image(ctx, s, release)
		if err != nil {
			return r, err
		}
		r.Images = append(r.Images, image)
	}
	return r, nil
}

func (b builder) image(ctx context.Context, s service, release int) (Image, error) {
	layers, err := b.layers(ctx, s, release)
	if err != nil {
		return Image{}, err
	}
	image, err := newImage(imageSpec{
		name:     path.Base(s.repository),
		platform: v1.Platform{OS: "linux", Architecture: runtime.GOARCH},
		docker:   s.docker,
		layers:   layers,
		created:  released(release),
		version:  version(release),
	})
	return Image{Tags: s.tags(s, release), Object: image}, err
}

// layers returns a base, the dependencies at the time of the release, and the release itself.
func (b builder) layers(ctx context.Context, s service, release int) ([]layer, error) {
	generation := min(release, s.releases-1) * s.dependencies / s.releases
	dependencies := fmt.Sprintf("%s/dependencies-%d", s.repository, generation)
	application := fmt.Sprintf("%s/%s", s.repository, version(release))
	recipes := []recipe{
		b.bases[s.base],
		{name: dependencies, prefix: "opt/vendor", files: b.system.take(dependencies, b.scale.Dependency), compression: gzipDefault},
		{name: application, prefix: "opt/" + path.Base(s.repository), files: b.source.take(application, b.scale.Application), compression: gzipDefault},
	}
	layers := make([]layer, len(recipes))
	for i, r := range recipes {
		var err error
		if layers[i], err = b.store.layer(ctx, r); err != nil {
			return nil, err
		}
	}
	return layers, nil
}

// released returns the time of a release, one every nine days.
func released(release int) time.Time { return epoch.AddDate(0, 0, 9*release) }

// version returns a version number, with three patches for each minor version.
func version(release int) string { return fmt.Sprintf("1.%d.%d", release/3, release%3) }

// commit returns an abbreviated commit hash, in the form of git's SHA-1.
func commit(s service, release int) string {
	return fmt.Sprintf("%x", sha1.Sum(fmt.Append(nil, s.repository, release)))[:10]
}

func (s service) newest(release int) bool { return release == s.releases-1 }

func versionTags(s service, release int) []string {
	tags := []string{version(release)}
	if s.newest(release) {
		tags = append(tags, fmt.Sprintf("1.%d", release/3), "latest")
	}
	return tags
}

func commitTags(s service, release int) []string {
	tags := []string{commit(s, release)}
	if s.newest(release) {
		tags = append(tags, "latest")
	}
	return tags
}

func versionAndCommitTags(s service, release int) []string {
	return []string{"v" + version(release), "sha-" + commit(s, release)}
}

func dateTags(s service, release int) []string {
	tags := []string{released(release).Format(time.DateOnly)}
	if s.newest(release) {
		tags = append(tags, "latest")
	}
	return tags
}
