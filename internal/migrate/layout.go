package migrate

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// imageNameAnnotation is what containerd names an imported image by
// (containerd, core/images/annotations.go).
const imageNameAnnotation = "io.containerd.image.name"

// layoutArchive writes an OCI image layout that holds the manifests alone and gives root the names. An engine with
// the containerd store loads it and finds the blobs among those it has pulled: so an index becomes an image whatever
// its platforms are, and an image gets a name that no tag call can give it, such as a digest of another repository.
func layoutArchive(names []string, root Manifest, others []Manifest) (io.Reader, error) {
	files, err := layoutFiles(names, root, others)
	if err != nil {
		return nil, err
	}
	var buffer bytes.Buffer
	archive := tar.NewWriter(&buffer)
	for _, file := range files {
		header := &tar.Header{Name: file.name, Mode: 0o644, Size: int64(len(file.data)), Typeflag: tar.TypeReg}
		if err := archive.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := archive.Write(file.data); err != nil {
			return nil, err
		}
	}
	return &buffer, archive.Close()
}

type layoutFile struct {
	name string
	data []byte
}

func layoutFiles(names []string, root Manifest, others []Manifest) ([]layoutFile, error) {
	marker, err := json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	if err != nil {
		return nil, err
	}
	index, err := json.Marshal(layoutIndex(names, root))
	if err != nil {
		return nil, err
	}
	files := []layoutFile{{ocispec.ImageLayoutFile, marker}, {blobPath(root.Digest), root.Raw}}
	for _, other := range others {
		files = append(files, layoutFile{blobPath(other.Digest), other.Raw})
	}
	return append(files, layoutFile{ocispec.ImageIndexFile, index}), nil
}

func layoutIndex(names []string, root Manifest) ocispec.Index {
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for _, name := range names {
		index.Manifests = append(index.Manifests, ocispec.Descriptor{
			MediaType:   root.MediaType,
			Digest:      root.Digest,
			Size:        root.Size,
			Annotations: map[string]string{imageNameAnnotation: name},
		})
	}
	return index
}

func blobPath(d digest.Digest) string {
	return ocispec.ImageBlobsDir + "/" + d.Algorithm().String() + "/" + d.Encoded()
}
