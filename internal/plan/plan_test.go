package plan

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

// resolverFunc is a Resolver.
type resolverFunc func(ctx context.Context, ref string) (image.Resolved, error)

func (f resolverFunc) Resolve(ctx context.Context, ref string) (image.Resolved, error) {
	return f(ctx, ref)
}

// planned surveys the source for an engine with the containerd store, unless change overrides it.
func planned(t *testing.T, source Source, change func(*Planner)) (Survey, *Planner) {
	t.Helper()
	p := &Planner{Source: source, Store: image.ContainerdStore, Namer: Namer{Base: testkit.TargetBase}, Catalog: NewCatalog()}
	if change != nil {
		change(p)
	}
	found, err := p.Survey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return found, p
}

func planOf(t *testing.T, source Source, change func(*Planner)) []*Item {
	t.Helper()
	found, _ := planned(t, source, change)
	return found.Items
}

// reason returns why nothing of the item will be copied, or nil.
func reason(i *Item) error {
	if i.Failure != nil {
		return i.Failure
	}
	return i.Refusal
}

func TestPlan(t *testing.T) {
	pair, children := testkit.Pair(t, "pair")
	nested := testkit.Index(t, testkit.Child(pair, nil))
	img := testkit.Image(t, "image")
	for _, test := range []struct {
		name   string
		fill   func(*testkit.Registry)
		change func(*Planner)
		target string
		root   digest.Digest // empty: the image
		says   string        // part of the error message
	}{
		{
			name:   "image",
			fill:   func(s *testkit.Registry) { s.Push("team/app", img, "1") },
			target: testkit.TargetBase + "/team/app",
		},
		{
			name:   "index in an index",
			fill:   func(s *testkit.Registry) { s.Push("app", nested, "1"); s.Hold("app", append(children, pair)...) },
			target: testkit.TargetBase + "/app",
		},
		{
			name: "archived",
			fill: func(s *testkit.Registry) { s.Push("app", img, "1"); s.Tagged["app"][0].Archived = true },
			says: "archived in ECR",
		},
		{
			name: "schema 1",
			fill: func(s *testkit.Registry) {
				s.Push("app", img, "1")
				s.Tagged["app"][0].MediaType = "application/vnd.docker.distribution.manifest.v1+prettyjws"
				delete(s.Held["app"], img.Digest) // never requested
			},
			says: "Docker's schema 1",
		},
		{
			name: "manifest gone",
			fill: func(s *testkit.Registry) { s.Push("app", img, "1"); delete(s.Held["app"], img.Digest) },
			says: img.Digest.String() + ": the manifest cannot be read: ImageNotFound",
		},
		{
			name: "child gone",
			fill: func(s *testkit.Registry) { s.Push("app", nested, "1"); s.Hold("app", pair, children[0]) },
			says: children[1].Digest.String() + ": the manifest of linux/arm64 cannot be read: ImageNotFound",
		},
		{
			name:   "child gone that is not wanted",
			fill:   func(s *testkit.Registry) { s.Push("app", pair, "1"); s.Hold("app", children[0]) },
			change: func(p *Planner) { p.Platform = testkit.Linux("amd64") },
			target: testkit.TargetBase + "/app", root: children[0].Digest,
		},
		{
			name:   "child gone that is wanted",
			fill:   func(s *testkit.Registry) { s.Push("app", pair, "1"); s.Hold("app", children[0]) },
			change: func(p *Planner) { p.Platform = testkit.Linux("arm64") },
			says:   children[1].Digest.String() + ": the manifest cannot be read: ImageNotFound",
		},
		{
			name: "name refused",
			fill: func(s *testkit.Registry) { s.Push("a/b/c", img, "1") },
			says: "MIGRATE_NAME_SEPARATOR",
		},
		{
			name:   "classic",
			fill:   func(s *testkit.Registry) { s.Push("app", pair, "1"); s.Hold("app", children...) },
			change: func(p *Planner) { p.Store = image.ClassicStore },
			says:   "flatten this index of 2 manifests",
		},
		{
			name:   "platform that the index lacks",
			fill:   func(s *testkit.Registry) { s.Push("app", pair, "1"); s.Hold("app", children...) },
			change: func(p *Planner) { p.Platform = testkit.Linux("s390x") },
			says:   "it lists linux/amd64, linux/arm64",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			source := testkit.NewRegistry()
			test.fill(source)
			tasks := planOf(t, source, test.change)
			if len(tasks) != 1 {
				t.Fatalf("%d tasks", len(tasks))
			}
			testkit.ExpectError(t, reason(tasks[0]), testkit.Saying(test.says)...)
			if test.says != "" {
				return
			}
			root := cmp.Or(test.root, source.Tagged[tasks[0].Image.Repository.Name][0].Digest)
			if tasks[0].Target != test.target || tasks[0].Root != root {
				t.Errorf("%s to %s", tasks[0].Root, tasks[0].Target)
			}
		})
	}
}

