package plan

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

func TestRename(t *testing.T) {
	for _, test := range []struct {
		name, rules, separator string
		want                   map[string]string // below the group; rejected: "!" and part of the message
	}{
		{"no rule", "", "", map[string]string{"team/app": "project/team/app"}},
		{"groups", `team/(.*)/(.*) => \2/\1`, "", map[string]string{"team/app/web": "project/web/app", "team/app": "project/team/app"}},
		{"the whole name", `app => other`, "", map[string]string{"app": "project/other", "team/app": "project/team/app", "app2": "project/app2"}},
		{"alternatives match as a whole, too", `a|b => c`, "", map[string]string{"a": "project/c", "ab": "project/ab"}},
		{"the first counts", "team/app => first; team/.* => second", "", map[string]string{"team/app": "project/first", "team/web": "project/second"}},
		{"lines", "a => x\r\n\n b=>y \n", "", map[string]string{"a": "project/x", "b": "project/y"}},
		{"the separator comes after it", `old/(.*) => new/\1`, "-", map[string]string{"old/a/b/c": "project/new/a-b-c"}},
		{"too deep with its new name", `(.*) => a/b/\1`, "", map[string]string{
			"app": `!MIGRATE_RENAME gives it the name "a/b/app" ((.*) => a/b/\1): GitLab takes no image more than 2 levels`,
		}},
		{"no name that GitLab takes", `app => App`, "", map[string]string{"app": `!MIGRATE_RENAME gives it the name "App" (app => App): GitLab does not take`}},
		{"no name at all", `app(.*) => \1`, "", map[string]string{"app": "!GitLab does not take the name", "app2": "project/2"}},
		{"dollars are none of it", `app => $1`, "", map[string]string{"app": `!the name "$1"`}},
		{"one name for two", `team/.* => app`, "", map[string]string{
			"team/a": "!team/a, team/b would all be written to " + testkit.TargetBase + "/app", "team/b": "!or rename one of them with MIGRATE_RENAME",
		}},
		{"another project", `mobile/(.*) => ../mobile/\1`, "", map[string]string{"mobile/a/b": "mobile/a/b", "mobile/a/b/c": "!levels below its project", "web": "project/web"}},
		{"another project itself", `mobile => ../mobile`, "", map[string]string{"mobile": "mobile"}},
		{"no project", `mobile => ../../mobile`, "", map[string]string{"mobile": "!GitLab does not take the name"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			rules, err := ParseRules(test.rules)
			if err != nil {
				t.Fatal(err)
			}
			var repositories []image.Repository
			for _, name := range slices.Sorted(maps.Keys(test.want)) {
				repositories = append(repositories, testkit.Repository(name))
			}
			targets, refused := Namer{Base: testkit.TargetBase, Rules: rules, Separator: test.separator}.Targets(repositories)
			for name, want := range test.want {
				if says, isRefused := strings.CutPrefix(want, "!"); isRefused {
					testkit.ExpectError(t, refused[name], says)
				} else if want = strings.TrimSuffix(testkit.TargetBase, "project") + want; targets[name] != want {
					t.Errorf("%s: got %q (%v), want %q", name, targets[name], refused[name], want)
				}
			}
		})
	}
}

func TestRenameWithoutAGroup(t *testing.T) {
	rules, err := ParseRules("app => ../other")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Namer{Base: "registry.example.com/project", Rules: rules}.Target("app")
	testkit.ExpectError(t, err, "registry.example.com/project is in no group")
}

func TestParseRulesRefuses(t *testing.T) {
	for text, says := range map[string]string{
		";":             "contains no rule",
		"team/app":      `"team/app" is not a rule, such as`,
		"a => b; => c":  `"=> c" is not a rule`,
		"a =>":          `"a =>" is not a rule`,
		"team/( => app": `"team/(" is not a regular expression: missing closing ): ` + "`^(?:team/()$`",
		`(.*) => \2`:    `"(.*) => \\2" refers to group \2, and its pattern has 1`,
		`a => \1`:       `refers to group \1, and its pattern has 0`,
	} {
		rules, err := ParseRules(text)
		if testkit.ExpectError(t, err, says); rules != nil {
			t.Errorf("%q: %v", text, rules)
		}
	}
}
