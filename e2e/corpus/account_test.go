package corpus

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func TestAccount(t *testing.T) {
	scale := Small
	if os.Getenv("CORPUS_LARGE") != "" {
		scale = Large
	}
	begin := time.Now()
	repositories, err := Account(t.Context(), AccountOptions{Scale: scale, Empty: true, Untagged: true})
	if err != nil {
		t.Fatal(err)
	}
	made := time.Since(begin)
	registry := startRegistry(t)
	got := newContent()
	tagged, tags := 0, 0
	for _, r := range repositories {
		repo := registry.Repo(r.Name)
		if err := r.Push(t.Context(), repo, nil); err != nil {
			t.Fatal(err)
		}
	}
	pushed := time.Since(begin) - made
	for _, r := range repositories {
		want, err := r.Tags()
		if err != nil {
			t.Fatal(err)
		}
		for tag, digest := range want {
			if read := got.read(t, registry.Repo(r.Name).Tag(tag)); read != digest {
				t.Errorf("%s:%s is %s, want %s", r.Name, tag, read, digest)
			}
		}
		if len(want) > 0 {
			tagged++
			tags += len(want)
			if n := len(listTags(t, registry.Repo(r.Name))); n != len(want) {
				t.Errorf("%s has %d tags, want %d", r.Name, n, len(want))
			}
		}
	}
	t.Logf("%d repositories, %d tags, %d blobs, %.1f MiB; made in %v, pushed in %v",
		tagged, tags, len(got.blobs), float64(got.size())/(1<<20), made.Round(time.Millisecond), pushed.Round(time.Millisecond))
	if tagged != 12 || tags != 108 || len(got.blobs) != 207 {
		t.Errorf("got %d repositories, %d tags, %d blobs, want 12, 108, 207", tagged, tags, len(got.blobs))
	}
	for _, mediaType := range []types.MediaType{types.DockerManifestSchema2, types.OCIManifestSchema1, types.DockerLayer, types.OCILayer} {
		if !got.types[mediaType] {
			t.Errorf("no %s", mediaType)
		}
	}
}

// TestAccountAnew packs everything twice, without a cache to lean on.
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
		t.Fatalf("got %d and %d images, want some and none", len(untagged.Images), len(empty.Images))
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
