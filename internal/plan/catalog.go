package plan

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// BlobID is the number of a blob in a catalog. The images of a large account list millions of blobs, and a number takes a
// twentieth of a digest's memory.
type BlobID int32

// MaxBlob is the largest blob size that a manifest is trusted with, in bytes. ECR accepts layers of 52 GB, and the unpacked
// sizes of millions of these still add up to an int64.
const MaxBlob = 1 << 36

// Catalog numbers the blobs of all planned images, each once, however many images share it. Its methods may be called
// concurrently.
//
// It keeps digests as sums, and finds them by their first four bytes, which few of a million share: that takes a third of the
// memory of a map of texts.
type Catalog struct {
	mu     sync.RWMutex
	sums   []sum   // by BlobID; zero if texts has the digest
	sizes  []int64 // by BlobID, in bytes, from the manifests, 0 to MaxBlob
	texts  map[BlobID]digest.Digest
	first  map[uint32]BlobID        // by a sum's first bytes
	others map[digest.Digest]BlobID // that are not in first, because another sum begins alike, or they are not sums
}

// sum is a SHA-256 sum.
type sum [sha256.Size]byte

// sumOf returns the sum in the canonical text of a digest.
func sumOf(d digest.Digest) (s sum, ok bool) {
	text, ok := strings.CutPrefix(string(d), "sha256:")
	if !ok || len(text) != hex.EncodedLen(len(s)) || strings.ContainsAny(text, "ABCDEF") {
		return sum{}, false
	}
	_, err := hex.Decode(s[:], []byte(text))
	return s, err == nil
}

func (s sum) first() uint32 { return binary.BigEndian.Uint32(s[:]) }

// NewCatalog returns an empty catalog.
func NewCatalog() *Catalog {
	return &Catalog{texts: map[BlobID]digest.Digest{}, first: map[uint32]BlobID{}, others: map[digest.Digest]BlobID{}}
}

// Add returns the numbers of the blobs, each once, in the order in which they are listed.
func (c *Catalog) Add(blobs []ocispec.Descriptor) []BlobID {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := make([]BlobID, 0, len(blobs))
	seen := make(map[BlobID]bool, len(blobs))
	for _, blob := range blobs {
		id, known := c.find(blob.Digest)
		if !known {
			id = c.enter(blob.Digest)
			c.sizes = append(c.sizes, min(max(0, blob.Size), MaxBlob))
		}
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids
}

// find returns the number of a blob if it was added before.
func (c *Catalog) find(d digest.Digest) (id BlobID, known bool) {
	if s, ok := sumOf(d); ok {
		if id, known = c.first[s.first()]; known && c.sums[id] == s {
			return id, true
		}
	}
	id, known = c.others[d]
	return id, known
}

// enter adds a digest, and returns its number.
func (c *Catalog) enter(d digest.Digest) BlobID {
	id := BlobID(len(c.sums))
	s, ok := sumOf(d)
	c.sums = append(c.sums, s)
	if !ok {
		c.texts[id] = d
	}
	if _, taken := c.first[s.first()]; ok && !taken {
		c.first[s.first()] = id
	} else {
		c.others[d] = id
	}
	return id
}

// ID returns the number of a blob that was added before.
func (c *Catalog) ID(d digest.Digest) BlobID {
	c.mu.RLock()
	defer c.mu.RUnlock()
	id, _ := c.find(d)
	return id
}

// Digest returns the digest of a blob.
func (c *Catalog) Digest(id BlobID) digest.Digest {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if text, ok := c.texts[id]; ok {
		return text
	}
	return digest.NewDigestFromBytes(digest.SHA256, c.sums[id][:])
}

// Len returns the number of blobs.
func (c *Catalog) Len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.sums)
}

// Size returns the compressed size of a blob, in bytes.
func (c *Catalog) Size(id BlobID) int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.sizes[id]
}

// Bytes returns the compressed size of the blobs together.
func (c *Catalog) Bytes(blobs []BlobID) (bytes int64) {
	for _, id := range blobs {
		bytes += c.Size(id)
	}
	return bytes
}

// Sum returns the number and bytes of the items' blobs, each counted once, and the bytes if none were shared.
func (c *Catalog) Sum(items []*Item) (blobs int, bytes, unshared int64) {
	counted := make([]bool, c.Len())
	for _, t := range items {
		for _, id := range t.Blobs {
			size := c.Size(id)
			unshared += size
			if !counted[id] {
				counted[id] = true
				blobs++
				bytes += size
			}
		}
	}
	return blobs, bytes, unshared
}

// Count adds n to the count of each blob.
func Count(counts []int32, blobs []BlobID, n int32) {
	for _, id := range blobs {
		counts[id] += n
	}
}
