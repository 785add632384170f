package main

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

const target = "registry.gitlab.com/acme/containers"

var (
	teams    = []string{"checkout", "data", "identity", "logistics", "media", "platform", "search", "web"}
	services = []string{
		"api", "worker", "frontend", "scheduler", "gateway", "ingest", "importer", "exporter", "notifier", "billing",
		"catalog", "pricing", "sessions", "reports", "thumbnails", "indexer", "proxy", "migrations", "backoffice", "events",
	}
)

// layer is a layer that images may share.
type layer struct {
	digest digest.Digest
	bytes  int64
}

// picture is one image of the account: its layers and its tags.
type picture struct {
	repository string
	digest     digest.Digest
	tags       []string
	layers     []layer
}

func (p picture) bytes() (n int64) {
	for _, l := range p.layers {
		n += l.bytes
	}
	return n
}

// account is a registry like those of companies: a few large repositories and many small ones, built on few bases.
type account struct {
	chance    *rand.Rand
	pictures  []picture
	protected string // a repository whose oldest tags GitLab rejects
	tags      int
	made      int // number of layers so far
}

func newAccount(tags int, told story) *account {
	a := &account{chance: rand.New(rand.NewPCG(1, 2))}
	var bases [][]layer
	for range 9 {
		bases = append(bases, a.layers(2, 60e6))
	}
	names := a.names(max(1, min(len(teams)*len(services), tags/60)))
	a.protected = names[min(2, len(names)-1)]
	for i, name := range names {
		share := 1 / math.Pow(float64(i+1), 0.7)
		a.fill(name, max(1, int(share*float64(tags)/a.harmonic(len(names)))), bases[a.chance.IntN(len(bases))])
	}
	for a.tags < tags { // missing because of rounding
		a.fill(names[0]+"-archive", tags-a.tags, bases[0])
	}
	if told.hostile {
		a.spoil()
	}
	slices.SortStableFunc(a.pictures, func(x, y picture) int { return cmp.Compare(x.repository, y.repository) })
	return a
}

// hostile are names that imitate something else or break the layout.
var hostile = []string{
	`</script><script>document.title = "hostile"</script>`,
	`<img src=x onerror="document.title = 'hostile'">`,
	`" onfocus="document.title = 'hostile'" autofocus x="`,
	"gpj.exe\u202efdp\u2066\u200b",
	"שלום-עולם/مرحبا",
	"\x1b[31m\x00\x07\r\n\t\u2028red",
	strings.Repeat("long", 200),
	strings.Repeat("very/deep/", 40) + "name",
	"z" + strings.Repeat("\u0300\u0323", 60) + "algo",
	"javascript:document.title='hostile'",
	"__proto__", "constructor", "${document.title}", "{{.Program}}",
}

// spoil gives such names to some of the images' repositories and tags.
func (a *account) spoil() {
	for i := range a.pictures {
		name := hostile[i/2%len(hostile)]
		switch p := &a.pictures[i]; {
		case i%2 == 0:
			p.repository = name
		default:
			p.tags = append(p.tags, name)
			a.tags++
		}
	}
}

func (a *account) harmonic(n int) (sum float64) {
	for i := range n {
		sum += 1 / math.Pow(float64(i+1), 0.7)
	}
	return sum
}

func (a *account) names(n int) []string {
	var names []string
	for place, i := range a.chance.Perm(len(teams) * len(services))[:n] {
		name := teams[i%len(teams)] + "/" + services[i/len(teams)]
		if place%13 == 12 {
			name += "/legacy/v1" // nested too deeply for GitLab
		}
		names = append(names, name)
	}
	return names
}

// layers returns new layers with the given average size in bytes.
func (a *account) layers(n int, bytes float64) []layer {
	var layers []layer
	for range n {
		a.made++
		size := int64(bytes * a.chance.ExpFloat64())
		layers = append(layers, layer{digest.FromString(fmt.Sprint("layer ", a.made)), size + 2000})
	}
	return layers
}

// fill creates a repository with the given number of tags, whose images share a base and dependencies that change now
// and then.
func (a *account) fill(repository string, tags int, base []layer) {
	dependencies := a.layers(3, 25e6)
	for n := 0; n < tags; {
		if a.chance.IntN(20) == 0 {
			dependencies = a.layers(3, 25e6)
		}
		p := picture{
			repository: repository,
			digest:     digest.FromString(fmt.Sprint(repository, n)),
			tags:       []string{fmt.Sprintf("%d.%d.%d", 1+n/400, n/20%20, n%20)},
			layers:     slices.Concat(base, dependencies, a.layers(2, 4e6)),
		}
		if n++; a.chance.IntN(8) == 0 && n < tags {
			p.tags = append(p.tags, "build-"+p.digest.Encoded()[:8])
			n++
		}
		a.pictures = append(a.pictures, p)
	}
	a.tags += tags
}

// introduced returns the events of a run before it begins to copy.
func (a *account) introduced(told story) []migrate.Event {
	var events []migrate.Event
	planned := a.planned()
	if told.classic {
		planned.Store = image.ClassicStore
	}
	if told.chosen {
		events = append(events,
			migrate.Chosen{
				Repositories: len(planned.Contents), AllRepositories: 3 * len(planned.Contents), Tags: 2 * a.tags, AllTags: 5 * a.tags,
				Unmatched: []plan.Unmatched{{Variable: "MIGRATE_REPOSITORIES", Pattern: "payments/*"}},
			},
			migrate.Shared{Share: plan.Share{Index: 1, Total: 2}, Tags: a.tags, Listed: 2 * a.tags})
	}
	events = append(events, migrate.Listed{Empty: []string{"sandbox/first-steps", "web/abandoned"}}, planned)
	if told.verification {
		events = append(events, migrate.Comparing{Tags: a.tags, Store: planned.Store})
	}
	return events
}

// planned returns a run's event about the plan for the account.
func (a *account) planned() migrate.Planned {
	e := migrate.Planned{Tags: a.tags, Store: image.ContainerdStore}
	var content *plan.Content
	seen, counted := map[digest.Digest]bool{}, map[digest.Digest]bool{} // layers of the account, and of the repository
	for _, p := range a.pictures {
		if content == nil || content.Repository != p.repository {
			e.Contents = append(e.Contents, plan.Content{Repository: p.repository})
			content = &e.Contents[len(e.Contents)-1]
			clear(counted)
		}
		content.Images++
		for _, l := range p.layers {
			e.BytesUnshared += l.bytes
			if !seen[l.digest] {
				seen[l.digest], e.Blobs, e.Bytes = true, e.Blobs+1, e.Bytes+l.bytes
			}
			if !counted[l.digest] {
				counted[l.digest], content.Bytes = true, content.Bytes+l.bytes
			}
		}
	}
	return e
}
