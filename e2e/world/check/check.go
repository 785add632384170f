// Package check compares images between registries, byte by byte. It shares no code with the program under test, and
// trusts only digests that it has computed itself.
package check

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Ref is an image in a registry.
type Ref struct {
	Name string              // registry/repository:tag or registry/repository@digest
	Auth authn.Authenticator // nil: anonymous
}

// Report is the result of a comparison.
type Report struct {
	SourceDigest, TargetDigest string // of the top manifests; TargetDigest is empty if it does not exist

	Manifests, Blobs int   // compared, without duplicates
	Bytes            int64 // of blobs, read from the target; blobs that a Checker has read before are not read again

	Differences []string // sentences; none: the target is equivalent to the source
}

func (r *Report) differ(format string, args ...any) {
	r.Differences = append(r.Differences, fmt.Sprintf(format, args...))
}

// Same compares two images with a new Checker.
func Same(ctx context.Context, source, target Ref) (Report, error) {
	return new(Checker).Same(ctx, source, target)
}

// Checker compares images and remembers the blobs it has read, by source and target repository. Its zero value is ready
// to use. It is safe for concurrent use.
type Checker struct {
	mu    sync.Mutex
	blobs map[blobKey]blobResult
}

type blobKey struct{ source, target, digest string }

type blobResult struct {
	got  string // digest of the target's bytes; in SameContent, uncompressed; empty: absent
	size int64  // bytes read
	want int64  // size at the source
}

// Same compares every manifest and every blob of source with target's: the bytes of the manifest, for an index
// recursively those of its children, then each config and layer. Foreign layers (urls) are compared only if the source
// has them. Content that is missing or different at the target is a difference. A source that cannot be read, or is
// damaged, is an error.
func (c *Checker) Same(ctx context.Context, source, target Ref) (Report, error) {
	p, err := c.pair(ctx, source, target)
	if err != nil {
		return Report{}, err
	}
	err = p.image(ctx)
	return p.report, err
}

// pair is one comparison in progress.
type pair struct {
	cache                            *Checker
	source, target                   *repository
	sourceReference, targetReference string
	report                           Report
	seen                             []string // digests of manifests and blobs compared
}

func (c *Checker) pair(ctx context.Context, source, target Ref) (*pair, error) {
	p := &pair{cache: c}
	var err error
	if p.source, p.sourceReference, err = open(ctx, source); err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	if p.target, p.targetReference, err = open(ctx, target); err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	return p, nil
}

// descriptor and manifest have the fields of all kinds of manifests that the comparison needs.
type descriptor struct {
	MediaType string   `json:"mediaType"`
	Digest    string   `json:"digest"`
	Size      int64    `json:"size"`
	URLs      []string `json:"urls"`
}

type manifest struct {
	Config    *descriptor  `json:"config"`
	Layers    []descriptor `json:"layers"`
	Manifests []descriptor `json:"manifests"`
}

func (p *pair) image(ctx context.Context) error {
	raw, mediaType, err := p.sourceManifest(ctx, p.sourceReference)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	p.report.SourceDigest = digestOfBytes(raw)
	p.report.TargetDigest, err = p.manifest(ctx, raw, mediaType, p.targetReference)
	return err
}

func (p *pair) sourceManifest(ctx context.Context, reference string) ([]byte, string, error) {
	raw, mediaType, err := p.source.manifest(ctx, reference)
	if got := digestOfBytes(raw); err == nil && strings.Contains(reference, ":") && got != reference {
		err = fmt.Errorf("manifest %s is damaged: its bytes have the digest %s", reference, got)
	}
	return raw, mediaType, err
}

// manifest compares a manifest of the source, and everything that it refers to, with the target's manifest for the
// reference, and returns the digest of the latter.
func (p *pair) manifest(ctx context.Context, raw []byte, mediaType, targetReference string) (string, error) {
	digest := digestOfBytes(raw)
	p.seen = append(p.seen, digest)
	p.report.Manifests++

	got, gotType, err := p.target.manifest(ctx, targetReference)
	targetDigest := digestOfBytes(got)
	switch {
	case errors.Is(err, errAbsent):
		targetDigest = ""
		p.report.differ("manifest %s is missing at the target (asked for %s)", digest, targetReference)
	case err != nil:
		return "", fmt.Errorf("target: %w", err)
	case !bytes.Equal(raw, got):
		p.report.differ("manifest %s: the target has other bytes, with the digest %s", digest, targetDigest)
	case mediaType != gotType:
		p.report.differ("manifest %s: media type %s at the source, %s at the target", digest, mediaType, gotType)
	}
	return targetDigest, p.references(ctx, digest, raw)
}

