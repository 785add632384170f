package plan

import (
	"slices"
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
