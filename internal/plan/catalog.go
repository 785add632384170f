package plan

import (
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
type Catalog struct {
	mu      sync.RWMutex
	ids     map[digest.Digest]BlobID
	digests []digest.Digest
	sizes   []int64 // in bytes, from the manifests, 0 to MaxBlob
}

// NewCatalog returns an empty catalog.
func NewCatalog() *Catalog { return &Catalog{ids: map[digest.Digest]BlobID{}} }

// Add returns the numbers of the blobs, each once, in the order in which they are listed.
func (c *Catalog) Add(blobs []ocispec.Descriptor) []BlobID {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := make([]BlobID, 0, len(blobs))
	seen := make(map[BlobID]bool, len(blobs))
	for _, blob := range blobs {
		id, known := c.ids[blob.Digest]
		if !known {
			id = BlobID(len(c.digests))
			c.ids[blob.Digest] = id
			c.digests = append(c.digests, blob.Digest)
			c.sizes = append(c.sizes, min(max(0, blob.Size), MaxBlob))
		}
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids
}

// ID returns the number of a blob that was added before.
func (c *Catalog) ID(d digest.Digest) BlobID {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.ids[d]
}

// Digest returns the digest of a blob.
func (c *Catalog) Digest(id BlobID) digest.Digest {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.digests[id]
}

// Len returns the number of blobs.
func (c *Catalog) Len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.digests)
}

// Size returns the compressed size of a blob, in bytes.
func (c *Catalog) Size(id BlobID) int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.sizes[id]
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
