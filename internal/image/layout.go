package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// imageNameAnnotation holds the name that containerd gives an imported image (containerd, core/images/annotations.go).
const imageNameAnnotation = "io.containerd.image.name"

// Layout is an OCI image layout of manifests, without the blobs that they list. An engine with the containerd store
// loads it, and finds the blobs among those that it has pulled or will pull. So an index becomes an image whatever its
// platforms are, and an image gets a name that tagging cannot give it, such as a digest reference to another repository.
type Layout struct {
	index ocispec.Index
	files []layoutFile
}

type layoutFile struct {
	name string
	data []byte
}

// NewLayout returns an empty layout.
func NewLayout() *Layout {
	return &Layout{index: ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}}
}

// Add names root by each of the names, and adds the other manifests to the blobs of the layout.
func (l *Layout) Add(names []string, root Manifest, others ...Manifest) {
	for _, manifest := range append([]Manifest{root}, others...) {
		file := layoutFile{blobPath(manifest.Digest), manifest.Raw}
		if !slices.ContainsFunc(l.files, func(f layoutFile) bool { return f.name == file.name }) {
			l.files = append(l.files, file)
		}
	}
	for _, name := range names {
		l.index.Manifests = append(l.index.Manifests, ocispec.Descriptor{
			MediaType:   root.MediaType,
			Digest:      root.Digest,
			Size:        root.Size,
			Annotations: map[string]string{imageNameAnnotation: name},
		})
	}
}

// Archive returns the layout as a tar archive.
func (l *Layout) Archive() ([]byte, error) {
	marker, err := json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	if err != nil {
		return nil, err
	}
	index, err := json.Marshal(l.index)
	if err != nil {
		return nil, err
	}
	files := append([]layoutFile{{ocispec.ImageLayoutFile, marker}}, l.files...)
	return archive(append(files, layoutFile{ocispec.ImageIndexFile, index}))
}

// archive returns the files as a tar archive.
func archive(files []layoutFile) ([]byte, error) {
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
	err := archive.Close()
	return buffer.Bytes(), err
}

func blobPath(d digest.Digest) string {
	return ocispec.ImageBlobsDir + "/" + d.Algorithm().String() + "/" + d.Encoded()
}
