package plan

import (
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// BlobID is the number of a blob in the catalog: images of a large account list millions of blobs, and a number is a
// twentieth of a digest.
type BlobID int32

// MaxBlob is the largest size that a manifest is believed to tell, in bytes. ECR takes layers of 52 GB, and the sum of
// millions of them, unpacked, is still a number.
const MaxBlob = 1 << 36

// Catalog is every blob of the images that are planned, each once, however many images share it. It may be used
// concurrently.
type Catalog struct {
	mu      sync.RWMutex
	ids     map[digest.Digest]BlobID
	digests []digest.Digest
	sizes   []int64 // bytes, as the manifests tell them, 0 to maxBlob
}

// NewCatalog returns a catalog without blobs.
func NewCatalog() *Catalog { return &Catalog{ids: map[digest.Digest]BlobID{}} }

// Add returns the numbers of the blobs, each once, in the order of their listing.
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

// ID is the number of a blob that has one.
func (c *Catalog) ID(d digest.Digest) BlobID {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.ids[d]
}

// Digest is the blob's.
func (c *Catalog) Digest(id BlobID) digest.Digest {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.digests[id]
}

// Len is the number of blobs.
func (c *Catalog) Len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.digests)
}

// Size is the blob's, in bytes.
func (c *Catalog) Size(id BlobID) int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.sizes[id]
}

// Sum is what the images consist of: their blobs and bytes, each blob counted once, and the bytes were none shared.
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

// Count adds n to those that hold the blobs.
func Count(counts []int32, blobs []BlobID, n int32) {
	for _, id := range blobs {
		counts[id] += n
	}
}
