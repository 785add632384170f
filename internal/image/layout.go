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

// imageNameAnnotation is what containerd names an imported image by
// (containerd, core/images/annotations.go).
const imageNameAnnotation = "io.containerd.image.name"

// Layout is what one archive brings into the engine.
type Layout struct {
	index ocispec.Index
	files []layoutFile
}

type layoutFile struct {
	name string
	data []byte
}

func NewLayout() *Layout {
	return &Layout{index: ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}}
}

// Add has the engine know the root by the names. Blobs that it refers to may be absent.
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

// Archive writes an OCI image layout of manifests alone. An engine with the containerd store loads it and finds the
// blobs among those it has or will have pulled: so an index becomes an image whatever its platforms are, and an image
// gets a name that no tag call can give it, such as a digest of another repository.
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
	var buffer bytes.Buffer
	archive := tar.NewWriter(&buffer)
	for _, file := range append(files, layoutFile{ocispec.ImageIndexFile, index}) {
		header := &tar.Header{Name: file.name, Mode: 0o644, Size: int64(len(file.data)), Typeflag: tar.TypeReg}
		if err := archive.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := archive.Write(file.data); err != nil {
			return nil, err
		}
	}
	err = archive.Close()
	return buffer.Bytes(), err
}

func blobPath(d digest.Digest) string {
	return ocispec.ImageBlobsDir + "/" + d.Algorithm().String() + "/" + d.Encoded()
}
