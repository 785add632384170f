package testkit

import (
	"context"
	"errors"
	"time"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// SourceHost is the source registry of the tests.
const SourceHost = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"

// Source is a Source of functions: a call that a test does not expect ends it.
type Source struct {
	ListRepositories func(context.Context) ([]image.Repository, error)
	ListImages       func(context.Context, image.Repository) ([]image.Image, error)
	ReadManifests    func(context.Context, image.Repository, []digest.Digest) (map[digest.Digest]image.Manifest, map[digest.Digest]error)
	RenewToken       func(context.Context) (bool, error)
}

// Renew calls the function.
func (f Source) Renew(ctx context.Context, _ time.Time) (bool, error) { return f.RenewToken(ctx) }

// Repositories calls the function.
func (f Source) Repositories(ctx context.Context) ([]image.Repository, error) {
	return f.ListRepositories(ctx)
}

// Images calls the function.
func (f Source) Images(ctx context.Context, r image.Repository) ([]image.Image, error) {
	return f.ListImages(ctx, r)
}

// Manifests calls the function.
func (f Source) Manifests(ctx context.Context, r image.Repository, ds []digest.Digest) (map[digest.Digest]image.Manifest, map[digest.Digest]error) {
	return f.ReadManifests(ctx, r, ds)
}

// Registry is a Source in memory.
type Registry struct {
	Listed   []image.Repository
	Tagged   map[string][]image.Image
	Held     map[string]map[digest.Digest]image.Manifest // by repository
	Failing  map[string]error                            // repositories that cannot be listed
	pushes   int
	Renewing func(context.Context) (bool, error)
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	return &Registry{Tagged: map[string][]image.Image{}, Held: map[string]map[digest.Digest]image.Manifest{}, Failing: map[string]error{}}
}

// Repository is a repository of the source registry.
func Repository(name string) image.Repository {
	return image.Repository{Name: name, URI: SourceHost + "/" + name}
}

// Add adds a repository unless it is there.
func (s *Registry) Add(name string) {
	if s.Held[name] == nil {
		s.Listed = append(s.Listed, Repository(name))
		s.Held[name] = map[digest.Digest]image.Manifest{}
	}
}

// Hold adds manifests without listing them: the children of an index.
func (s *Registry) Hold(name string, manifests ...image.Manifest) {
	s.Add(name)
	for _, m := range manifests {
		s.Held[name][m.Digest] = m
	}
}

// Push lists the manifest with its tags; each push is a minute later than the one before.
func (s *Registry) Push(name string, m image.Manifest, tags ...string) {
	s.Hold(name, m)
	s.pushes++
	s.Tagged[name] = append(s.Tagged[name], image.Image{
		Repository:   Repository(name),
		Digest:       m.Digest,
		Tags:         tags,
		MediaType:    m.MediaType,
		ArtifactType: m.Kind(),
		PushedAt:     time.Date(2026, 1, 2, 3, s.pushes, 0, 0, time.UTC),
		Subject:      m.Subject,
	})
}

// Repositories is the source's.
func (s *Registry) Repositories(ctx context.Context) ([]image.Repository, error) {
	return s.Listed, ctx.Err()
}

// Images is the source's.
func (s *Registry) Images(ctx context.Context, r image.Repository) ([]image.Image, error) {
	return s.Tagged[r.Name], errors.Join(ctx.Err(), s.Failing[r.Name])
}

// Renew calls Renewing, or fails if that is nil.
func (s *Registry) Renew(ctx context.Context, _ time.Time) (bool, error) {
	if s.Renewing == nil {
		return false, errors.New("there are no fresh credentials")
	}
	return s.Renewing(ctx)
}

// Manifests is the source's.
func (s *Registry) Manifests(_ context.Context, r image.Repository, ds []digest.Digest) (map[digest.Digest]image.Manifest, map[digest.Digest]error) {
	found, failed := map[digest.Digest]image.Manifest{}, map[digest.Digest]error{}
	for _, d := range ds {
		m, ok := s.Held[r.Name][d]
		if !ok {
			failed[d] = errors.New("ImageNotFound: Requested image not found")
			continue
		}
		found[d] = m
	}
	return found, failed
}

// TargetBase is the CI_REGISTRY_IMAGE of the tests.
const TargetBase = "registry.example.com/group/project"
