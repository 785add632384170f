package docker

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"io"
	"path"
	"strings"

	"github.com/docker/docker/client"
	"github.com/opencontainers/go-digest"
)

// ImageID returns the config digest of a local single-platform image. In the classic store, that is the image's ID. In
// the containerd store, the ID is the manifest's digest, and only an export of the image has the manifest: there, ref must
// name the manifest by digest. For an index, the result is empty.
func ImageID(ctx context.Context, c *client.Client, ref string, exported bool) (digest.Digest, error) {
	if !exported {
		inspected, err := c.ImageInspect(ctx, ref)
		return digest.Digest(inspected.ID), err
	}
	archive, err := c.ImageSave(ctx, []string{ref})
	if err != nil {
		return "", err
	}
	defer archive.Close() //nolint:errcheck // nothing is written
	_, manifest, _ := strings.Cut(ref, "@")
	return configIn(archive, digest.Digest(manifest))
}

// maxManifest is the size in bytes that registries limit manifests to (OCI Distribution Specification 1.1, "Pushing
// Manifests").
const maxManifest = 4 << 20

// configIn reads an exported image as far as the manifest, and returns the digest of the config that it names.
func configIn(archive io.Reader, manifest digest.Digest) (digest.Digest, error) {
	if err := manifest.Validate(); err != nil {
		return "", err
	}
	files := tar.NewReader(archive)
	for {
		file, err := files.Next()
		if errors.Is(err, io.EOF) {
			return "", Failure("the engine's export of the image does not contain its manifest", ErrBrokenOff)
		}
		if err != nil {
			return "", Lost(err, ErrBrokenOff)
		}
		if path.Base(file.Name) != manifest.Encoded() {
			continue
		}
		var document struct {
			Config struct {
				Digest digest.Digest `json:"digest"`
			} `json:"config"`
		}
		err = json.NewDecoder(io.LimitReader(files, maxManifest)).Decode(&document)
		return document.Config.Digest, err
	}
}
