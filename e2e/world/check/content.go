package check

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// errUnfit marks content that exists, but is not a single-platform image.
var errUnfit = errors.New("unfit")

// SameContent compares two single-platform images whose manifests may differ, as after an engine has recompressed
// layers: the configs must be identical, and each layer of the target must uncompress to the content that the source's
// config lists (rootfs.diff_ids). Errors are as in Same.
func (c *Checker) SameContent(ctx context.Context, source, target Ref) (Report, error) {
	p, err := c.pair(ctx, source, target)
	if err != nil {
		return Report{}, err
	}
	err = p.content(ctx)
	return p.report, err
}

// image is a manifest with its config.
type image struct {
	manifest

	digest string
	config []byte
	diffs  []string
}

func (p *pair) content(ctx context.Context) error {
	src, err := readImage(ctx, p.source, p.sourceReference)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	p.report.SourceDigest = src.digest
	p.report.Manifests++
	dst, err := readImage(ctx, p.target, p.targetReference)
	if errors.Is(err, errAbsent) || errors.Is(err, errUnfit) {
		p.report.differ("no such image at the target: %v", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	p.report.TargetDigest = dst.digest
	p.report.Blobs++
	if !bytes.Equal(src.config, dst.config) {
		p.report.differ("config: %s at the source, %s at the target", digestOfBytes(src.config), digestOfBytes(dst.config))
	}
	if !slices.Equal(src.diffs, dst.diffs) {
		p.report.differ("rootfs.diff_ids: %v at the source, %v at the target", src.diffs, dst.diffs)
	}
	if len(dst.Layers) != len(src.diffs) {
		p.report.differ("the target has %d layers, the source %d", len(dst.Layers), len(src.diffs))
		return nil
	}
	return p.layers(ctx, dst.Layers, src.diffs)
}

func (p *pair) layers(ctx context.Context, layers []descriptor, diffs []string) error {
	for i, layer := range layers {
		// The key has no source, because a layer's content does not depend on it.
		key := blobKey{target: p.target.name.Name(), digest: layer.Digest}
		result, err := p.cached(key, func() (blobResult, error) { return p.diffID(ctx, layer.Digest) })
		if err != nil {
			return fmt.Errorf("target: layer %s: %w", layer.Digest, err)
		}
		p.report.Blobs++
		switch {
		case result.got == "":
			p.report.differ("layer %d, %s, is missing at the target", i, layer.Digest)
		case result.got != diffs[i]:
			p.report.differ("layer %d, %s, holds %s, want %s", i, layer.Digest, result.got, diffs[i])
		}
	}
	return nil
}

// diffID uncompresses a layer of the target and returns the digest of the content. For a damaged layer, it is the
// digest of the readable part.
func (p *pair) diffID(ctx context.Context, digest string) (blobResult, error) {
	resp, err := p.target.get(ctx, "blobs", digest)
	if errors.Is(err, errAbsent) {
		return blobResult{}, nil
	}
	if err != nil {
		return blobResult{}, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	counted := &counter{r: resp.Body}
	content, err := uncompress(counted)
	if err != nil {
		return blobResult{got: "no layer: " + err.Error(), size: counted.n}, nil
	}
	defer content.Close() //nolint:errcheck // only read
	got, _, err := sum(content)
	switch {
	case counted.err != nil:
		return blobResult{}, counted.err // a network error, not the layer's
	case err != nil:
		got = "damaged data: " + err.Error()
	}
	return blobResult{got: got, size: counted.n}, nil
}

func readImage(ctx context.Context, repo *repository, reference string) (*image, error) {
	raw, _, err := repo.manifest(ctx, reference)
	if err != nil {
		return nil, err
	}
	img := &image{digest: digestOfBytes(raw)}
	if err := json.Unmarshal(raw, &img.manifest); err != nil {
		return nil, fmt.Errorf("%w: manifest %s: %w", errUnfit, img.digest, err)
	}
	if img.Config == nil {
		return nil, fmt.Errorf("%w: manifest %s has no config", errUnfit, img.digest)
	}
	if img.config, err = repo.small(ctx, img.Config.Digest); err != nil {
		return nil, err
	}
	var config struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(img.config, &config); err != nil {
		return nil, fmt.Errorf("%w: config %s: %w", errUnfit, img.Config.Digest, err)
	}
	img.diffs = config.RootFS.DiffIDs
	return img, nil
}

// small returns a blob that fits into memory, after checking its digest.
func (r *repository) small(ctx context.Context, digest string) ([]byte, error) {
	resp, err := r.get(ctx, "blobs", digest)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	content, err := io.ReadAll(resp.Body)
	if err == nil && digestOfBytes(content) != digest {
		err = fmt.Errorf("%w: the bytes of blob %s have the digest %s", errUnfit, digest, digestOfBytes(content))
	}
	return content, err
}

// uncompress detects gzip and zstd by their first bytes, as engines do, and leaves anything else unchanged.
func uncompress(r io.Reader) (io.ReadCloser, error) {
	buffered := bufio.NewReader(r)
	magic, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return gzip.NewReader(buffered)
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		decoder, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return decoder.IOReadCloser(), nil
	}
	return io.NopCloser(buffered), nil
}

// counter counts the bytes read from r, and keeps r's own error.
type counter struct {
	r   io.Reader
	n   int64
	err error
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}
