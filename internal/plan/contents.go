package plan

import (
	"cmp"
	"slices"

	"github.com/opencontainers/go-digest"
)

// Content sums up the planned images of one repository.
type Content struct {
	Repository    string
	Images        int
	Bytes         int64 // of their blobs, each once
	BytesUnshared int64 // the bytes if no image shared a blob
}

// SharedBlob is a layer or config of several planned images.
type SharedBlob struct {
	Digest       digest.Digest
	Bytes        int64
	Images       int    // that contain it
	Repositories int    // of these images
	Repository   string // one of these
}

// Saved returns the bytes that sharing the blob saves.
func (b SharedBlob) Saved() int64 { return b.Bytes * int64(b.Images-1) }

// BlobClass sums up the blobs of similar size, or those that a similar number of images contain.
type BlobClass struct {
	From  int64 // lower bound, in bytes or images
	Blobs int
	Bytes int64 // of the blobs, each counted once
}

// The lower bounds of the classes. They separate layers of kilobytes from layers that take minutes, and what one image needs
// from what all of them need.
var (
	sizeClasses = []int64{0, 1e6, 10e6, 100e6, 1e9}
	useClasses  = []int64{1, 2, 10, 100, 1000}
)

// Contents sums up items, sorted as in a Survey, by repository. Rejected items do not count.
func (c *Catalog) Contents(items []*Item) []Content {
	var contents []Content
	counted := make([]int, c.Len()) // by blob: the last repository that counted it, from 1
	for i, ofOne := range ByRepository(items) {
		content := Content{Repository: ofOne[0].Image.Repository.Name}
		for _, t := range ofOne {
			content.BytesUnshared += t.Bytes
			if len(t.Blobs) > 0 {
				content.Images++
			}
			for _, id := range t.Blobs {
				if counted[id] != i+1 {
					counted[id] = i + 1
					content.Bytes += c.Size(id)
				}
			}
		}
		if content.Images > 0 {
			contents = append(contents, content)
		}
	}
	return contents
}

// MostShared returns up to limit blobs, in the order of the bytes that sharing them saves.
func (c *Catalog) MostShared(items []*Item, limit int) []SharedBlob {
	images := make([]int32, c.Len())
	for _, t := range items {
		Count(images, t.Blobs, 1)
	}
	var most []BlobID
	for id, n := range images {
		if n < 2 {
			continue
		}
		at, _ := slices.BinarySearchFunc(most, BlobID(id), func(a, b BlobID) int {
			return cmp.Or(
				cmp.Compare(c.Size(b)*int64(images[b]-1), c.Size(a)*int64(images[a]-1)),
				cmp.Compare(c.digests[a], c.digests[b]),
			)
		})
		if at < limit {
			most = slices.Insert(most, at, BlobID(id))
			most = most[:min(len(most), limit)]
		}
	}
	shared := make([]SharedBlob, len(most))
	for i, id := range most {
		shared[i] = SharedBlob{Digest: c.digests[id], Bytes: c.Size(id)}
	}
	for _, t := range items {
		for i, id := range most {
			if slices.Contains(t.Blobs, id) {
				shared[i].add(t.Image.Repository.Name)
			}
		}
	}
	return shared
}

// add counts another image. Images of one repository come one after the other.
func (b *SharedBlob) add(repository string) {
	b.Images++
	if b.Repository != repository {
		b.Repositories++
		b.Repository = repository
	}
}

// Classes sums up the items' blobs by their size, and by how many images contain them.
func (c *Catalog) Classes(items []*Item) (bySize, byUse []BlobClass) {
	images := make([]int32, c.Len())
	for _, t := range items {
		Count(images, t.Blobs, 1)
	}
	bySize, byUse = newClasses(sizeClasses), newClasses(useClasses)
	for id, n := range images {
		if n > 0 {
			size := c.Size(BlobID(id))
			classify(bySize, size, size)
			classify(byUse, int64(n), size)
		}
	}
	return bySize, byUse
}

func newClasses(edges []int64) []BlobClass {
	classes := make([]BlobClass, len(edges))
	for i, edge := range edges {
		classes[i].From = edge
	}
	return classes
}

// classify counts a blob in the highest class whose lower bound its measure reaches.
func classify(classes []BlobClass, measure, bytes int64) {
	for i := len(classes) - 1; i >= 0; i-- {
		if measure >= classes[i].From {
			classes[i].Blobs++
			classes[i].Bytes += bytes
			return
		}
	}
}
