package corpus

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// TestAccount pushes the small account and reads every tag back, including its blobs.
func TestAccount(t *testing.T) {
	begin := time.Now()
	repositories, err := Account(t.Context(), AccountOptions{})
	if err != nil {
		t.Fatal(err)
	}
	made := time.Since(begin)
	registry := startRegistry(t)
	for _, r := range repositories {
		if err := r.Push(t.Context(), registry.Repo(r.Name), nil); err != nil {
			t.Fatal(err)
		}
	}
	pushed := time.Since(begin) - made
	got, tags := newContent(), 0
	for _, r := range repositories {
		tags += got.readRepository(t, r, registry.Repo(r.Name))
	}
	t.Logf("%d repositories, %d tags, %d blobs, %.1f MiB; made in %v, pushed in %v", len(repositories), tags,
		len(got.blobs), float64(got.size())/(1<<20), made.Round(time.Millisecond), pushed.Round(time.Millisecond))
	if len(repositories) != 12 || tags != 108 || len(got.blobs) != 207 {
		t.Errorf("got %d repositories, %d tags, %d blobs, want 12, 108, 207", len(repositories), tags, len(got.blobs))
	}
	for _, mediaType := range []types.MediaType{types.DockerManifestSchema2, types.OCIManifestSchema1, types.DockerLayer, types.OCILayer} {
		if !got.types[mediaType] {
			t.Errorf("no %s", mediaType)
		}
	}
}

// readRepository reads every tag of want, compares its digest and returns the number of tags.
func (c content) readRepository(t *testing.T, want Repository, repo name.Repository) int {
	t.Helper()
	tags, err := want.Tags()
	if err != nil {
		t.Fatal(err)
	}
	for tag, digest := range tags {
		if got := c.read(t, repo.Tag(tag)); got != digest {
			t.Errorf("%s:%s is %s, want %s", want.Name, tag, got, digest)
		}
	}
	listed, err := remote.List(repo)
	if err != nil || len(listed) != len(tags) {
		t.Errorf("%s has %d tags (%v), want %d", want.Name, len(listed), err, len(tags))
	}
	return len(tags)
}

// TestAccountAnew packs everything twice, without using a cache.
func TestAccountAnew(t *testing.T) {
	scale := Scale{Base: 256 << 10, Dependency: 32 << 10, Application: 16 << 10}
	digests := func(dir string) map[string]v1.Hash {
		repositories, err := Account(t.Context(), AccountOptions{CacheDir: dir, Scale: scale})
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]v1.Hash{}
		for _, r := range repositories {
			tags, err := r.Tags()
			if err != nil {
				t.Fatal(err)
			}
			for tag, digest := range tags {
				all[r.Name+":"+tag] = digest
			}
		}
		return all
	}
	dir := t.TempDir()
	first := digests(dir)
	if second := digests(t.TempDir()); !maps.Equal(first, second) {
		t.Error("packed anew, digests differ")
	}
	truncateAll(t, dir)
	if third := digests(dir); !maps.Equal(first, third) {
		t.Error("after damage to the cache, digests differ")
	}
}

// truncateAll empties every file in dir.
func truncateAll(t *testing.T, dir string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("nothing in the cache: %v", err)
	}
	for _, name := range names {
		if err := os.Truncate(name, 0); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNextReleases checks that all layers of the new images except one each are in the account's newest ones.
func TestNextReleases(t *testing.T) {
	options := AccountOptions{CacheDir: t.TempDir(), Scale: Scale{Base: 64 << 10, Dependency: 8 << 10, Application: 8 << 10}}
	account, err := Account(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	next, err := NextReleases(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	if len(next) != len(account) {
		t.Fatalf("%d repositories, want %d", len(next), len(account))
	}
	for i, r := range next {
		tags, err := account[i].Tags()
		if err != nil {
			t.Fatal(err)
		}
		if r.Name != account[i].Name || len(r.Images) != 1 || len(r.Images[0].Tags) != 1 {
			t.Fatalf("%s has the images %v, want one with one tag", r.Name, r.Images)
		}
		if _, known := tags[r.Images[0].Tags[0]]; known {
			t.Errorf("%s has the tag %s already", r.Name, r.Images[0].Tags[0])
		}
		newest := layersOf(t, account[i].Images[len(account[i].Images)-1])
		if layers := layersOf(t, r.Images[0]); layers[0] != newest[0] || layers[1] != newest[1] || layers[2] == newest[2] {
			t.Errorf("%s has the layers %v after %v", r.Name, layers, newest)
		}
	}
}

func layersOf(t *testing.T, image Image) (digests []v1.Hash) {
	t.Helper()
	manifest, err := image.Object.(v1.Image).Manifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range manifest.Layers {
		digests = append(digests, layer.Digest)
	}
	return digests
}

func TestAccountOddities(t *testing.T) {
	scale := Scale{Base: 64 << 10, Dependency: 8 << 10, Application: 8 << 10}
	repositories, err := Account(t.Context(), AccountOptions{CacheDir: t.TempDir(), Scale: scale, Empty: true, Untagged: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(repositories) != 14 {
		t.Fatalf("got %d repositories, want 14", len(repositories))
	}
	registry := startRegistry(t)
	untagged, empty := repositories[12], repositories[13]
	if len(empty.Images) != 0 || len(untagged.Images) == 0 {
		t.Fatalf("got %d and %d images, want some and 0", len(untagged.Images), len(empty.Images))
	}
	repo := registry.Repo(untagged.Name)
	if err := untagged.Push(t.Context(), repo, nil); err != nil {
		t.Fatal(err)
	}
	got := newContent()
	for _, image := range untagged.Images {
		digest, err := image.Object.Digest()
		if err != nil {
			t.Fatal(err)
		}
		got.read(t, repo.Digest(digest.String()))
	}
}
