package schedule

import (
	"strings"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

func FuzzLedger(f *testing.F) {
	f.Add([]byte(`{"layers":[{"digest":"`+testkit.EmptyDigest+`","size":9223372036854775807},`+testkit.LeastDescriptor+`,`+testkit.LeastDescriptor+`]}`), image.MediaTypeDockerManifest)
	f.Add([]byte(`{"config":{"digest":"`+testkit.EmptyDigest+`","size":-1},"layers":[{"digest":"sha512:`+strings.Repeat("0", 128)+`","size":-9}]}`), "")
	f.Add([]byte(`{"manifests":[]}`), image.MediaTypeDockerIndex)
	f.Fuzz(func(t *testing.T, raw []byte, mediaType string) {
		m, err := image.ParseManifest(raw, mediaType)
		if err != nil {
			return
		}
		testLedger(t, m)
	})
}

// testLedger wants sizes in the catalog that can be added up, and a disk that is empty once the image has left it.
func testLedger(t *testing.T, m image.Manifest) {
	tree := image.NewTree(m, nil)
	if got := tree.Manifests(); len(got) != 1 || got[0].Digest != m.Digest {
		t.Errorf("a tree of %d manifests", len(got))
	}
	for _, store := range []image.Store{image.ClassicStore, image.ContainerdStore} {
		c := plan.NewCatalog()
		blobs := c.Add(tree.Blobs())
		bound := int64(len(blobs)) * plan.MaxBlob * (1 + expansion)
		if count, bytes, unshared := c.Sum([]*plan.Item{{Blobs: blobs}}); count != len(blobs) || bytes < 0 || bytes > bound || unshared != bytes {
			t.Errorf("%d blobs of %d bytes, or %d", count, bytes, unshared)
		}
		d := NewDisk(c, store, 0)
		if need := d.Need(blobs); need < 0 || need > bound {
			t.Errorf("%d blobs need %d bytes", len(blobs), need)
		}
		d.use(blobs)
		d.pin(blobs)
		if d.used < 0 || d.used > bound {
			t.Errorf("%d blobs use %d bytes", len(blobs), d.used)
		}
		d.sweep()
		if d.leave(blobs); d.used != 0 {
			t.Errorf("%d bytes are left", d.used)
		}
	}
}