// A tag that Docker does not accept is rejected on its own, and the image's other tags are copied.
func TestPlanRefusesInvalidTags(t *testing.T) {
	long := strings.Repeat("x", 129)
	source := testkit.NewRegistry()
	source.Push("app", testkit.Image(t, "app"), "-dash", "1.0", "a b", long, "latest", strings.Repeat("x", 128))
	items := planOf(t, source, nil)
	if len(items) != 2 || items[0].Rejected() || !slices.Equal(items[0].Image.Tags, []string{"1.0", "latest", strings.Repeat("x", 128)}) {
		t.Fatalf("%+v", items)
	}
	if !slices.Equal(items[1].Image.Tags, []string{"-dash", "a b", long}) {
		t.Errorf("refused: %q", items[1].Image.Tags)
	}
	testkit.ExpectError(t, items[1].Refusal, "a tag has at most 128")
}

// If a source does not say why a manifest is missing, the message is still a sentence.
func TestPlanWithoutCause(t *testing.T) {
	img := testkit.Image(t, "image")
	_, err := documents{}.tree(img.Digest)
	testkit.ExpectError(t, err, img.Digest.String(), "ECR does not have it")
}

// ECR fails requests for archived images, which would otherwise turn up next to the results of the good ones.
func TestPlanAsksForNoArchivedImage(t *testing.T) {
	registry := testkit.NewRegistry()
	archived := testkit.Image(t, "archived")
	registry.Push("app", testkit.Image(t, "image"), "1")
	registry.Push("app", archived, "2")
	registry.Tagged["app"][1].Archived = true
	planOf(t, registry, func(p *Planner) {
		p.Source = testkit.Source{ListRepositories: registry.Repositories, ListImages: registry.Images, ReadManifests: func(ctx context.Context, r image.Repository, ds []digest.Digest) (map[digest.Digest]image.Manifest, map[digest.Digest]error) {
			if slices.Contains(ds, archived.Digest) {
				t.Error("asked for the archived image")
			}
			return registry.Manifests(ctx, r, ds)
		}}
	})
}

// MIGRATE_PLATFORM works with the classic store: the index is reduced first.
func TestPlanReducedForClassic(t *testing.T) {
	pair, children := testkit.Pair(t, "pair")
	source := testkit.NewRegistry()
	source.Push("app", pair, "1")
	source.Hold("app", children...)
	tasks := planOf(t, source, func(p *Planner) {
		p.Store, p.Platform = image.ClassicStore, testkit.Linux("arm64")
		p.Resolver = resolverFunc(func(context.Context, string) (image.Resolved, error) { return image.Resolved{}, nil })
	})
	if tasks[0].Rejected() || !tasks[0].Reduced || tasks[0].Root != children[1].Digest {
		t.Errorf("%+v", tasks[0])
	}
}

func TestPlanOrder(t *testing.T) {
	source := testkit.NewRegistry()
	source.Push("b", testkit.Image(t, "b1"), "1")
	source.Push("a", testkit.Image(t, "a1"), "1")
	source.Push("a", testkit.Image(t, "a2"), "2")
	source.Push("a", testkit.Image(t, "untagged"))
	source.Tagged["a"][0].PushedAt = source.Tagged["a"][1].PushedAt.Add(time.Hour)
	var order []string
	for _, task := range planOf(t, source, nil) {
		order = append(order, task.Image.Repository.Name+":"+task.Image.Tags[0])
	}
	if want := []string{"a:2", "a:1", "b:1"}; !slices.Equal(order, want) {
		t.Errorf("order %q, want %q", order, want)
	}
}

