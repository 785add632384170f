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

// What a user adds so that the engine runs containerd inside itself, and what it logs then.
const (
	embeddedContainerd = "--feature=embedded-containerd=true"
	embeddedMode       = "experimental embedded-containerd mode"
)

// expectEngine checks in an engine's log that it has the user's options.
func (m meeting) expectEngine(t *testing.T, log string) {
	t.Helper()
	if embedded := strings.Contains(log, embeddedMode); embedded != (m.engineArgs == embeddedContainerd) {
		t.Errorf("with the options %q, containerd runs inside the engine: %t\n%s", m.engineArgs, embedded, log)
	}
}

// meeting is a world with registries that the engine does not trust by default.
type meeting struct {
	world            *world.World
	insecureRegistry string // set by the user
	ca               string // PEM; empty: none
	engineArgs       string // more options for dockerd
}

// overPlainHTTP returns a world in which all servers use plain HTTP.
func (s shipping) overPlainHTTP(t *testing.T) meeting {
	t.Helper()
	return meeting{world: s.startWorldOf(t, world.Options{Plain: true}), insecureRegistry: engine.Subnet.String()}
}

// withPrivateCA returns a world in which GitLab's registry, its token service and its object storage have certificates
// of a private CA, for an engine that runs containerd inside itself.
func (s shipping) withPrivateCA(t *testing.T) meeting {
	t.Helper()
	private, err := secure.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	w := s.startWorldOf(t, world.Options{GitLab: gitlab.Options{Secure: private}})
	return meeting{world: w, insecureRegistry: "127.0.0.0/8", ca: string(private.PEM), engineArgs: embeddedContainerd}
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
	run := func() (project, string, error) {
		p := s.includingProject(t, m.world, shown)
		p.setVariables(t, append(m.world.Env(), "GITLAB_CA="+m.ca))
		output, err := p.tryRun(t, "--variable", newPipeline, "--variable", bulkMigrate)
		return p, output, err
	}
	if _, output, err := run(); err == nil || !strings.Contains(output, refusal) {
		t.Errorf("without the input: %v, and not %q:\n%s", err, refusal, output)
	}
	shown.Inputs["insecure_registry"], shown.Inputs["engine_ca"] = m.insecureRegistry, "$GITLAB_CA"
	shown.Inputs["engine_args"] = m.engineArgs
	p, output, err := run()
	if err != nil {
		t.Fatalf("with the input: %v:\n%s", err, output)
	}
	s.compare(t, m.world)
	m.expectEngine(t, p.serviceLog(t))
}
