package transfer

import (
	"regexp"
	"strings"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
)

// repositoryRule is what every engine accepts as a repository (distribution, reference.go), without the domain.
var repositoryRule = regexp.MustCompile(`^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$`)

func TestOwnName(t *testing.T) {
	for _, ref := range []string{
		"registry.gitlab.com/group/project/app:1.0", "Registry.example.com:5050/a_b/c--d:Latest_1.0-x", "[fd00::1]:5000/a:1", "127.0.0.1:80/x/y/z:v",
	} {
		name, ok := ownName(parkedPrefix, ref)
		if !ok {
			t.Errorf("%s has no name", ref)
		}
		if path := strings.TrimPrefix(docker.RepositoryOf(name), ownDomain); !repositoryRule.MatchString(path) {
			t.Errorf("%s: %s is no repository", ref, path)
		}
		if got, ok := namedBy(parkedPrefix, name); got != ref || !ok {
			t.Errorf("%s becomes %s", ref, got)
		}
		if got, ok := namedBy(markPrefix, name); ok {
			t.Errorf("%s is taken for a mark of %s", name, got)
		}
	}
	long := "registry.gitlab.com/" + strings.Repeat("n", 230) + ":1"
	if name, ok := ownName(parkedPrefix, long); ok {
		t.Errorf("%d bytes are not too many: %s", len(name), name)
	}
	for _, name := range []string{"ecr2gitlab.invalid/parked/1/x:1", "ecr2gitlab.invalid/parked/", "registry.gitlab.com/parked/a:1"} {
		if ref, ok := namedBy(parkedPrefix, name); ok {
			t.Errorf("%s is taken for a name of %s", name, ref)
		}
	}
}

func TestRealm(t *testing.T) {
	realm := Realm{Hosts: []string{"123456789012.dkr.ecr.eu-west-1.amazonaws.com"}, Projects: []string{"registry.gitlab.com/group/project", "registry.gitlab.com/group/other"}}
	const digest = "@sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
	for ref, want := range map[string][2]bool{ // by digest, at the target
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com/app" + digest:   {true, false},
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1":          {false, false},
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com.x/app" + digest: {false, false},
		"registry.gitlab.com/group/project/app" + digest:              {true, true},
		"registry.gitlab.com/group/project/app:1":                     {false, true},
		"registry.gitlab.com/group/project:1":                         {false, true},
		"registry.gitlab.com/group/project" + digest:                  {true, true},
		"registry.gitlab.com/group/project2/app" + digest:             {false, false},
		"registry.gitlab.com/group/other/app:1":                       {false, true},
		"alpine" + digest:                                             {false, false},
	} {
		if got := [2]bool{realm.byDigest(ref), realm.atTarget(ref)}; got != want {
			t.Errorf("%s: %t, want %t", ref, got, want)
		}
	}
}
