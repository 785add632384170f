package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

func TestPatterns(t *testing.T) {
	for _, test := range []struct {
		list        string
		yes, no     []string
		unmatched   []string // in either list
		notPatterns string   // part of the error message
	}{
		{list: "", yes: []string{"app", "a/b/c"}},
		{list: "app", yes: []string{"app"}, no: []string{"apps", "team/app", "APP"}},
		{list: "team/*", yes: []string{"team/app"}, no: []string{"team", "team/a/b", "other/team/app"}},
		{list: "team/**", yes: []string{"team/app", "team/a/b", "team"}, no: []string{"teams/app", "x/team/app"}},
		{list: "**", yes: []string{"app", "a/b/c"}},
		{list: "*", yes: []string{"app"}, no: []string{"team/app"}},
		{list: "**/app", yes: []string{"app", "team/app", "a/b/app"}, no: []string{"team/apps"}},
		{list: "{web,api}-?, lib[0-9]", yes: []string{"web-1", "api-2", "lib3"}, no: []string{"web-12", "libx", "lib[0-9]"}},
		{list: "!old/**", yes: []string{"app", "team/old"}, no: []string{"old/app", "old/a/b"}},
		{list: "team/** !team/old-*\n!**/test", yes: []string{"team/app"}, no: []string{"team/old-app", "team/x/test", "app"}},
		{list: "!team/old team/**", yes: []string{"team/new"}, no: []string{"team/old"}}, // in any order
		{list: "v*,!*-rc*", yes: []string{"v1.2"}, no: []string{"v1.2-rc1", "latest"}},
		{list: "app, missing, !gone", yes: []string{"app"}, unmatched: []string{"missing", "!gone"}},
		{list: " , ", notPatterns: "contains no pattern"},
		{list: "team/[", notPatterns: `"team/[" is not a pattern`},
		{list: "{a,b", notPatterns: `"{a,b" is not a pattern`},
		{list: "!", notPatterns: `"!" is not a pattern`},
	} {
		t.Run(test.list, func(t *testing.T) {
			patterns, err := ParsePatterns(test.list)
			testkit.ExpectError(t, err, testkit.Saying(test.notPatterns)...)
			if err != nil {
				return
			}
			for _, name := range test.yes {
				if !patterns.choose(name) {
					t.Errorf("%q is not chosen", name)
				}
			}
			for _, name := range test.no {
				if patterns.choose(name) {
					t.Errorf("%q is chosen", name)
				}
			}
			hits := map[string]bool{}
			for _, hit := range patterns.hits(append(test.yes, test.no...)) {
				hits[hit] = true
			}
			var lost []string
			for _, u := range unmatched("X", patterns, hits) {
				lost = append(lost, u.Pattern)
			}
			if !slices.Equal(lost, test.unmatched) {
				t.Errorf("%q match nothing, want %q", lost, test.unmatched)
			}
		})
	}
}

func FuzzPatterns(f *testing.F) {
	f.Add("team/** !team/{a,b}-? lib[0-9]", "team/a-1")
	f.Add("\\, ,{,},**/[!a]", "a\xff/b")
	f.Fuzz(func(t *testing.T, list, name string) {
		patterns, err := ParsePatterns(list)
		if err != nil {
			if strings.Contains(err.Error(), "\n") || len(patterns) > 0 {
				t.Errorf("%q with %q", err, patterns)
			}
			return
		}
		if chosen := patterns.choose(name); chosen && patterns.exclude(name) || chosen && len(patterns) > 0 && len(patterns.hits([]string{name})) == 0 &&
			slices.ContainsFunc(patterns, func(p string) bool { return !strings.HasPrefix(p, exclusion) }) {
			t.Errorf("%q chooses %q", patterns, name)
		}
		again, err := ParsePatterns(strings.Join(patterns, " "))
		if err != nil || !slices.Equal(again, patterns) {
			t.Errorf("%q becomes %q, error %v", patterns, again, err)
		}
	})
}

// listing returns a repository's images in push order, one day apart. Each is written as its tags; "of 2" refers to the
// third image.
func listing(images ...string) []image.Image {
	var list []image.Image
	for i, text := range images {
		img := image.Image{
			Repository: testkit.Repository("app"), Digest: digest.FromString(fmt.Sprint(i)),
			PushedAt: time.Date(2026, 1, 1+i, 0, 0, 0, 0, time.UTC),
		}
		var n int
		if _, err := fmt.Sscanf(text, "of %d", &n); err == nil {
			img.Subject = digest.FromString(fmt.Sprint(n))
		} else {
			img.Tags = strings.Fields(text)
		}
		list = append(list, img)
	}
	return list
}

// signatureOf returns the tag under which cosign stores the signature of the image with that number.
func signatureOf(n int) string {
	return "sha256-" + digest.FromString(fmt.Sprint(n)).Encoded() + ".sig"
}

func TestChoiceOfImages(t *testing.T) {
	january := func(day int) time.Time { return time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC) }
	plain := []string{"v1", "v2 latest", "v3-rc1"}
	for _, test := range []struct {
		name   string
		choice Choice
		images []string
		want   []string // in the notation of images
	}{
		{"all", Choice{}, plain, plain},
		{"some repositories, and all tags", Choice{Repositories: Patterns{"app"}}, plain, plain},
		{"some tags of an image", Choice{Tags: Patterns{"v*", "!*-rc*"}}, plain, []string{"v1", "v2"}},
		{"no tag", Choice{Tags: Patterns{"x"}}, plain, nil},
		{"the newest", Choice{Newest: 1}, plain, []string{"v3-rc1"}},
		{"the newest, of an image one tag", Choice{Newest: 2}, plain, []string{"latest", "v3-rc1"}},
		{"more than there are", Choice{Newest: 9}, plain, []string{"v1", "latest v2", "v3-rc1"}},
		{"the newest of those that a pattern chooses", Choice{Newest: 1, Tags: Patterns{"!*-rc*", "!latest"}}, plain, []string{"v2"}},
		{"since", Choice{Since: january(2)}, plain, []string{"latest v2", "v3-rc1"}},
		{"since later", Choice{Since: january(4)}, plain, nil},
		{"since, and the newest", Choice{Since: january(2), Newest: 2}, plain, []string{"latest", "v3-rc1"}},
		{
			"signatures go with their image", Choice{Newest: 1, Since: january(2)},
			[]string{"v1", "v2", signatureOf(0), signatureOf(1)}, []string{"v2", signatureOf(1)},
		},
		{"a signature's signature", Choice{Tags: Patterns{"v1"}}, []string{"v1", signatureOf(0), signatureOf(1)}, []string{"v1", signatureOf(0), signatureOf(1)}},
		{"signatures that are not wanted", Choice{Tags: Patterns{"v1", "!*.sig"}}, []string{"v1", signatureOf(0)}, []string{"v1"}},
		{"a platform's signature", Choice{Tags: Patterns{"v1"}}, []string{"v1", "v2", signatureOf(77), signatureOf(1)}, []string{"v1", signatureOf(77)}},
		{"signatures alone", Choice{Tags: Patterns{"*.sig"}}, []string{"v1", signatureOf(0), signatureOf(77)}, nil},
		{"referrers stay, to go with their image", Choice{Tags: Patterns{"v2"}}, []string{"v1", "v2", "of 0", "of 1"}, []string{"v2", "of 0", "of 1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			images, _ := test.choice.images(listing(test.images...))
			for _, img := range images {
				text := strings.Join(img.Tags, " ")
				if img.Subject != "" {
					text = test.images[img.PushedAt.Day()-1]
				}
				got = append(got, text)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
