package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
)

const sourceHost = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"

// fakeSource is a Source of functions: a call that a test does not expect ends it.
type fakeSource struct {
	repositories func(context.Context) ([]Repository, error)
	images       func(context.Context, Repository) ([]Image, error)
	manifests    func(context.Context, Repository, []digest.Digest) (map[digest.Digest]Manifest, error)
	renew        func(context.Context) (bool, error)
}

func (f fakeSource) Renew(ctx context.Context, _ time.Time) (bool, error) { return f.renew(ctx) }

func (f fakeSource) Repositories(ctx context.Context) ([]Repository, error) {
	return f.repositories(ctx)
}

func (f fakeSource) Images(ctx context.Context, r Repository) ([]Image, error) {
	return f.images(ctx, r)
}

func (f fakeSource) Manifests(ctx context.Context, r Repository, ds []digest.Digest) (map[digest.Digest]Manifest, error) {
	return f.manifests(ctx, r, ds)
}

// sourceRegistry is a Source in memory.
type sourceRegistry struct {
	repositories []Repository
	images       map[string][]Image
	manifests    map[string]map[digest.Digest]Manifest // by repository
	failing      map[string]error                      // repositories that cannot be listed
	pushes       int
	renew        func(context.Context) (bool, error)
}

func newSource() *sourceRegistry {
	return &sourceRegistry{images: map[string][]Image{}, manifests: map[string]map[digest.Digest]Manifest{}, failing: map[string]error{}}
}

func repositoryNamed(name string) Repository {
	return Repository{Name: name, URI: sourceHost + "/" + name}
}

func (s *sourceRegistry) repository(name string) {
	if s.manifests[name] == nil {
		s.repositories = append(s.repositories, repositoryNamed(name))
		s.manifests[name] = map[digest.Digest]Manifest{}
	}
}

// hold adds manifests without listing them: the children of an index.
func (s *sourceRegistry) hold(name string, manifests ...Manifest) {
	s.repository(name)
	for _, m := range manifests {
		s.manifests[name][m.Digest] = m
	}
}

// push lists the manifest with its tags; each push is a minute later than the one before.
func (s *sourceRegistry) push(name string, m Manifest, tags ...string) {
	s.hold(name, m)
	s.pushes++
	s.images[name] = append(s.images[name], Image{
		Repository: repositoryNamed(name),
		Digest:     m.Digest,
		Tags:       tags,
		MediaType:  m.MediaType,
		PushedAt:   time.Date(2026, 1, 2, 3, s.pushes, 0, 0, time.UTC),
		Subject:    m.Subject,
	})
}

func (s *sourceRegistry) Repositories(ctx context.Context) ([]Repository, error) {
	return s.repositories, ctx.Err()
}

func (s *sourceRegistry) Images(ctx context.Context, r Repository) ([]Image, error) {
	return s.images[r.Name], errors.Join(ctx.Err(), s.failing[r.Name])
}

func (s *sourceRegistry) Renew(ctx context.Context, _ time.Time) (bool, error) {
	if s.renew == nil {
		return false, errors.New("no fresh credentials are to be had")
	}
	return s.renew(ctx)
}

func (s *sourceRegistry) Manifests(_ context.Context, r Repository, ds []digest.Digest) (map[digest.Digest]Manifest, error) {
	found, failures := map[digest.Digest]Manifest{}, []error(nil)
	for _, d := range ds {
		m, ok := s.manifests[r.Name][d]
		if !ok {
			failures = append(failures, fmt.Errorf("ImageNotFound: %s", d))
			continue
		}
		found[d] = m
	}
	return found, errors.Join(failures...)
}
