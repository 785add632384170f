package plan

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

// listOf returns what is planned of the subject's referrers, which is nothing if the item does not have them.
func listOf(i *Item, subject image.Manifest) *ReferrersList {
	for _, list := range i.Lists() {
		if list.List.Subject == subject.Digest {
			return list.List
		}
	}
	return &ReferrersList{}
}

func TestPlanReferrers(t *testing.T) {
	img := testkit.Image(t, "app")
	first, second := testkit.Artifact(t, "application/x", "first", img), testkit.Artifact(t, "application/x", "second", img)
	own := testkit.Index(t, testkit.Child(first, nil))
	ownTag := image.ReferrersTag(img.Digest)
	for _, test := range []struct {
		name  string
		fill  func(*testkit.Registry)
		count int // number of the image's referrers to copy
		says  string
	}{
		{"two", func(s *testkit.Registry) { s.Push("app", first); s.Push("app", second) }, 2, ""},
		{"none", func(*testkit.Registry) {}, 0, ""},
		{"of another repository", func(s *testkit.Registry) { s.Push("other", first) }, 0, ""},
		{"with a tag of its own", func(s *testkit.Registry) { s.Push("app", first, "signature") }, 1, ""},
		{"listed by the repository's own tag", func(s *testkit.Registry) { s.Push("app", first); s.Push("app", own, ownTag) }, 0, ""},
		{"one that the own tag forgets", func(s *testkit.Registry) {
			s.Push("app", first)
			s.Push("app", second)
			s.Push("app", own, ownTag)
		}, 1, "tag " + ownTag + " does not list the referrer " + second.Digest.String()},
		{"archived", func(s *testkit.Registry) { s.Push("app", first); s.Tagged["app"][1].Archived = true }, 1, "archived in ECR"},
		{"unreadable beside a good one", func(s *testkit.Registry) {
			s.Push("app", first)
			s.Push("app", second)
			delete(s.Held["app"], first.Digest)
		}, 2, first.Digest.String() + ": the manifest cannot be read"},
	} {
		t.Run(test.name, func(t *testing.T) {
			source := testkit.NewRegistry()
			source.Push("app", img, "1")
			test.fill(source)
			list := listOf(planOf(t, source, nil)[0], img)
			if list.Count != test.count {
				t.Errorf("%d referrers, want %d", list.Count, test.count)
			}
			testkit.ExpectError(t, list.Broken, testkit.Saying(test.says)...)
		})
	}
}

// TestPlanDropsReferrersThatArriveWithTheirSubject: BuildKit lists attestations that have a subject next to that
// subject.
func TestPlanDropsReferrersThatArriveWithTheirSubject(t *testing.T) {
	img := testkit.Image(t, "app")
	carried, apart := testkit.Artifact(t, "application/x", "carried", img), testkit.Artifact(t, "application/x", "apart", img)
	index := testkit.Index(t, testkit.Child(carried, nil), testkit.Child(img, nil))
	source := testkit.NewRegistry()
	source.Push("app", index, "1")
	source.Hold("app", img)
	source.Push("app", carried)
	source.Push("app", apart)
	if list := listOf(planOf(t, source, nil)[0], img); list.Count != 1 || !slices.Equal(list.Roots, []digest.Digest{apart.Digest}) {
		t.Errorf("got %+v, want only %s", list, apart.Digest)
	}
}

// What refers to what is planned once, however many images have the subject.
func TestPlanListsReferrersOnce(t *testing.T) {
	pair, children := testkit.Pair(t, "app")
	signature := testkit.Artifact(t, "application/x-signature", "signature", children[0])
	counter := testkit.Artifact(t, "application/x-signature", "countersignature", signature)
	source := testkit.NewRegistry()
	source.Push("app", pair, "1")
	source.Push("app", testkit.Index(t, testkit.Child(children[0], testkit.Linux("amd64"))), "2")
	source.Push("app", testkit.Image(t, "unsigned"), "3")
	source.Hold("app", children...)
	source.Push("app", signature)
	source.Push("app", counter)
	items := planOf(t, source, nil)
	copies := Copies(items)
	if len(copies) != 5 || !slices.Equal(copies[:3], items) {
		t.Fatalf("%q are copied", tagsOf(copies))
	}
	list, ofList := copies[3], copies[4]
	want, err := image.ReferrersIndex([]image.Tree{image.NewTree(signature, nil)})
	if err != nil {
		t.Fatal(err)
	}
	if list.Image.Tags[0] != image.ReferrersTag(children[0].Digest) || list.Root != want.Root.Digest || len(list.Blobs) != 2 {
		t.Errorf("got %+v, want the list %s", list, want.Root.Digest)
	}
	if !slices.Equal(list.After, items[:2]) || !slices.Equal(ofList.After, []*Item{list}) {
		t.Errorf("the lists follow %q and %q", tagsOf(list.After), tagsOf(ofList.After))
	}
	if len(items[2].Lists()) != 0 || !slices.Equal(items[0].Lists(), copies[3:]) {
		t.Errorf("the images have the lists %q and %q", tagsOf(items[2].Lists()), tagsOf(items[0].Lists()))
	}
}

// An account's referrers are read page by page: their manifests are never in memory all at once, nor kept beyond a limit.
func TestPlanReadsReferrersInPages(t *testing.T) {
	registry := testkit.NewRegistry()
	const images = 3*planPage + 1
	text := strings.Repeat("x", 4<<10)
	for i := range images {
		img := testkit.Image(t, fmt.Sprint(i))
		registry.Push("app", img, fmt.Sprint(i))
		registry.Push("app", testkit.Artifact(t, "application/spdx+json", fmt.Sprint(i, text), img))
	}
	var most, read int
	source := testkit.Source{
		ListRepositories: registry.Repositories, ListImages: registry.Images,
		ReadManifests: func(ctx context.Context, r image.Repository, ds []digest.Digest) (map[digest.Digest]image.Manifest, map[digest.Digest]error) {
			most, read = max(most, len(ds)), read+len(ds)
			return registry.Manifests(ctx, r, ds)
		},
	}
	found, _ := planned(t, source, nil)
	if most > planPage || read != 2*images {
		t.Errorf("%d manifests are read, up to %d of them at once; want %d, and up to %d", read, most, 2*images, planPage)
	}
	copies, kept := Copies(found.Items), 0
	for _, i := range copies {
		kept += int(i.Tree.Size())
	}
	if len(copies) != 2*images || kept > keepManifests {
		t.Errorf("%d items keep %d bytes of manifests, want %d and at most %d", len(copies), kept, 2*images, keepManifests)
	}
	last := copies[len(copies)-1]
	tree, err := ReadTree(t.Context(), source, last)
	if last.Tree != nil || err != nil || tree.Root.Digest != last.Root {
		t.Errorf("%s is read again as %s: %v", last.Root, tree.Root.Digest, err)
	}
}
