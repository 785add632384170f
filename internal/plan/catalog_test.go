package plan

import (
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Every digest has a number of its own and comes back as it was, however much it looks like another.
func TestCatalog(t *testing.T) {
	const half = "0123456789abcdef0123456789abcdef"
	var blobs []ocispec.Descriptor
	for _, d := range []string{
		"sha256:" + half + half,
		"sha256:" + half + strings.Repeat("0", 32), // begins alike
		"sha256:" + half + strings.Repeat("1", 32),
		"sha256:" + strings.ToUpper(half+half), // no other registry would say so
		"sha512:" + half + half + half + half,
		"sha256:" + strings.Repeat("0", 64),
		"sha256:" + half,
		"sha256:" + half + half[1:] + "g",
		half,
		"",
	} {
		blobs = append(blobs, ocispec.Descriptor{Digest: digest.Digest(d), Size: int64(len(d))})
	}
	c := NewCatalog()
	ids := c.Add(blobs)
	if c.Len() != len(blobs) || fmt.Sprint(ids) != fmt.Sprint(c.Add(blobs)) || c.Len() != len(blobs) {
		t.Fatalf("%d blobs have the numbers %v, then %v", len(blobs), ids, c.Add(blobs))
	}
	for i, blob := range blobs {
		if id := c.ID(blob.Digest); id != ids[i] || c.Digest(id) != blob.Digest || c.Size(id) != blob.Size {
			t.Errorf("%s has number %d, want %d, which is %s with %d bytes", blob.Digest, id, ids[i], c.Digest(id), c.Size(id))
		}
	}
}
