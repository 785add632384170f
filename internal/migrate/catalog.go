package migrate

import (
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// blobID is the number of a blob in the catalog: images of a large account list millions of blobs, and a number is a
// twentieth of a digest.
type blobID int32

// maxBlob is the largest size that a manifest is believed to tell, in bytes. ECR takes layers of 52 GB, and the sum of
// millions of them, unpacked, is still a number.
const maxBlob = 1 << 36

// catalog is every blob of the images that are planned, each once, however many images share it. It may be used
// concurrently.
type catalog struct {
	mu      sync.RWMutex
	ids     map[digest.Digest]blobID
	digests []digest.Digest
	sizes   []int64 // bytes, as the manifests tell them, 0 to maxBlob
}

func newCatalog() *catalog { return &catalog{ids: map[digest.Digest]blobID{}} }

// add returns the numbers of the blobs, each once, in the order of their listing.
func (c *catalog) add(blobs []ocispec.Descriptor) []blobID {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := make([]blobID, 0, len(blobs))
	seen := make(map[blobID]bool, len(blobs))
	for _, blob := range blobs {
		id, known := c.ids[blob.Digest]
		if !known {
			id = blobID(len(c.digests))
			c.ids[blob.Digest] = id
			c.digests = append(c.digests, blob.Digest)
			c.sizes = append(c.sizes, min(max(0, blob.Size), maxBlob))
		}
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids
}

// id is the number of a blob that has one.
func (c *catalog) id(d digest.Digest) blobID {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.ids[d]
}

// digest is the blob's.
func (c *catalog) digest(id blobID) digest.Digest {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.digests[id]
}

// len is the number of blobs.
func (c *catalog) len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.digests)
}

// size is the blob's, in bytes.
func (c *catalog) size(id blobID) int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.sizes[id]
}

// sum is what the images consist of: their blobs and bytes, each blob counted once, and the bytes were none shared.
func (c *catalog) sum(items []*item) (blobs int, bytes, unshared int64) {
	counted := make([]bool, c.len())
	for _, t := range items {
		for _, id := range t.blobs {
			size := c.size(id)
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
