package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const sourceHost = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"

// fakeSource is a Source of functions: a call that a test does not expect ends it.
type fakeSource struct {
	repositories func(context.Context) ([]Repository, error)
	images       func(context.Context, Repository) ([]Image, error)
	manifests    func(context.Context, Repository, []digest.Digest) (map[digest.Digest]Manifest, error)
	renew        func(context.Context) error
}

func (f fakeSource) Renew(ctx context.Context) error { return f.renew(ctx) }

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
	renew        func(context.Context) error
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

func (s *sourceRegistry) Renew(ctx context.Context) error {
	if s.renew == nil {
		return errors.New("no fresh credentials are to be had")
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

// document is a manifest as a test writes it.
type document struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType,omitempty"`
	ArtifactType  string               `json:"artifactType,omitempty"`
	Config        *ocispec.Descriptor  `json:"config,omitempty"`
	Layers        []ocispec.Descriptor `json:"layers,omitempty"`
	Manifests     []ocispec.Descriptor `json:"manifests,omitempty"`
	Subject       *ocispec.Descriptor  `json:"subject,omitempty"`
	Annotations   map[string]string    `json:"annotations,omitempty"`
}

func (d document) manifest(t testing.TB) Manifest {
	t.Helper()
	d.SchemaVersion = 2
	raw, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseManifest(raw, d.MediaType)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func blob(mediaType, content string) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromString(content), Size: int64(len(content))}
}

// heavy is a layer that no engine pulls by its own digest, for its size.
func heavy(mediaType, content string) ocispec.Descriptor {
	layer := blob(mediaType, content)
	layer.Size += maxBlobPull
	return layer
}

// imageOf is a container image with one layer, told from others by its content, which comes with the whole image.
func imageOf(t testing.TB, content string) Manifest {
	return imageDocument(content).manifest(t)
}

func imageDocument(content string) document {
	config := blob(ocispec.MediaTypeImageConfig, "config of "+content)
	return document{
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    &config,
		Layers:    []ocispec.Descriptor{heavy(ocispec.MediaTypeImageLayerGzip, content)},
	}
}

// artifactOf is what signatures and SBOMs are, with the subject that it refers to.
func artifactOf(t testing.TB, artifactType, content string, subject Manifest) Manifest {
	config := blob("application/vnd.oci.empty.v1+json", "{}")
	return document{
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: artifactType,
		Config:       &config,
		Layers:       []ocispec.Descriptor{heavy(artifactType, content)},
		Subject:      &subject.Descriptor,
		Annotations:  map[string]string{"org.opencontainers.image.created": "2026-01-02T03:04:05Z", "of": content},
	}.manifest(t)
}

// child lists a manifest in an index; the platform is "os/arch", "os/arch/variant" or none.
func child(m Manifest, platform *ocispec.Platform) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: m.Size, Platform: platform}
}

func linux(architecture string, variant ...string) *ocispec.Platform {
	return &ocispec.Platform{OS: "linux", Architecture: architecture, Variant: slices.Concat(variant, []string{""})[0]}
}

func indexOf(t testing.TB, children ...ocispec.Descriptor) Manifest {
	return document{MediaType: ocispec.MediaTypeImageIndex, Manifests: children}.manifest(t)
}

// pairOf is an index of two platforms with its children.
func pairOf(t testing.TB, content string) (index Manifest, children []Manifest) {
	amd, arm := imageOf(t, content+" amd64"), imageOf(t, content+" arm64")
	return indexOf(t, child(amd, linux("amd64")), child(arm, linux("arm64"))), []Manifest{amd, arm}
}

func byDigest(manifests ...Manifest) map[digest.Digest]Manifest {
	found := map[digest.Digest]Manifest{}
	for _, m := range manifests {
		found[m.Digest] = m
	}
	return found
}

func digestsOf(manifests []Manifest) []digest.Digest {
	digests := make([]digest.Digest, len(manifests))
	for i, m := range manifests {
		digests[i] = m.Digest
	}
	return digests
}
