package plan

import (
	"slices"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

func TestVersions(t *testing.T) {
	tags := []string{"latest", "1.1.9", "1.2", "v1.2.3", "1.3.0-rc1", "2", "2.9.9", "v3", "3.0.0", "10.0.1", "1.2.3.4", "main-1.2", "1.2.3-alpine"}
	for _, test := range []struct {
		list     string
		patterns []string
		want     []string
	}{
		{"semver:>=1.2 <3", []string{"semver:>=1.2 <3"}, []string{"1.2", "v1.2.3", "2", "2.9.9"}},
		{"semver:>=1.2,<3", []string{"semver:>=1.2 <3"}, []string{"1.2", "v1.2.3", "2", "2.9.9"}},
		{"semver: >= 1.2 < 3", []string{"semver: >= 1.2 < 3"}, []string{"1.2", "v1.2.3", "2", "2.9.9"}},
		{"latest semver:^1.2 v3", []string{"latest", "semver:^1.2", "v3"}, []string{"latest", "1.2", "v1.2.3", "v3"}},
		{"semver:1.2 - 2.9, main-*", []string{"semver:1.2 - 2.9", "main-*"}, []string{"1.2", "v1.2.3", "2", "2.9.9", "main-1.2"}},
		{"semver:1.1 || >=10", []string{"semver:1.1 || >=10"}, []string{"1.1.9", "10.0.1"}},
		{"semver:>=1 !=2.9.9 !v*", []string{"semver:>=1 !=2.9.9", "!v*"}, []string{"1.1.9", "1.2", "2", "3.0.0", "10.0.1"}},
		{"!semver:<3", []string{"!semver:<3"}, []string{"latest", "1.3.0-rc1", "v3", "3.0.0", "10.0.1", "1.2.3.4", "main-1.2", "1.2.3-alpine"}},
		{"semver:>=1.2-0 <2", []string{"semver:>=1.2-0 <2"}, []string{"1.2", "v1.2.3", "1.3.0-rc1", "1.2.3-alpine"}},
		{"semver:2 1.*", []string{"semver:2", "1.*"}, []string{"1.1.9", "1.2", "1.3.0-rc1", "2", "2.9.9", "1.2.3.4", "1.2.3-alpine"}},
	} {
		t.Run(test.list, func(t *testing.T) {
			patterns, err := ParseTagPatterns(test.list)
			if err != nil || !slices.Equal(patterns, test.patterns) {
				t.Fatalf("got %q, %v, want %q", patterns, err, test.patterns)
			}
			got := slices.DeleteFunc(slices.Clone(tags), func(tag string) bool { return !patterns.choose(tag) })
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestVersionsRefused(t *testing.T) {
	for list, says := range map[string]string{
		"semver:":         `"semver:" is not a range of versions`,
		"semver:latest":   `"semver:latest" is not a range of versions, such as semver:>=1.2 <3`,
		"v* semver:>=x.y": `is not a range of versions`,
		"semver:1 [":      `"[" is not a pattern`,
	} {
		_, err := ParseTagPatterns(list)
		testkit.ExpectError(t, err, says)
	}
}
