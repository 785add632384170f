package corpus

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func makeShapes(t *testing.T, cacheDir string) []Shape {
	t.Helper()
	shapes, err := Shapes(t.Context(), cacheDir)
	if err != nil {
		t.Fatal(err)
	}
	return shapes
}

// TestShapes pushes every shape and reads it back, including blobs.
func TestShapes(t *testing.T) {
	registry := startRegistry(t)
	all := newContent()
	for _, s := range makeShapes(t, "") {
		t.Run(s.Name, func(t *testing.T) {
			repo := registry.Repo(s.Repository)
			if err := s.Push(t.Context(), repo, nil); err != nil {
				t.Fatal(err)
			}
			checkPushed(t, s, repo, all)
			if strings.Count(s.Repository, "/") > 1 {
				t.Errorf("repository %s is more than two levels deep", s.Repository)
			}
			if s.Classic == Carries {
				checkImage(t, s)
			}
		})
	}
	t.Logf("%d blobs, %.1f MiB", len(all.blobs), float64(all.size())/(1<<20))
	checkMediaTypes(t, all)
	checkRecompressed(t, all)
}

func checkPushed(t *testing.T, s Shape, repo name.Repository, all content) {
	t.Helper()
	for _, tag := range s.Tags {
		want, err := s.Digest(tag)
		if err != nil {
			t.Fatal(err)
		}
		if got := all.read(t, repo.Tag(tag)); got != want {
			t.Errorf("tag %s is %s, want %s", tag, got, want)
		}
	}
	for _, referrer := range s.Referrers {
		digest, err := referrer.Digest()
		if err != nil {
			t.Fatal(err)
		}
		all.read(t, repo.Digest(digest.String()))
	}
}

// checkImage fails for an index, which the classic store cannot hold.
func checkImage(t *testing.T, s Shape) {
	t.Helper()
	if _, ok := s.Object.(v1.Image); !ok {
		t.Errorf("%T on the classic store", s.Object)
	}
}

func checkMediaTypes(t *testing.T, all content) {
	t.Helper()
	for _, mediaType := range []types.MediaType{
		types.DockerManifestSchema2, types.DockerManifestList, types.OCIManifestSchema1, types.OCIImageIndex,
		types.DockerConfigJSON, types.OCIConfigJSON, types.OCIEmptyJSON, helmConfig,
		types.DockerLayer, types.DockerUncompressedLayer, types.OCILayer, types.OCILayerZStd, types.OCIUncompressedLayer,
		helmChart, inToto, simpleSigning, dsseEnvelope, spdxText, spdxJSON, sigstore,
	} {
		if !all.types[mediaType] {
			t.Errorf("no %s", mediaType)
		}
	}
}

// checkRecompressed knows the layers whose files are in two blobs: two of the rows across repositories, and one of the
// row within an index.
func checkRecompressed(t *testing.T, all content) {
	t.Helper()
	blobs := map[v1.Hash]int{}
	for _, diffID := range all.diffs {
		blobs[diffID]++
	}
	maps.DeleteFunc(blobs, func(_ v1.Hash, n int) bool { return n == 1 })
	if len(blobs) != 3 {
		t.Errorf("%d layers have their files in several blobs, want 3", len(blobs))
	}
}

func TestShapesAnew(t *testing.T) {
	first, second := makeShapes(t, t.TempDir()), makeShapes(t, t.TempDir())
	for i, s := range first {
		if got, want := digests(t, second[i]), digests(t, s); !slices.Equal(got, want) {
			t.Errorf("%s: made anew, digests differ", s.Name)
		}
	}
}

// digests returns the digests of the object and its referrers.
func digests(t *testing.T, s Shape) []v1.Hash {
	t.Helper()
	var all []v1.Hash
	for _, object := range append([]Object{s.Object}, s.Referrers...) {
		digest, err := object.Digest()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, digest)
	}
	return all
}

func TestShapeIndexes(t *testing.T) {
	platforms := func(descriptors []v1.Descriptor) []string {
		var all []string
		for _, d := range descriptors {
			if d.Platform == nil {
				all = append(all, "none")
				continue
			}
			all = append(all, d.Platform.String())
		}
		return all
	}
	tests := map[string][]string{
		"Docker manifest list":                   {"linux/amd64", "linux/arm64"},
		"OCI index":                              {"linux/amd64", "linux/arm64"},
		"platforms with variants":                {"linux/amd64", "linux/arm/v6", "linux/arm/v7", "linux/arm64/v8"},
		"index without the host's platform":      {"linux/arm64", "linux/s390x"},
		"several Windows versions":               {"windows/amd64:10.0.17763.5458", "windows/amd64:10.0.20348.2340"},
		"Linux and Windows mixed":                {"linux/amd64", "linux/arm64", "windows/amd64:10.0.17763.5458", "windows/amd64:10.0.20348.2340"},
		"nested index":                           {"none", "linux/s390x"},
		"index that lists one child twice":       {"linux/amd64", "linux/amd64/v2", "linux/arm64"},
		"buildx attestations, one platform":      {"linux/amd64", "unknown/unknown"},
		"buildx attestations, several platforms": {"linux/amd64", "linux/arm64", "unknown/unknown", "unknown/unknown"},
	}
	for _, s := range makeShapes(t, "") {
		want, ok := tests[s.Name]
		if !ok {
			continue
		}
		delete(tests, s.Name)
		index, ok := s.Object.(v1.ImageIndex)
		if !ok {
			t.Errorf("%s: got %T, want an index", s.Name, s.Object)
			continue
		}
		parsed, err := index.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		if got := platforms(parsed.Manifests); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", s.Name, got, want)
		}
	}
	for missing := range tests {
		t.Errorf("no shape %q", missing)
	}
}

// TestShapeSubjects finds each referrer's subject in the object it belongs to.
func TestShapeSubjects(t *testing.T) {
	referrers := 0
	for _, s := range makeShapes(t, "") {
		for _, referrer := range s.Referrers {
			referrers++
			raw, err := referrer.RawManifest()
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := v1.ParseManifest(bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			if parsed.ArtifactType == "" || parsed.Subject == nil || !contains(t, s.Object, parsed.Subject.Digest) {
				t.Errorf("%s: artifactType %q, subject %v", s.Name, parsed.ArtifactType, parsed.Subject)
			}
		}
	}
	if referrers != 6 {
		t.Errorf("got %d referrers, want 6", referrers)
	}
}

// contains reports whether the digest is that of the object or one of its children.
func contains(t *testing.T, object Object, digest v1.Hash) bool {
	t.Helper()
	own, err := object.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if own == digest {
		return true
	}
	index, ok := object.(v1.ImageIndex)
	if !ok {
		return false
	}
	_, err = index.Image(digest)
	return err == nil
}