// references compares everything that a manifest of the source refers to.
func (p *pair) references(ctx context.Context, digest string, raw []byte) error {
	var m manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("source: manifest %s: %w", digest, err)
	}
	for _, child := range m.Manifests {
		if err := p.child(ctx, child); err != nil {
			return err
		}
	}
	if m.Config != nil {
		if err := p.blob(ctx, "config", *m.Config); err != nil {
			return err
		}
	}
	for _, layer := range m.Layers {
		if err := p.blob(ctx, "layer", layer); err != nil {
			return err
		}
	}
	return nil
}

// child compares an index's child, which is treated as a blob if its media type is not that of a manifest.
func (p *pair) child(ctx context.Context, child descriptor) error {
	if slices.Contains(p.seen, child.Digest) {
		return nil
	}
	raw, mediaType, err := p.sourceManifest(ctx, child.Digest)
	if errors.Is(err, errAbsent) {
		return p.blob(ctx, "child", child)
	}
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	_, err = p.manifest(ctx, raw, mediaType, child.Digest)
	return err
}

func (p *pair) blob(ctx context.Context, kind string, d descriptor) error {
	if slices.Contains(p.seen, d.Digest) {
		return nil
	}
	p.seen = append(p.seen, d.Digest)
	result, err := p.cached(blobKey{p.source.name.Name(), p.target.name.Name(), d.Digest}, func() (blobResult, error) {
		return p.readBlob(ctx, d)
	})
	switch {
	case errors.Is(err, errAbsent) && len(d.URLs) > 0:
		return nil
	case err != nil:
		return fmt.Errorf("%s %s: %w", kind, d.Digest, err)
	}
	p.report.Blobs++
	switch {
	case result.got == "":
		p.report.differ("%s %s is missing at the target", kind, d.Digest)
	case result.size != result.want:
		p.report.differ("%s %s: %d bytes at the target, %d at the source", kind, d.Digest, result.size, result.want)
	case result.got != d.Digest:
		p.report.differ("%s %s: the target's bytes have the digest %s", kind, d.Digest, result.got)
	}
	return nil
}

// readBlob reads a blob on both sides. The error is the source's, or one that says nothing about the target's content.
func (p *pair) readBlob(ctx context.Context, d descriptor) (blobResult, error) {
	sourceDigest, want, err := p.source.blob(ctx, d.Digest)
	if err != nil {
		return blobResult{}, fmt.Errorf("source: %w", err)
	}
	if sourceDigest != d.Digest {
		return blobResult{}, fmt.Errorf("source is damaged: its bytes have the digest %s", sourceDigest)
	}
	got, size, err := p.target.blob(ctx, d.Digest)
	if errors.Is(err, errAbsent) {
		return blobResult{want: want}, nil
	}
	if err != nil {
		return blobResult{}, fmt.Errorf("target: %w", err)
	}
	return blobResult{got: got, size: size, want: want}, nil
}

// cached returns the earlier result of read for the key, or calls read and keeps the result if it succeeds.
func (p *pair) cached(key blobKey, read func() (blobResult, error)) (blobResult, error) {
	c := p.cache
	c.mu.Lock()
	result, ok := c.blobs[key]
	c.mu.Unlock()
	if ok {
		return result, nil
	}
	result, err := read()
	if err != nil {
		return blobResult{}, err
	}
	p.report.Bytes += result.size
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.blobs == nil {
		c.blobs = map[blobKey]blobResult{}
	}
	c.blobs[key] = result
	return result, nil
}

func digestOfBytes(b []byte) string {
	digest, _, _ := sum(bytes.NewReader(b)) // reading from memory cannot fail
	return digest
}

// Tags returns the sorted tags of a repository (registry/name), or none if it does not exist.
func Tags(ctx context.Context, repo string, auth authn.Authenticator) ([]string, error) {
	parsed, err := name.NewRepository(repo, name.Insecure)
	if err != nil {
		return nil, err
	}
	tags, err := remote.List(parsed, remote.WithContext(ctx), remote.WithAuth(Ref{Auth: auth}.auth()))
	if absent(err) {
		return nil, nil
	}
	slices.Sort(tags)
	return tags, err
}

// Digest returns the digest that the registry reports for ref, or "" if there is no such image.
func Digest(ctx context.Context, ref Ref) (string, error) {
	parsed, err := ref.parse()
	if err != nil {
		return "", err
	}
	d, err := remote.Head(parsed, remote.WithContext(ctx), remote.WithAuth(ref.auth()))
	if absent(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return d.Digest.String(), nil
}

func absent(err error) bool {
	var e *transport.Error
	return errors.As(err, &e) && e.StatusCode == http.StatusNotFound
}
