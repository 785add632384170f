package corpus

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// startRegistry starts an empty registry that creates repositories on push.
func startRegistry(t *testing.T) name.Registry {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true)))
	t.Cleanup(server.Close)
	r, err := name.NewRegistry(strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// content is everything that has been read back from a registry.
type content struct {
	blobs map[v1.Hash]int64   // sizes
	diffs map[v1.Hash]v1.Hash // blob of a layer → diff ID
	types map[types.MediaType]bool
}

func newContent() content {
	return content{map[v1.Hash]int64{}, map[v1.Hash]v1.Hash{}, map[types.MediaType]bool{}}
}

func (c content) size() (total int64) {
	for _, size := range c.blobs {
		total += size
	}
	return total
}

// read fetches a manifest and everything below it; go-containerregistry verifies each digest.
func (c content) read(t *testing.T, ref name.Reference) v1.Hash {
	t.Helper()
	descriptor, err := remote.Get(ref)
	if err != nil {
		t.Fatal(err)
	}
	c.types[descriptor.MediaType] = true
	if descriptor.MediaType.IsIndex() {
		c.readIndex(t, ref.Context(), descriptor)
	} else {
		c.readImage(t, descriptor)
	}
	return descriptor.Digest
}

func (c content) readIndex(t *testing.T, repo name.Repository, descriptor *remote.Descriptor) {
	t.Helper()
	index, err := descriptor.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, child := range parsed.Manifests {
		c.read(t, repo.Digest(child.Digest.String()))
	}
}

func (c content) readImage(t *testing.T, descriptor *remote.Descriptor) {
	t.Helper()
	image, err := descriptor.Image()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c.types[parsed.Config.MediaType] = true
	c.blobs[parsed.Config.Digest] = int64(len(config))
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range layers {
		c.readLayer(t, l, parsed.Layers[i])
	}
	if parsed.Config.MediaType.IsConfig() {
		c.checkDiffIDs(t, image, parsed)
	}
}

func (c content) readLayer(t *testing.T, l v1.Layer, descriptor v1.Descriptor) {
	t.Helper()
	c.types[descriptor.MediaType] = true
	if _, known := c.blobs[descriptor.Digest]; known {
		return
	}
	packed, err := l.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close() //nolint:errcheck // only read
	digest, size, err := v1.SHA256(packed)
	if err != nil || digest != descriptor.Digest || size != descriptor.Size {
		t.Fatalf("layer: got %s of %d bytes (%v), want %s of %d", digest, size, err, descriptor.Digest, descriptor.Size)
	}
	c.blobs[digest] = size
	c.diffs[digest] = unpackedDigest(t, l)
}

func unpackedDigest(t *testing.T, l v1.Layer) v1.Hash {
	t.Helper()
	unpacked, err := l.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer unpacked.Close() //nolint:errcheck // only read
	digest, _, err := v1.SHA256(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// checkDiffIDs compares the config's diff IDs with the layers.
func (c content) checkDiffIDs(t *testing.T, image v1.Image, parsed *v1.Manifest) {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(config.RootFS.DiffIDs), len(parsed.Layers); got != want {
		t.Fatalf("config has %d diff IDs for %d layers", got, want)
	}
	for i, want := range config.RootFS.DiffIDs {
		if got := c.diffs[parsed.Layers[i].Digest]; got != want {
			t.Fatalf("layer %d: diff ID %s, config says %s", i, got, want)
		}
	}
}

func TestDigestOfUnknownTag(t *testing.T) {
	if _, err := (Shape{Name: "x", Tags: []string{"1.0"}}).Digest("2.0"); err == nil {
		t.Fatal("no error")
	}
}

func TestPushReportsReference(t *testing.T) {
	image, err := newImage(imageSpec{name: "broken", layers: []layer{{
		digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)},
		open:   func() (io.ReadCloser, error) { return nil, errors.New("unreadable") },
	}}})
	if err != nil {
		t.Fatal(err)
	}
	repo := startRegistry(t).Repo("a", "b")
	s := Shape{Tags: []string{"1.0"}, Object: image}
	if err := s.Push(t.Context(), repo, nil); err == nil || !strings.Contains(err.Error(), fmt.Sprint(repo.Tag("1.0"))) {
		t.Fatalf("got %v, want an error that names the tag", err)
	}
}
