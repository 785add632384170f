package corpus

import (
	"archive/tar"
	"bytes"
	"compress/flate"
	"context"
	"fmt"
	"io"
	"path"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// epoch is the time of every file in a layer, and of the oldest image.
var epoch = time.Date(2024, time.January, 8, 9, 30, 0, 0, time.UTC)

// compression is the compression of a layer's tar archive.
type compression string

const (
	gzipDefault compression = "gzip"
	gzipFast    compression = "gzip-1"
	gzipBest    compression = "gzip-9"
	zstdDefault compression = "zstd"
	plain       compression = "tar"
)

// recipe determines a layer's bytes.
type recipe struct {
	name        string // written to a file in the layer, so that layers with different names differ
	prefix      string // directory of files
	files       []file
	extra       []file // added under their own paths, without the prefix
	compression compression
}

// contents returns the layer's files, the last of which makes the layer unique.
func (r recipe) contents() []file {
	files := make([]file, 0, len(r.files)+len(r.extra)+1)
	for _, f := range r.files {
		f.name = path.Join(r.prefix, f.name)
		files = append(files, f)
	}
	files = append(files, r.extra...)
	return append(files, textFile(path.Join(r.prefix, "layer.txt"), r.name+"\n"))
}

// write writes the complete tar archive of the layer.
func (r recipe) write(ctx context.Context, archive io.Writer) error {
	w := tar.NewWriter(archive)
	dirs := map[string]bool{".": true}
	for _, f := range r.contents() {
		if err := writeDirs(w, path.Dir(f.name), dirs); err != nil {
			return err
		}
		if err := writeFile(w, f); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return w.Close()
}

// writeDirs adds dir and its parents, unless they have been added.
func writeDirs(w *tar.Writer, dir string, written map[string]bool) error {
	if written[dir] {
		return nil
	}
	written[dir] = true
	if err := writeDirs(w, path.Dir(dir), written); err != nil {
		return err
	}
	return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: epoch})
}

func writeFile(w *tar.Writer, f file) error {
	src, err := f.open()
	if err != nil {
		return err
	}
	defer src.Close() //nolint:errcheck // only read
	header := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: f.size, Mode: f.mode, ModTime: epoch}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(w, src)
	return err
}

// compress returns a writer that compresses into w. Closing it does not close w.
func (c compression) compress(w io.Writer) (io.WriteCloser, error) {
	switch c {
	case gzipFast:
		return gzip.NewWriterLevel(w, flate.BestSpeed)
	case gzipBest:
		return gzip.NewWriterLevel(w, flate.BestCompression)
	case zstdDefault:
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	case plain:
		return nopCloser{w}, nil
	default:
		return gzip.NewWriter(w), nil
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// mediaType returns the layer's media type in either family of manifests.
func (c compression) mediaType(docker bool) types.MediaType {
	switch {
	case c == plain && docker:
		return types.DockerUncompressedLayer
	case c == plain:
		return types.OCIUncompressedLayer
	case c == zstdDefault:
		return types.OCILayerZStd
	case docker:
		return types.DockerLayer
	default:
		return types.OCILayer
	}
}

// layer is a blob that a manifest lists.
type layer struct {
	digest, diffID v1.Hash
	size           int64
	compression    compression
	mediaType      types.MediaType // empty: determined by the manifest's family and the compression
	annotations    map[string]string
	urls           []string // where a foreign layer is supposed to be
	open           func() (io.ReadCloser, error)
}

// blob is a layer that is not an archive: arbitrary content of an artifact.
func blob(mediaType types.MediaType, content []byte, annotations map[string]string) (layer, error) {
	digest, size, err := v1.SHA256(bytes.NewReader(content))
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	return layer{
		digest: digest, diffID: digest, size: size,
		mediaType: mediaType, annotations: annotations, open: open,
	}, err
}

// descriptor returns the layer's entry in a manifest of the Docker or the OCI family.
func (l layer) descriptor(docker bool) v1.Descriptor {
	mediaType := l.mediaType
	if mediaType == "" {
		mediaType = l.compression.mediaType(docker)
	}
	return v1.Descriptor{MediaType: mediaType, Size: l.size, Digest: l.digest, Annotations: l.annotations, URLs: l.urls}
}

// blobLayer implements go-containerregistry's layer for uploads.
type blobLayer struct {
	layer
	mediaType types.MediaType
}

// Digest returns the digest of the compressed layer.
func (b blobLayer) Digest() (v1.Hash, error) { return b.digest, nil }

// DiffID returns the digest of the uncompressed layer.
func (b blobLayer) DiffID() (v1.Hash, error) { return b.diffID, nil }

// Compressed opens the compressed layer.
func (b blobLayer) Compressed() (io.ReadCloser, error) { return b.open() }

// Size returns the size of the compressed layer, in bytes.
func (b blobLayer) Size() (int64, error) { return b.size, nil }

// MediaType returns the media type in the manifest.
func (b blobLayer) MediaType() (types.MediaType, error) { return b.mediaType, nil }
