package migrate

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

func FuzzLedger(f *testing.F) {
	f.Add([]byte(`{"layers":[{"digest":"`+hash+`","size":9223372036854775807},`+leastDescriptor+`,`+leastDescriptor+`]}`), image.MediaTypeDockerManifest)
	f.Add([]byte(`{"config":{"digest":"`+hash+`","size":-1},"layers":[{"digest":"sha512:`+strings.Repeat("0", 128)+`","size":-9}]}`), "")
	f.Add([]byte(`{"manifests":[]}`), image.MediaTypeDockerIndex)
	f.Fuzz(func(t *testing.T, raw []byte, mediaType string) {
		m, err := ParseManifest(raw, mediaType)
		if err != nil {
			return
		}
		testLedger(t, m)
	})
}

// testLedger wants sizes in the catalog that can be added up, and a disk that is empty once the image has left it.
func testLedger(t *testing.T, m Manifest) {
	tree := NewTree(m, nil)
	if got := tree.Manifests(); len(got) != 1 || got[0].Digest != m.Digest {
		t.Errorf("a tree of %d manifests", len(got))
	}
	for _, store := range []Store{ClassicStore, ContainerdStore} {
		c := newCatalog()
		blobs := c.add(tree.Blobs())
		bound := int64(len(blobs)) * maxBlob * (1 + expansion)
		if count, bytes, unshared := c.sum([]*item{{blobs: blobs}}); count != len(blobs) || bytes < 0 || bytes > bound || unshared != bytes {
			t.Errorf("%d blobs of %d bytes, or %d", count, bytes, unshared)
		}
		d := newDisk(c, store, 0)
		if need := d.need(blobs); need < 0 || need > bound {
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

// graph makes manifests of pairs of bytes: the first lists the second. Their digests are not those of their bytes, so
// that one may list itself, or be listed by what it lists, which no registry could bring about.
func graph(edges []byte) map[digest.Digest]Manifest {
	manifests := map[digest.Digest]Manifest{}
	node := func(b byte) digest.Digest { return digest.FromBytes([]byte{b}) }
	for pair := range slices.Chunk(edges, 2) {
		from := node(pair[0])
		m := manifests[from]
		m.Digest, m.MediaType = from, ocispec.MediaTypeImageManifest
		if len(pair) == 2 {
			m.MediaType = ocispec.MediaTypeImageIndex
			m.Children = append(m.Children, ocispec.Descriptor{Digest: node(pair[1])})
		}
		manifests[from] = m
	}
	return manifests
}

func FuzzTree(f *testing.F) {
	f.Add([]byte("a"))        // an image
	f.Add([]byte("aa"))       // an index that lists itself
	f.Add([]byte("abba"))     // two that list each other
	f.Add([]byte("ababab"))   // the same child again and again
	f.Add([]byte("abacbdcd")) // two ways to a child that nobody has
	f.Add([]byte("abbccdda"))
	f.Fuzz(func(t *testing.T, edges []byte) {
		all := graph(edges)
		for _, root := range all {
			reached, lacking := reachable(root, all)
			tree := NewTree(root, all)
			manifests := digestsOf(tree.Manifests())
			if manifests[0] != root.Digest || !slices.Equal(slices.Sorted(slices.Values(manifests)), slices.Sorted(maps.Keys(reached))) {
				t.Errorf("from %s: %q, want %v", root.Digest, manifests, reached)
			}
			for _, leaf := range tree.Leaves() {
				if leaf.IsIndex() || !reached[leaf.Digest] {
					t.Errorf("%s is a leaf", leaf.Digest)
				}
			}
			if extra := tree.Without(tree); len(extra) > 0 || len(tree.Digests()) != len(manifests) {
				t.Errorf("%q of %q are not its own", extra, manifests)
			}
			read, err := readTree(t.Context(), eachOnce(t, all), app, root.Digest)
			if (err != nil) != lacking || err == nil && len(read.Manifests()) != len(manifests) {
				t.Errorf("read with %v, a manifest is lacking: %t", err, lacking)
			}
		}
	})
}

var app = repositoryNamed("team/app")

// reachable is what a search of the graph finds, and whether something is listed that nobody has.
func reachable(root Manifest, all map[digest.Digest]Manifest) (reached map[digest.Digest]bool, lacking bool) {
	reached = map[digest.Digest]bool{root.Digest: true}
	for queue := []Manifest{root}; len(queue) > 0; queue = queue[1:] {
		for _, child := range queue[0].Children {
			m, there := all[child.Digest]
			lacking = lacking || !there
			if there && !reached[child.Digest] {
				reached[child.Digest] = true
				queue = append(queue, m)
			}
		}
	}
	return reached, lacking
}

// eachOnce is a source that does not want to be asked for a manifest a second time.
func eachOnce(t *testing.T, all map[digest.Digest]Manifest) registry {
	asked := map[digest.Digest]bool{}
	return fakeSource{manifests: func(_ context.Context, _ Repository, wanted []digest.Digest) (map[digest.Digest]Manifest, error) {
		found := map[digest.Digest]Manifest{}
		for _, d := range wanted {
			if asked[d] {
				t.Errorf("asked for %s again", d)
			}
			asked[d] = true
			if m, there := all[d]; there {
				found[d] = m
			}
		}
		return found, nil
	}}
}

func FuzzTargets(f *testing.F) {
	f.Add("app\nteam/app\na/b/c\na/b-c\na/b/c/d", uint8(1), "registry.example.com/group/project")
	f.Add("a.b_c-d__e/0\na--b\n_a\nApp\na//b\n/\n..\n\x1b[0K", uint8(4), "127.0.0.1:5005/g/p")
	f.Add("team/app@"+hash+"\napp:1.2\n"+strings.Repeat("x", maxPath), uint8(2), "localhost/g")
	f.Add(hash[7:]+"\nlocalhost/app\ndocker.io/library/app\na/b/c_\na/_/_", uint8(3), "registry.example.com/group/project")
	f.Fuzz(func(t *testing.T, names string, separator uint8, base string) {
		if named, err := reference.ParseNamed(base); err != nil || !reference.IsNameOnly(named) || named.String() != base {
			return // loadConfig refuses it
		}
		namer := Namer{Base: base, Separator: []string{"", "-", "_", ".", "__"}[separator%5]}
		var repositories []Repository
		for _, name := range slices.Compact(slices.Sorted(strings.SplitSeq(names, "\n"))) {
			repositories = append(repositories, Repository{Name: name})
		}
		targets, refused := namer.Targets(repositories)
		landing := map[string]string{}
		for name, target := range targets {
			if other, taken := landing[target]; taken {
				t.Errorf("%q and %q are both written to %s", name, other, target)
			}
			landing[target] = name
			testTarget(t, base, target)
		}
		for _, repository := range repositories {
			if _, accepted := targets[repository.Name]; accepted == (refused[repository.Name] != nil) {
				t.Errorf("%q is accepted: %t, refused: %v", repository.Name, accepted, refused[repository.Name])
			}
		}
	})
}

// testTarget wants a name that an engine takes, and that GitLab finds below its project.
func testTarget(t *testing.T, base, target string) {
	named, err := reference.ParseNamed(target)
	if err != nil || named.String() != target || !reference.IsNameOnly(named) {
		t.Errorf("%q is read as %v: %v", target, named, err)
		return
	}
	below, inside := strings.CutPrefix(target, base+"/")
	if levels := strings.Count(below, "/") + 1; !inside || levels > maxLevels {
		t.Errorf("%q is %d levels below %s: %t", target, levels, base, inside)
	}
	if _, err := reference.ParseNormalizedNamed(fmt.Sprintf("%s:1.2", target)); err != nil {
		t.Errorf("no tag can be there: %v", err)
	}
}
