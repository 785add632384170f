package docker

import (
	"slices"
	"testing"
)

func TestReferences(t *testing.T) {
	const digest = "@sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
	for _, test := range []struct {
		name          string
		tags, digests []string
		classic       bool
		want          []string
	}{
		{"classic", []string{"a:1", "b:1"}, []string{"a" + digest}, true, []string{"a:1", "b:1", "a" + digest}},
		{"classic, by its digest", []string{"<none>:<none>"}, []string{"a" + digest}, true, []string{"a" + digest}},
		{"classic, without a name", []string{"<none>:<none>"}, []string{"<none>@<none>"}, true, nil},
		{"a digest that is made up for a tag", []string{"host:5000/a:1"}, []string{"host:5000/a" + digest}, false, []string{"host:5000/a:1"}},
		{"a digest reference beside a tag", []string{"a:1", "a" + digest}, []string{"a" + digest}, false, []string{"a:1", "a" + digest}},
		{"a digest reference that is not among the tags", []string{"a:1"}, []string{"b" + digest}, false, []string{"a:1", "b" + digest}},
		{"an artifact without a name", nil, []string{digest[1:]}, false, nil},
	} {
		if got := References(test.tags, test.digests, test.classic); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
