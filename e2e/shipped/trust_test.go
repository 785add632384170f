package shipped

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/gitlab"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/secure"
)

// meeting is a world with registries that the engine does not trust by default.
type meeting struct {
	world            *world.World
	insecureRegistry string // set by the user
	ca               string // PEM; empty: none
}

// overPlainHTTP returns a world in which all servers use plain HTTP.
func (s shipping) overPlainHTTP(t *testing.T) meeting {
	t.Helper()
	return meeting{world: s.startWorldOf(t, world.Options{Plain: true}), insecureRegistry: engine.Subnet.String()}
}

// withPrivateCA returns a world in which GitLab's registry, its token service and its object storage have certificates
// of a private CA.
func (s shipping) withPrivateCA(t *testing.T) meeting {
	t.Helper()
	private, err := secure.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	w := s.startWorldOf(t, world.Options{GitLab: gitlab.Options{Secure: private}})
	return meeting{world: w, insecureRegistry: "127.0.0.0/8", ca: string(private.PEM)}
}

// caFile writes the file that compose mounts.
func (m meeting) caFile(t *testing.T) string {
	t.Helper()
	if m.ca == "" {
		return ""
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte(m.ca), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// testTrust runs the component with and without the input that makes the engine trust GitLab's registry.
func (s shipping) testTrust(t *testing.T, meet func(*testing.T) meeting, refusal string) {
	m := meet(t)
	shown := include{Component: readIncludes(t, "docs/pipeline.md")[0].Component, Inputs: map[string]any{}}
	run := func() (string, error) {
		p := s.includingProject(t, m.world, shown)
		p.setVariables(t, append(m.world.Env(), "GITLAB_CA="+m.ca))
		return p.tryRun(t, "--variable", newPipeline, "--variable", bulkMigrate)
	}
	if output, err := run(); err == nil || !strings.Contains(output, refusal) {
		t.Errorf("without the input: %v, and not %q:\n%s", err, refusal, output)
	}
	shown.Inputs["insecure_registry"], shown.Inputs["engine_ca"] = m.insecureRegistry, "$GITLAB_CA"
	if output, err := run(); err != nil {
		t.Fatalf("with the input: %v:\n%s", err, output)
	}
	s.compare(t, m.world)
}
