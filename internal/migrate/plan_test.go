package migrate

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// resolverFunc is a Resolver.
type resolverFunc func(ctx context.Context, ref string) (Resolved, error)

func (f resolverFunc) Resolve(ctx context.Context, ref string) (Resolved, error) { return f(ctx, ref) }

// planned surveys the source for an engine with the containerd store, unless change says otherwise.
func planned(t *testing.T, source registry, change func(*planner)) (survey, *planner) {
	t.Helper()
	p := &planner{source: source, store: ContainerdStore, namer: Namer{Base: targetBase}, catalog: newCatalog()}
	if change != nil {
		change(p)
	}
	found, err := p.survey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return found, p
}

func planOf(t *testing.T, source registry, change func(*planner)) []*item {
	t.Helper()
	found, _ := planned(t, source, change)
	return found.items
}

// reason is why nothing of the item is to be copied, or nil.
func reason(i *item) error {
	if i.failure != nil {
		return i.failure
	}
	return i.refusal
}

func TestPlan(t *testing.T) {
	pair, children := pairOf(t, "pair")
	nested := indexOf(t, child(pair, nil))
	image := imageOf(t, "image")
	for _, test := range []struct {
		name   string
		fill   func(*sourceRegistry)
		change func(*planner)
		target string
		says   string // of the refusal
	}{
		{
			name:   "image",
			fill:   func(s *sourceRegistry) { s.push("team/app", image, "1") },
			target: targetBase + "/team/app",
		},
		{
			name:   "index in an index",
			fill:   func(s *sourceRegistry) { s.push("app", nested, "1"); s.hold("app", append(children, pair)...) },
			target: targetBase + "/app",
		},
		{
			name: "archived",
			fill: func(s *sourceRegistry) { s.push("app", image, "1"); s.images["app"][0].Archived = true },
			says: "archived in ECR",
		},
		{
			name: "manifest gone",
			fill: func(s *sourceRegistry) { s.push("app", image, "1"); delete(s.manifests["app"], image.Digest) },
			says: image.Digest.String() + ": the manifest cannot be read: ImageNotFound",
		},
		{
			name: "child gone",
			fill: func(s *sourceRegistry) { s.push("app", nested, "1"); s.hold("app", pair, children[0]) },
			says: children[1].Digest.String() + ": the manifest cannot be read",
		},
		{
			name: "name refused",
			fill: func(s *sourceRegistry) { s.push("a/b/c", image, "1") },
			says: "MIGRATE_NAME_SEPARATOR",
		},
		{
			name:   "classic",
			fill:   func(s *sourceRegistry) { s.push("app", pair, "1"); s.hold("app", children...) },
			change: func(p *planner) { p.store = ClassicStore },
			says:   "flatten this index of 2 manifests",
		},
		{
			name:   "platform that the index lacks",
			fill:   func(s *sourceRegistry) { s.push("app", pair, "1"); s.hold("app", children...) },
			change: func(p *planner) { p.platform = linux("s390x") },
			says:   "it lists linux/amd64, linux/arm64",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			source := newSource()
			test.fill(source)
			tasks := planOf(t, source, test.change)
			if len(tasks) != 1 {
				t.Fatalf("%d tasks", len(tasks))
			}
			expectError(t, reason(tasks[0]), saying(test.says)...)
			if test.says != "" {
				return
			}
			root := source.images[tasks[0].image.Repository.Name][0].Digest
			if tasks[0].target != test.target || tasks[0].root != root {
				t.Errorf("%s to %s", tasks[0].root, tasks[0].target)
			}
		})
	}
}

// A source that says nothing of why a manifest is not there leaves the reader a sentence all the same.
func TestPlanWithoutCause(t *testing.T) {
	image := imageOf(t, "image")
	_, err := wholeTree(image.Digest, nil, nil)
	expectError(t, err, image.Digest.String(), "ECR does not have it")
}

// ECR answers for an archived image with a failure, which would stand beside the good ones' results.
func TestPlanAsksForNoArchivedImage(t *testing.T) {
	registry := newSource()
	archived := imageOf(t, "archived")
	registry.push("app", imageOf(t, "image"), "1")
	registry.push("app", archived, "2")
	registry.images["app"][1].Archived = true
	planOf(t, registry, func(p *planner) {
		p.source = fakeSource{repositories: registry.Repositories, images: registry.Images, manifests: func(ctx context.Context, r Repository, ds []digest.Digest) (map[digest.Digest]Manifest, error) {
			if slices.Contains(ds, archived.Digest) {
				t.Error("asked for the archived image")
			}
			return registry.Manifests(ctx, r, ds)
		}}
	})
}

