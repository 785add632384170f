package migrate

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestTarget(t *testing.T) {
	for _, test := range []struct {
		name, repository, separator string
		want                        string // below the base; empty: refused
		says                        string // of the refusal
	}{
		{name: "one level", repository: "app", want: "app"},
		{name: "two levels", repository: "team/app", want: "team/app"},
		{name: "too deep", repository: "a/b/c", says: `"-": it would be written as "a/b-c"`},
		{name: "too deep, joined", repository: "a/b/c/d", separator: "-", want: "a/b-c-d"},
		{name: "joined with two characters", repository: "a/b/c", separator: "__", want: "a/b__c"},
		{name: "a separator changes nothing that fits", repository: "a/b", separator: "-", want: "a/b"},
		{name: "every character", repository: "a.b_c-d__e/0", want: "a.b_c-d__e/0"},
		{name: "two hyphens", repository: "a--b", says: "does not take the name"},
		{name: "two dots", repository: "a..b", says: "does not take the name"},
		{name: "underscore first", repository: "_a", says: "does not take the name"},
		{name: "hyphen last", repository: "a-", says: "does not take the name"},
		{name: "upper case", repository: "App", says: "does not take the name"},
		{name: "nothing between slashes", repository: "a//b", separator: "-", says: "does not take the name"},
		{name: "line end", repository: "app\n", says: "does not take the name"},
		{name: "no name", repository: "", says: "does not take the name"},
		{name: "a refused part of a joined name", repository: "a/b/_c", separator: "-", says: "does not take the name"},
		{name: "longest", repository: strings.Repeat("x", maxPath-len("group/project/")), want: strings.Repeat("x", maxPath-len("group/project/"))},
		{name: "too long", repository: strings.Repeat("x", maxPath-len("group/project/")+1), says: "at most 255 characters"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Namer{Base: targetBase, Separator: test.separator}.Target(test.repository)
			switch {
			case test.want == "" && err == nil:
				t.Fatalf("taken as %q", got)
			case test.want == "" && !strings.Contains(err.Error(), test.says):
				t.Errorf("says %q, want it to say %q", err, test.says)
			case test.want != "" && err != nil:
				t.Error(err)
			case test.want != "" && got != targetBase+"/"+test.want:
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestTargets(t *testing.T) {
	for _, test := range []struct {
		name         string
		repositories []string
		separator    string
		refused      []string
	}{
		{name: "all different", repositories: []string{"a", "a/b", "b/a"}},
		{name: "two joined names", repositories: []string{"a/b/c-d", "a/b/c/d", "a/b"}, separator: "-", refused: []string{"a/b/c-d", "a/b/c/d"}},
		{name: "a joined and a genuine name", repositories: []string{"a/b-c", "a/b/c"}, separator: "-", refused: []string{"a/b-c", "a/b/c"}},
		{name: "another separator tells them apart", repositories: []string{"a/b-c", "a/b/c"}, separator: "."},
		{name: "one refused for itself is in nobody's way", repositories: []string{"a/b-c", "a/b/c"}, refused: []string{"a/b/c"}},
		{name: "three", repositories: []string{"a/b-c-d", "a/b/c/d", "a/b/c-d"}, separator: "-", refused: []string{"a/b-c-d", "a/b/c-d", "a/b/c/d"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var repositories []Repository
			for _, name := range test.repositories {
				repositories = append(repositories, repositoryNamed(name))
			}
			targets, refused := Namer{Base: targetBase, Separator: test.separator}.Targets(repositories)
			if got := slices.Sorted(maps.Keys(refused)); !slices.Equal(got, test.refused) {
				t.Errorf("refused %q, want %q", got, test.refused)
			}
			landing := map[string]string{}
			for name, target := range targets {
				if other, taken := landing[target]; taken {
					t.Errorf("%s and %s are both written to %s", name, other, target)
				}
				landing[target] = name
			}
			if len(targets)+len(refused) != len(repositories) {
				t.Errorf("%d targets and %d refusals for %d repositories", len(targets), len(refused), len(repositories))
			}
		})
	}
}
