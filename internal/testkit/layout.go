package testkit

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// containerdName is the annotation by which containerd names an image that it imports.
const containerdName = "io.containerd.image.name"

// Layout is what an archive for Load holds.
type Layout struct {
	Files     map[string][]byte
	Names     []string                 // in the order of the index
	Roots     map[string]digest.Digest // by name
	Manifests []image.Manifest
}

// ReadLayout reads an OCI image layout the way an engine does: by its index.
func ReadLayout(archive io.Reader) (Layout, error) {
	found := Layout{Files: map[string][]byte{}, Roots: map[string]digest.Digest{}}
	reader := tar.NewReader(archive)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Layout{}, err
		}
		if found.Files[header.Name], err = io.ReadAll(reader); err != nil {
			return Layout{}, err
		}
	}
	var index ocispec.Index
	if err := json.Unmarshal(found.Files[ocispec.ImageIndexFile], &index); err != nil {
		return Layout{}, err
	}
	for _, d := range index.Manifests {
		found.Names = append(found.Names, d.Annotations[containerdName])
		found.Roots[d.Annotations[containerdName]] = d.Digest
	}
	return found, found.readManifests()
}

func (l *Layout) readManifests() error {
	for name, data := range l.Files {
		d, isBlob := strings.CutPrefix(name, "blobs/sha256/")
		if !isBlob {
			continue
		}
		m, err := image.ParseManifest(data, "")
		if err != nil {
			return err
		}
		if m.Digest.Encoded() != d {
			return fmt.Errorf("%s holds the bytes of %s", name, m.Digest)
		}
		l.Manifests = append(l.Manifests, m)
	}
	return nil
}

// ReadBack returns what an engine would find in the archive.
func ReadBack(t *testing.T, l *image.Layout) Layout {
	t.Helper()
	archive, err := l.Archive()
	if err != nil {
		t.Fatal(err)
	}
	found, err := ReadLayout(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	return found
}
