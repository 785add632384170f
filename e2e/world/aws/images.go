package aws

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var errExists = errors.New("it exists")

// account holds ECR's metadata about one account's repositories and images. The registry stores the content; tags are
// resolved here.
type account struct {
	id  string
	now func() time.Time

	mu           sync.Mutex
	repositories map[string]*repository
}

type repository struct {
	name    string
	created time.Time

	mu     *sync.Mutex // the account's
	images map[digest.Digest]*image
	tags   map[string]digest.Digest
	layers map[digest.Digest]ocispec.Descriptor // including configs, which ECR counts as layers
}

// image is a manifest or an index, of any kind. Only archived changes after the push.
type image struct {
	digest       digest.Digest
	mediaType    string
	artifactType string // or else the media type of the config
	subject      digest.Digest
	annotations  map[string]string
	manifest     []byte
	size         int64
	pushed       time.Time
	archived     time.Time // zero: active
}

// listed is an image with its current tags, sorted.
type listed struct {
	image
	tags []string
}

func newAccount(id string, now func() time.Time) *account {
	return &account{id: id, now: now, repositories: map[string]*repository{}}
}

func (a *account) create(name string) error {
	if err := checkRepositoryName(name); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.repositories[name] != nil {
		return errExists
	}
	a.repositories[name] = &repository{
		name:    name,
		created: a.now(),
		mu:      &a.mu,
		images:  map[digest.Digest]*image{},
		tags:    map[string]digest.Digest{},
		layers:  map[digest.Digest]ocispec.Descriptor{},
	}
	return nil
}

// find returns a repository of the registry. Only this account's registry has any.
func (a *account) find(registryID, name string) (*repository, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	repo, ok := a.repositories[name]
	return repo, ok && registryID == a.id
}

// list returns the registry's repositories by name.
func (a *account) list(registryID string) []*repository {
	if registryID != a.id {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.SortedFunc(maps.Values(a.repositories), func(x, y *repository) int {
		return strings.Compare(x.name, y.name)
	})
}

func (a *account) noRepository(registryID, name string) error {
	return fail("RepositoryNotFoundException", "The repository with name '%s' does not exist in the registry with id '%s'", name, registryID)
}

func (a *account) archive(repo string, d digest.Digest) error {
	r, ok := a.find(a.id, repo)
	if !ok {
		return a.noRepository(a.id, repo)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	img := r.images[d]
	if img == nil {
		return fmt.Errorf("archive %s@%s: no such image", repo, d)
	}
	img.archived = a.now()
	return nil
}

func (a *account) untag(repo, tag string) error {
	r, ok := a.find(a.id, repo)
	if !ok {
		return a.noRepository(a.id, repo)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.tags[tag]; !ok {
		return fmt.Errorf("untag %s:%s: no such tag", repo, tag)
	}
	delete(r.tags, tag)
	return nil
}

func (a *account) tag(repo, tag string, d digest.Digest) error {
	r, ok := a.find(a.id, repo)
	if !ok {
		return a.noRepository(a.id, repo)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.images[d] == nil {
		return fmt.Errorf("tag %s@%s: no such image", repo, d)
	}
	r.tags[tag] = d
	return nil
}

func (a *account) record(repo, reference, mediaType string, body []byte) error {
	r, ok := a.find(a.id, repo)
	if !ok {
		return a.noRepository(a.id, repo)
	}
	_, err := r.push(reference, mediaType, body, a.now())
	return err
}

// manifest has the fields of image manifests and indexes, in Docker's formats and OCI's.
type manifest struct {
	ocispec.Manifest
	Manifests []ocispec.Descriptor `json:"manifests"`
}

// blobs returns the layers and the config, which ECR counts as a layer. An index has neither.
func (m manifest) blobs() []ocispec.Descriptor {
	if m.Config.Digest == "" {
		return m.Layers
	}
	return slices.Concat(m.Layers, []ocispec.Descriptor{m.Config})
}

// push records a manifest that the registry has accepted under a reference: its digest, or a tag, which moves to it. An
// archived image becomes active again.
func (r *repository) push(reference, mediaType string, body []byte, now time.Time) (image, error) {
	var m manifest
	if err := json.Unmarshal(body, &m); err != nil {
		return image{}, err
	}
	d, err := pushedDigest(reference, body)
	if err != nil {
		return image{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.images[d] == nil {
		r.images[d] = r.newImage(d, mediaType, m, body, now)
	}
	r.images[d].archived = time.Time{}
	if reference != d.String() {
		r.tags[reference] = d
	}
	return *r.images[d], nil
}

func pushedDigest(reference string, body []byte) (digest.Digest, error) {
	if !strings.Contains(reference, ":") {
		return digest.FromBytes(body), nil
	}
	return digest.Parse(reference)
}

func (r *repository) newImage(d digest.Digest, mediaType string, m manifest, body []byte, now time.Time) *image {
	for _, layer := range m.blobs() {
		r.layers[layer.Digest] = layer
	}
	img := &image{
		digest:       d,
		mediaType:    mediaType,
		artifactType: m.ArtifactType,
		annotations:  m.Annotations,
		manifest:     body,
		size:         r.size(m),
		pushed:       now,
	}
	if img.artifactType == "" {
		img.artifactType = m.Config.MediaType
	}
	if m.Subject != nil {
		img.subject = m.Subject.Digest
	}
	return img
}

// size returns the size that ECR shows: config and layers of an image, or the largest child of an index.
func (r *repository) size(m manifest) (n int64) {
	for _, child := range m.Manifests {
		if img := r.images[child.Digest]; img != nil {
			n = max(n, img.size)
		}
	}
	for _, layer := range m.blobs() {
		n += layer.Size
	}
	return n
}

// list returns all images by digest.
func (r *repository) list() []listed {
	r.mu.Lock()
	defer r.mu.Unlock()
	tags := r.tagsByDigest()
	all := make([]listed, 0, len(r.images))
	for _, d := range slices.Sorted(maps.Keys(r.images)) {
		all = append(all, listed{*r.images[d], tags[d]})
	}
	return all
}

func (r *repository) tagsByDigest() map[digest.Digest][]string {
	tags := map[digest.Digest][]string{}
	for _, tag := range slices.Sorted(maps.Keys(r.tags)) {
		tags[r.tags[tag]] = append(tags[r.tags[tag]], tag)
	}
	return tags
}

// tagNames returns all tags, sorted.
func (r *repository) tagNames() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := slices.AppendSeq([]string{}, maps.Keys(r.tags)) // not nil: encoded as a JSON list
	slices.Sort(names)
	return names
}

// resolve returns the image that has the tag or digest.
func (r *repository) resolve(reference string) (image, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, ok := r.tags[reference]
	if !ok {
		d = digest.Digest(reference)
	}
	if img := r.images[d]; img != nil {
		return *img, true
	}
	return image{}, false
}

func (r *repository) layer(d digest.Digest) (ocispec.Descriptor, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	layer, ok := r.layers[d]
	return layer, ok
}

// serves reports whether the blob belongs to an image that is not archived: archiving an image makes its layers
// unavailable.
func (r *repository) serves(blob string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, img := range r.images {
		if img.archived.IsZero() && bytes.Contains(img.manifest, []byte(blob)) {
			return true
		}
	}
	return false
}