func TestPlanCancelled(t *testing.T) {
	img := testkit.Image(t, "image")
	ctx, cancel := context.WithCancel(t.Context())
	registry := testkit.NewRegistry()
	registry.Push("app", img, "1")
	source := testkit.Source{
		ListRepositories: registry.Repositories, ListImages: registry.Images,
		ReadManifests: func(context.Context, image.Repository, []digest.Digest) (map[digest.Digest]image.Manifest, map[digest.Digest]error) {
			cancel()
			return nil, nil
		},
	}
	p := &Planner{Source: source, Namer: Namer{Base: testkit.TargetBase}, Catalog: NewCatalog()}
	if _, err := p.Survey(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// tasksFor returns bare items, named by repository and content.
func tasksFor(t *testing.T, names ...[2]string) []*Item {
	var tasks []*Item
	for _, name := range names {
		img := testkit.Image(t, name[1])
		tasks = append(tasks, &Item{
			Image:   image.Image{Repository: testkit.Repository(name[0]), Digest: img.Digest, Tags: []string{name[1]}},
			members: []digest.Digest{img.Digest},
		})
	}
	return tasks
}

func tagsOf(tasks []*Item) []string {
	var tags []string
	for _, t := range tasks {
		tags = append(tags, t.Image.Tags[0])
	}
	return tags
}

// Images that refer to others follow those.
func TestPlanLinksImagesWithTheirSubjects(t *testing.T) {
	pair, children := testkit.Pair(t, "pair")
	for _, test := range []struct {
		name   string
		change func(a, b, c *Item)
		want   map[string][]string // by tag: those of the images that it follows
	}{
		{"no subjects", func(_, _, _ *Item) {}, nil},
		{
			"a chain, the last first",
			func(a, b, c *Item) { a.Image.Subject, b.Image.Subject = b.Image.Digest, c.Image.Digest },
			map[string][]string{"a": {"b"}, "b": {"c"}},
		},
		{"a refused subject", func(a, b, _ *Item) {
			a.Image.Subject, b.Refusal = b.Image.Digest, errors.New("no")
		}, nil},
		{"a subject that is not copied", func(a, _, _ *Item) { a.Image.Subject = testkit.EmptyDigest }, nil},
		{"a subject of no tag, within two indexes", func(a, b, c *Item) {
			a.Image.Subject = children[1].Digest
			b.Image.Digest, b.members = pair.Digest, []digest.Digest{pair.Digest, children[0].Digest, children[1].Digest}
			c.members = append(c.members, children[1].Digest)
		}, map[string][]string{"a": {"b", "c"}}},
		{"a subject of which one platform is copied", func(a, b, _ *Item) {
			a.Image.Subject, b.Image.Digest = pair.Digest, pair.Digest
		}, map[string][]string{"a": {"b"}}},
		{"its own subject", func(a, _, _ *Item) { a.Image.Subject = a.Image.Digest }, nil},
		{
			"a circle", func(a, b, _ *Item) { a.Image.Subject, b.Image.Subject = b.Image.Digest, a.Image.Digest },
			map[string][]string{"a": {"b"}, "b": {"a"}},
		},
		{
			"a referrers tag of the repository's own", func(a, b, _ *Item) { a.Image.Tags = []string{"a", image.ReferrersTag(b.Image.Digest)} },
			map[string][]string{"a": {"b"}},
		},
		{"cosign's tag, which has no subject", func(a, b, _ *Item) { a.Image.Tags = []string{"a", image.ReferrersTag(b.Image.Digest) + ".sig"} }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			tasks := tasksFor(t, [2]string{"r", "a"}, [2]string{"r", "b"}, [2]string{"r", "c"})
			test.change(tasks[0], tasks[1], tasks[2])
			linkTagged(tasks)
			for _, i := range tasks {
				if got, want := tagsOf(i.After), test.want[i.Image.Tags[0]]; !slices.Equal(got, want) {
					t.Errorf("%s follows %q, want %q", i.Image.Tags[0], got, want)
				}
			}
		})
	}
}

// graph makes manifests from pairs of bytes: the first lists the second. Their digests are not computed, so that a
// manifest can list itself or one of its ancestors, which is impossible in a registry.
func graph(edges []byte) map[digest.Digest]image.Manifest {
	manifests := map[digest.Digest]image.Manifest{}
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
	f.Add([]byte("abacbdcd")) // two paths to a child that does not exist
	f.Add([]byte("abbccdda"))
	f.Fuzz(func(t *testing.T, edges []byte) {
		all := graph(edges)
		for _, root := range all {
			reached, lacking := reachable(root, all)
			tree := image.NewTree(root, all)
			manifests := testkit.Digests(tree.Manifests())
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
			read, err := ReadTree(t.Context(), eachOnce(t, all), &Item{Image: image.Image{Repository: app}, Root: root.Digest})
			if (err != nil) != lacking || err == nil && len(read.Manifests()) != len(manifests) {
				t.Errorf("read with %v, a manifest is lacking: %t", err, lacking)
			}
		}
	})
}

var app = testkit.Repository("team/app")

// reachable returns the result of a search of the graph, and whether something missing is listed.
func reachable(root image.Manifest, all map[digest.Digest]image.Manifest) (reached map[digest.Digest]bool, lacking bool) {
	reached = map[digest.Digest]bool{root.Digest: true}
	for queue := []image.Manifest{root}; len(queue) > 0; queue = queue[1:] {
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

// eachOnce is a source that fails if asked for the same manifest twice.
func eachOnce(t *testing.T, all map[digest.Digest]image.Manifest) Source {
	asked := map[digest.Digest]bool{}
	return testkit.Source{ReadManifests: func(_ context.Context, _ image.Repository, wanted []digest.Digest) (map[digest.Digest]image.Manifest, map[digest.Digest]error) {
		found := map[digest.Digest]image.Manifest{}
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
