package scenarios

import (
	"slices"
	"strings"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

// The checks for secrets in the other tests are meaningful: all kinds are known, and the processes were checked.
func TestSecretsStayHidden(t *testing.T) {
	s := startScene(t, engine.Containerd, world.Options{})
	s.fillWith(t, "docker-manifest")
	expectExit(t, s.run(t), 0)
	for _, kind := range []string{"secret key", "job token", "password", "encoded password", "registry token of GitLab", "authorizationToken"} {
		if !slices.Contains(s.secrets.Kinds(), kind) {
			t.Errorf("no %s has passed by", kind)
		}
	}
	for _, process := range []string{"ecr2gitlab", "dockerd --config-file", "containerd --config"} {
		if !slices.ContainsFunc(s.secrets.Commands(), func(line string) bool { return strings.Contains(line, process) }) {
			t.Errorf("%s was never seen running", process)
		}
	}
}