// A classic engine and a wish for one platform go together: the index is reduced first.
func TestPlanReducedForClassic(t *testing.T) {
	pair, children := pairOf(t, "pair")
	source := newSource()
	source.push("app", pair, "1")
	source.hold("app", children...)
	tasks := planOf(t, source, func(p *planner) {
		p.store, p.platform = ClassicStore, linux("arm64")
		p.resolver = resolverFunc(func(context.Context, string) (Resolved, error) { return Resolved{}, nil })
	})
	if tasks[0].hopeless() || !tasks[0].reduced || tasks[0].root != children[1].Digest {
		t.Errorf("%+v", tasks[0])
	}
}

func TestPlanOrder(t *testing.T) {
	source := newSource()
	source.push("b", imageOf(t, "b1"), "1")
	source.push("a", imageOf(t, "a1"), "1")
	source.push("a", imageOf(t, "a2"), "2")
	source.push("a", imageOf(t, "untagged"))
	source.images["a"][0].PushedAt = source.images["a"][1].PushedAt.Add(time.Hour)
	var order []string
	for _, task := range planOf(t, source, nil) {
		order = append(order, task.image.Repository.Name+":"+task.image.Tags[0])
	}
	if want := []string{"a:2", "a:1", "b:1"}; !slices.Equal(order, want) {
		t.Errorf("order %q, want %q", order, want)
	}
}

func TestPlanCancelled(t *testing.T) {
	image := imageOf(t, "image")
	ctx, cancel := context.WithCancel(t.Context())
	registry := newSource()
	registry.push("app", image, "1")
	source := fakeSource{
		repositories: registry.Repositories, images: registry.Images,
		manifests: func(context.Context, Repository, []digest.Digest) (map[digest.Digest]Manifest, error) {
			cancel()
			return nil, context.Canceled
		},
	}
	p := &planner{source: source, namer: Namer{Base: targetBase}, catalog: newCatalog()}
	if _, err := p.survey(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// tasksFor makes bare tasks, named by repository and content.
func tasksFor(t *testing.T, names ...[2]string) []*item {
	var tasks []*item
	for _, name := range names {
		image := imageOf(t, name[1])
		tasks = append(tasks, &item{
			image:     Image{Repository: repositoryNamed(name[0]), Digest: image.Digest, Tags: []string{name[1]}},
			members:   []digest.Digest{image.Digest},
			referrers: map[digest.Digest]*referrers{},
		})
	}
	return tasks
}

func tagsOf(tasks []*item) []string {
	var tags []string
	for _, t := range tasks {
		tags = append(tags, t.image.Tags[0])
	}
	return tags
}

func TestWaves(t *testing.T) {
	pair, children := pairOf(t, "pair")
	for _, test := range []struct {
		name   string
		change func(a, b, c *item)
		want   [][]string
	}{
		{"no subjects", func(_, _, _ *item) {}, [][]string{{"a", "b", "c"}}},
		{
			"a chain, the last first",
			func(a, b, c *item) { a.image.Subject, b.image.Subject = b.image.Digest, c.image.Digest },
			[][]string{{"c"}, {"b"}, {"a"}},
		},
		{"refused", func(_, b, _ *item) { b.refusal = errors.New("no") }, [][]string{{"a", "c"}}},
		{"a subject that is not copied", func(a, _, _ *item) { a.image.Subject = hash }, [][]string{{"a", "b", "c"}}},
		{"a subject of no tag, within an index", func(a, b, _ *item) {
			a.image.Subject = children[1].Digest
			b.image.Digest, b.members = pair.Digest, []digest.Digest{pair.Digest, children[0].Digest, children[1].Digest}
		}, [][]string{{"b", "c"}, {"a"}}},
		{"its own subject", func(a, _, _ *item) { a.image.Subject = a.image.Digest }, [][]string{{"a", "b", "c"}}},
		{
			"a circle, which ends",
			func(a, b, _ *item) { a.image.Subject, b.image.Subject = b.image.Digest, a.image.Digest },
			[][]string{{"c"}, {"a", "b"}},
		},
		{
			"a way into a circle, which ends",
			func(a, b, c *item) {
				a.image.Subject, b.image.Subject, c.image.Subject = b.image.Digest, a.image.Digest, a.image.Digest
			},
			[][]string{nil, {"a", "b"}, nil, {"c"}},
		},
		{"the same digest in another repository", func(a, b, _ *item) {
			a.image.Subject, b.image.Repository = b.image.Digest, repositoryNamed("other")
		}, [][]string{{"a", "b", "c"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			tasks := tasksFor(t, [2]string{"r", "a"}, [2]string{"r", "b"}, [2]string{"r", "c"})
			test.change(tasks[0], tasks[1], tasks[2])
			got := waves(tasks)
			if len(got) != len(test.want) {
				t.Fatalf("%d waves, want %d", len(got), len(test.want))
			}
			for i, wave := range got {
				tags := tagsOf(wave)
				slices.Sort(tags)
				if !slices.Equal(tags, test.want[i]) {
					t.Errorf("wave %d: %q, want %q", i, tags, test.want[i])
				}
			}
		})
	}
}
