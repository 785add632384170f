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

// SubjectOf is the digest of the image that the tag goes with, or empty: sha256-<hex>, as OCI 1.1 has it for referrers,
// and the same with an ending, as cosign has it for signatures.
func SubjectOf(tag string) digest.Digest {
	algorithm, rest, _ := strings.Cut(tag, "-")
	encoded, _, _ := strings.Cut(rest, ".")
	d := digest.NewDigestFromEncoded(digest.Algorithm(algorithm), encoded)
	if d.Validate() != nil {
		return ""
	}
	return d
}

// ReferrersTag is the tag that clients look for where a registry has no referrers API, as GitLab's has none
// (OCI distribution specification 1.1, "Referrers Tag Schema").
func ReferrersTag(subject digest.Digest) string {
	return strings.Replace(subject.String(), ":", "-", 1)
}

// ReferrersIndex makes the index of the referrers tag schema. The same referrers make the same bytes.
func ReferrersIndex(trees []Tree) (Tree, error) {
	trees = slices.SortedFunc(slices.Values(trees), func(a, b Tree) int {
		return strings.Compare(string(a.Root.Digest), string(b.Root.Digest))
	})
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	below := map[digest.Digest]Manifest{}
	for _, referrer := range trees {
		index.Manifests = append(index.Manifests, referrer.Root.asReferrer())
		for _, manifest := range referrer.Manifests() {
			below[manifest.Digest] = manifest
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

// asReferrer is the descriptor that the specification asks for: with the artifact type, which is the config's media
// type where the manifest has none, and the manifest's annotations.
func (m Manifest) asReferrer() ocispec.Descriptor {
	d := m.Descriptor
	if d.ArtifactType == "" {
		d.ArtifactType = m.Config.MediaType
	}
	return d
}
