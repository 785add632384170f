package image

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ReferrersTag returns the tag under which a subject's referrers are listed in a registry without a referrers API,
// such as GitLab's (OCI Distribution Specification 1.1, "Referrers Tag Schema").
func ReferrersTag(subject digest.Digest) string {
	return strings.Replace(subject.String(), ":", "-", 1)
}

// SubjectOf parses a tag that names the digest of another image: sha256-<hex>, the referrers tag, or that with a suffix,
// such as cosign's ".sig". It returns the digest and the suffix, or an empty digest for any other tag.
func SubjectOf(tag string) (subject digest.Digest, suffix string) {
	algorithm, rest, _ := strings.Cut(tag, "-")
	encoded, suffix, dotted := strings.Cut(rest, ".")
	subject = digest.NewDigestFromEncoded(digest.Algorithm(algorithm), encoded)
	if subject.Validate() != nil {
		return "", ""
	}
	if dotted {
		suffix = "." + suffix
	}
	return subject, suffix
}

// ReferrersIndex returns the index that lists referrers under their subject's referrers tag, with everything below it.
// The same referrers yield the same bytes, whatever their order.
func ReferrersIndex(referrers []Tree) (Tree, error) {
	referrers = slices.SortedFunc(slices.Values(referrers), func(a, b Tree) int {
		return strings.Compare(string(a.Root.Digest), string(b.Root.Digest))
	})
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	below := map[digest.Digest]Manifest{}
	for _, referrer := range referrers {
		index.Manifests = append(index.Manifests, referrer.Root.asReferrer())
		for _, m := range referrer.Manifests() {
			below[m.Digest] = m
		}
	}
	raw, err := json.Marshal(index)
	if err != nil {
		return Tree{}, fmt.Errorf("index of referrers: %w", err)
	}
	root, err := ParseManifest(raw, ocispec.MediaTypeImageIndex)
	if err != nil {
		return Tree{}, err
	}
	return NewTree(root, below), nil
}

// asReferrer returns the descriptor by which the specification lists a referrer: with the manifest's annotations and
// its artifact type, which defaults to the config's media type.
func (m Manifest) asReferrer() ocispec.Descriptor {
	d := m.Descriptor
	if d.ArtifactType == "" {
		d.ArtifactType = m.Config.MediaType
	}
	return d
}
