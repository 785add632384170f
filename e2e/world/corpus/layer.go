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

// compression is how a layer's tar is packed.
type compression string

const (
	gzipDefault compression = "gzip"
	gzipFast    compression = "gzip-1"
	gzipBest    compression = "gzip-9"
	zstdDefault compression = "zstd"
	plain       compression = "tar"
)

// recipe is all that a layer's bytes depend on.
type recipe struct {
	name        string // told in a file of the layer: layers of different names differ
	prefix      string // directory of files
	files       []file
	extra       []file // left where they are, whatever the prefix
	compression compression
}

// contents is the layer's files, last the one that makes the layer unlike any other.
func (r recipe) contents() []file {
	files := make([]file, 0, len(r.files)+len(r.extra)+1)
	for _, f := range r.files {
		f.name = path.Join(r.prefix, f.name)
		files = append(files, f)
	}
	files = append(files, r.extra...)
	return append(files, textFile(path.Join(r.prefix, "layer.txt"), r.name+"\n"))
}

// write writes the layer's tar to archive and returns when all of it is there.
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

// writeDirs adds dir and its parents, unless they are there.
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

// compress returns a writer that packs what is written into w; closing it does not close w.
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

// mediaType is the layer's, as either family of manifests names it.
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
	mediaType      types.MediaType // empty: the manifest's family and the compression decide
	annotations    map[string]string
	urls           []string // where a foreign layer is said to be
	open           func() (io.ReadCloser, error)
}

// blob is a layer that is no archive: whatever an artifact holds.
func blob(mediaType types.MediaType, content []byte, annotations map[string]string) (layer, error) {
	digest, size, err := v1.SHA256(bytes.NewReader(content))
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	return layer{
		digest: digest, diffID: digest, size: size,
		mediaType: mediaType, annotations: annotations, open: open,
	}, err
}

// descriptor is the layer's entry in a manifest of the Docker or the OCI family.
func (l layer) descriptor(docker bool) v1.Descriptor {
	mediaType := l.mediaType
	if mediaType == "" {
		mediaType = l.compression.mediaType(docker)
	}
	return v1.Descriptor{MediaType: mediaType, Size: l.size, Digest: l.digest, Annotations: l.annotations, URLs: l.urls}
}

// blobLayer is a layer as go-containerregistry wants it for an upload.
type blobLayer struct {
	layer
	mediaType types.MediaType
}

// Digest is that of the packed layer.
func (b blobLayer) Digest() (v1.Hash, error) { return b.digest, nil }

// DiffID is the digest of the unpacked layer.
func (b blobLayer) DiffID() (v1.Hash, error) { return b.diffID, nil }

// Compressed opens the packed layer.
func (b blobLayer) Compressed() (io.ReadCloser, error) { return b.open() }

// Size is the packed layer's, in bytes.
func (b blobLayer) Size() (int64, error) { return b.size, nil }

// MediaType is the one in the manifest.
func (b blobLayer) MediaType() (types.MediaType, error) { return b.mediaType, nil }
