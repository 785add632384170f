package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/distribution/reference"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

func TestTarget(t *testing.T) {
	for _, test := range []struct {
		name, repository, separator string
		want                        string // below the base; empty: rejected
		says                        string // part of the error message
	}{
		{name: "one level", repository: "app", want: "app"},
		{name: "two levels", repository: "team/app", want: "team/app"},
		{name: "too deep", repository: "a/b/c", says: `"-" (it would be written as "a/b-c"), or MIGRATE_RENAME`},
		{name: "too deep, joined", repository: "a/b/c/d", separator: "-", want: "a/b-c-d"},
		{name: "joined with two characters", repository: "a/b/c", separator: "__", want: "a/b__c"},
		{name: "a separator changes nothing that fits", repository: "a/b", separator: "-", want: "a/b"},
		{name: "every character", repository: "a.b_c-d__e/0", want: "a.b_c-d__e/0"},
		{name: "runs of hyphens", repository: "a--b/c---d", want: "a--b/c---d"},
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
			got, err := Namer{Base: testkit.TargetBase, Separator: test.separator}.Target(test.repository)
			switch {
			case test.want == "" && err == nil:
				t.Fatalf("taken as %q", got)
			case test.want == "" && !strings.Contains(err.Error(), test.says):
				t.Errorf("says %q, want it to say %q", err, test.says)
			case test.want != "" && err != nil:
				t.Error(err)
			case test.want != "" && got != testkit.TargetBase+"/"+test.want:
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
			var repositories []image.Repository
			for _, name := range test.repositories {
				repositories = append(repositories, testkit.Repository(name))
			}
			targets, refused := Namer{Base: testkit.TargetBase, Separator: test.separator}.Targets(repositories)
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

func FuzzTargets(f *testing.F) {
	f.Add("app\nteam/app\na/b/c\na/b-c\na/b/c/d", uint8(1), "registry.example.com/group/project")
	f.Add("a.b_c-d__e/0\na--b\n_a\nApp\na//b\n/\n..\n\x1b[0K", uint8(4), "127.0.0.1:5005/g/p")
	f.Add("team/app@"+testkit.EmptyDigest+"\napp:1.2\n"+strings.Repeat("x", maxPath), uint8(2), "localhost/g")
	f.Add(testkit.EmptyDigest[7:]+"\nlocalhost/app\ndocker.io/library/app\na/b/c_\na/_/_", uint8(3), "registry.example.com/group/project")
	f.Fuzz(func(t *testing.T, names string, separator uint8, base string) {
		if named, err := reference.ParseNamed(base); err != nil || !reference.IsNameOnly(named) || named.String() != base {
			return // loadConfig rejects it
		}
		namer := Namer{Base: base, Separator: []string{"", "-", "_", ".", "__"}[separator%5]}
		var repositories []image.Repository
		for _, name := range slices.Compact(slices.Sorted(strings.SplitSeq(names, "\n"))) {
			repositories = append(repositories, image.Repository{Name: name})
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

// testTarget expects a name that an engine accepts, and that GitLab finds below its project.
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
