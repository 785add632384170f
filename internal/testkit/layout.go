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
	if found.Files[ocispec.ImageIndexFile] == nil {
		return found, found.readSaved()
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

// readSaved reads an archive in the format of docker save, whose images have no manifest: one is made up.
func (l *Layout) readSaved() error {
	var saved []struct {
		Config   string
		RepoTags []string
	}
	if err := json.Unmarshal(l.Files["manifest.json"], &saved); err != nil {
		return err
	}
	for _, s := range saved {
		config := digest.FromBytes(l.Files[s.Config])
		m := image.Manifest{Raw: []byte(config), Config: ocispec.Descriptor{Digest: config}}
		m.Digest = digest.FromBytes(m.Raw)
		l.Manifests = append(l.Manifests, m)
		for _, tag := range s.RepoTags {
			l.Names, l.Roots[tag] = append(l.Names, tag), m.Digest
		}
	}
	return nil
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
