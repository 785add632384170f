package shipped

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/shipped/standin"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/check"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/secure"
)

const (
	jobImage = "ecr2gitlab"
	dind     = "docker:29-dind"

	composeVersion = "v5.6.0"
	buildxVersion  = "v0.38.2"
)

// The image is built from the unchanged Dockerfile, and used in both ways that the README shows, with a dind service
// named docker. Only the external images are replaced.
func TestShippedFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the image twice, which lasts minutes")
	}
	account, err := corpus.Account(t.Context(), corpus.AccountOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := newShipping(t, account[:2])
	maker := standin.Maker{Engine: s.engine, Module: "../..", PublicCA: s.authority.PEM}
	began := time.Now()
	if err := maker.Make(t.Context(), "../../Dockerfile", "../../docker-compose.yml"); err != nil {
		t.Fatal(err)
	}
	t.Logf("stand-ins after %s", time.Since(began).Round(time.Second))
	s.docker(t, "build", "--tag", jobImage, "--build-arg", "VERSION=v1.2.3", "--build-arg", "REVISION=0123abc", "../..")
	t.Logf("job image after %s", time.Since(began).Round(time.Second))

	t.Run("image", s.testImage)
	t.Run("CI job", s.testJob)
	t.Run("compose", s.testCompose)
	t.Run("at once", func(t *testing.T) { // they mostly wait
		for name, test := range map[string]func(*testing.T, standin.Maker){
			"pipelines": s.testPipelines, "publishing": s.testPublishing, "another platform": s.testPlatform,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, maker)
			})
		}
	})
}

// shipping is an engine that runs containers, with a world to migrate.
type shipping struct {
	engine  *engine.Engine
	account []corpus.Repository

	// authority stands in for the public CAs: ECR, its bucket and GitLab have certificates that every image trusts by
	// default. So nothing that is shipped has to be told about it.
	authority *secure.Authority
	trust     string // the variable that makes this machine's programs trust it
}

func newShipping(t *testing.T, account []corpus.Repository) shipping {
	t.Helper()
	authority, err := secure.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "public-ca.pem")
	if err := os.WriteFile(file, authority.PEM, 0o644); err != nil {
		t.Fatal(err)
	}
	trust := "SSL_CERT_FILE=" + file
	return shipping{startBridgeEngine(t, trust), account, authority, trust}
}

func startBridgeEngine(t *testing.T, env ...string) *engine.Engine {
	t.Helper()
	e, err := engine.Start(t.Context(), engine.Containerd, engine.Options{Bridge: true, Verify: true, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// testImage checks what a runner and a reader see of the image.
func (s shipping) testImage(t *testing.T) {
	version := s.docker(t, "run", "--rm", jobImage, "ecr2gitlab", "version")
	expectOutput(t, version, "v1.2.3", "0123abc")
	labels := s.docker(t, "image", "inspect", "--format", "{{json .Config.Labels}}", jobImage)
	expectOutput(t, labels, `"org.opencontainers.image.version":"v1.2.3"`, `"org.opencontainers.image.revision":"0123abc"`)
	expectOutput(t, s.docker(t, "run", "--rm", jobImage, "sh", "-c", "id -u; type grep"), "65534\n", "grep is")

	_, code := s.run(t, s.command(t, "run", "--rm", jobImage))
	if code != 2 {
		t.Errorf("without variables: exit code %d, want 2", code)
	}
}

// testJob runs the migration job like a runner: with its service, and its script in a shell, as the image's user.
func (s shipping) testJob(t *testing.T) {
	t.Run("TLS, and certificates that come late", func(t *testing.T) {
		run := s.newJobRun(t, "/certs")
		output := run.start(t)
		output.waitFor(t, "Engine: waiting for it")
		run.startService(t)
		run.expectMigrated(t)
		expectOutput(t, output.String(), "tcp://docker:2376")
	})
	t.Run("without TLS, while the engine pauses", func(t *testing.T) {
		run := s.newJobRun(t, "")
		run.startService(t)
		output := run.start(t)
		run.expectMigrated(t)
		expectOutput(t, output.String(), "Engine: waiting for it", "tcp://docker:2375")
		expectOutput(t, s.docker(t, "logs", run.service), enginePauses)
	})
}

// testCompose follows the README, in a copy of the files that it needs: with docker-compose 1, and with the docker
// CLI's plugin.
func (s shipping) testCompose(t *testing.T) {
	t.Run("docker-compose", func(t *testing.T) { s.testComposeWith(t, s.dockerCompose, s.overPlainHTTP) })
	t.Run("docker compose", func(t *testing.T) { s.testComposeWith(t, s.composePlugin(t), s.withPrivateCA) })
}

// composeCommand returns a call of one of the two, in that folder.
type composeCommand func(t *testing.T, dir string, args ...string) *exec.Cmd

// testComposeWith plans and migrates. The engine needs the registry in .env.
func (s shipping) testComposeWith(t *testing.T, compose composeCommand, meet func(*testing.T) meeting) {
	m := meet(t)
	dir := filepath.Join(t.TempDir(), "ecr2gitlab")
	copySources(t, dir)
	options := []string{"INSECURE_REGISTRY=" + m.insecureRegistry, "ENGINE_CA_FILE=" + m.caFile(t), "ENGINE_ARGS=" + m.engineArgs}
	fillIn(t, filepath.Join(dir, ".env.example"), filepath.Join(dir, ".env"), slices.Concat(m.world.Env(), options))
	t.Cleanup(func() {
		if output, code := s.run(t, compose(t, dir, "down", "-v")); code != 0 {
			t.Errorf("down -v: exit code %d:\n%s", code, output)
		}
	})
	for _, command := range [][]string{{"plan"}, nil} {
		output, code := s.run(t, compose(t, dir, append([]string{"run", "--rm", "migrate"}, command...)...))
		if code != 0 {
			t.Fatalf("run --rm migrate %s: exit code %d:\n%s", command, code, output)
		}
		if len(command) > 0 {
			expectOutput(t, output, "nothing has been copied")
		}
	}
	s.compare(t, m.world)
	logs, _ := s.run(t, compose(t, dir, "logs", "docker"))
	expectOutput(t, logs, "API listen on")
	m.expectEngine(t, logs)
	if strings.Contains(logs, enginePauses) {
		t.Errorf("the engine paused before it listened:\n%s", logs)
	}
}

// copySources copies the files that docker-compose and the build read.
func copySources(t *testing.T, dir string) {
	t.Helper()
	if err := os.CopyFS(filepath.Join(dir, "internal"), os.DirFS("../../internal")); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go.mod", "go.sum", "Dockerfile", ".dockerignore", "docker-compose.yml", ".env.example"} {
		files = append(files, filepath.Join("../..", name))
	}
	for _, file := range files {
		name := filepath.Base(file)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(read(t, name)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// fillIn creates an .env from the example: its variables get the world's values, and missing ones are added.
func fillIn(t *testing.T, example, env string, variables []string) {
	t.Helper()
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for _, variable := range variables {
		name, value, _ := strings.Cut(variable, "=")
		values[name] = value
	}
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		name, _, _ := strings.Cut(line, "=")
		if value, ok := values[name]; ok {
			line = name + "=" + value + "\n"
			delete(values, name)
		}
		out.WriteString(line)
	}
	for name, value := range values {
		fmt.Fprintf(&out, "%s=%s\n", name, value)
	}
	if err := os.WriteFile(env, []byte(out.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// testPlatform builds the image for the other published platform. It replaces the base image's stand-in.
func (s shipping) testPlatform(t *testing.T, maker standin.Maker) {
	const platform, machine = "linux/arm64", elf.EM_AARCH64
	if err := maker.MakeFor(t.Context(), platform, "../../Dockerfile"); err != nil {
		t.Fatal(err)
	}
	image := jobImage + ":arm64"
	s.docker(t, "build", "--platform", platform, "--tag", image, "../..")
	if got := s.docker(t, "image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", image); strings.TrimSpace(got) != platform {
		t.Errorf("the image is for %s", got)
	}
	container := strings.TrimSpace(s.docker(t, "create", "--platform", platform, image))
	program := filepath.Join(t.TempDir(), "ecr2gitlab")
	s.docker(t, "cp", container+":/usr/local/bin/ecr2gitlab", program)
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // nothing is written
	if file.Machine != machine {
		t.Errorf("the program is for %s", file.Machine)
	}
}

func (s shipping) startWorld(t *testing.T) *world.World { return s.startWorldOf(t, world.Options{}) }

// startWorldOf starts the stand-ins at addresses that containers can reach, and fills the account. They use TLS, unless
// the options say Plain.
func (s shipping) startWorldOf(t *testing.T, options world.Options) *world.World {
	t.Helper()
	address := func(i int) string { return s.engine.HostAddrs[i] + ":0" }
	options.AWS.Addr, options.AWS.APIAddr, options.AWS.BucketAddr = address(0), address(0), address(2)
	options.GitLab.Addr, options.GitLab.StorageAddr = address(1), address(4)
	if !options.Plain {
		options.Authority, options.GitLab.TokenAddr = s.authority, address(3)
	}
	w, err := world.Start(t.Context(), nil, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := w.Fill(t.Context(), s.account); err != nil {
		t.Fatal(err)
	}
	return w
}

func (s shipping) compare(t *testing.T, w *world.World) {
	t.Helper()
	var checker check.Checker
	s.eachTag(t, func(repository, tag string) {
		report, err := checker.Same(t.Context(), w.Source(repository, ":"+tag), w.Target(repository, ":"+tag))
		if err != nil {
			t.Fatal(err)
		}
		for _, difference := range report.Differences {
			t.Errorf("%s:%s: %s", repository, tag, difference)
		}
	})
}

func (s shipping) eachTag(t *testing.T, compare func(repository, tag string)) {
	t.Helper()
	for _, repository := range s.account {
		tags, err := repository.Tags()
		if err != nil {
			t.Fatal(err)
		}
		for tag := range tags {
			compare(repository.Name, tag)
		}
	}
}

// docker runs the docker CLI, which must succeed, and returns its output.
func (s shipping) docker(t *testing.T, args ...string) string {
	t.Helper()
	output, code := s.run(t, s.command(t, args...))
	if code != 0 {
		t.Fatalf("docker %s: exit code %d\n%s", strings.Join(args, " "), code, output)
	}
	return output
}

// command returns a docker CLI call, also for a test's cleanup.
func (s shipping) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd, err := s.engine.Command(context.WithoutCancel(t.Context()), args...)
	if err != nil {
		t.Fatal(err)
	}
	return cmd
}

func (s shipping) dockerCompose(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("docker-compose", args...)
	cmd.Env, cmd.Dir = s.command(t).Env, dir
	return cmd
}

// composePlugin returns docker compose, whose plugin is built from its Go module.
func (s shipping) composePlugin(t *testing.T) composeCommand {
	t.Helper()
	env := s.withPlugin(t, "docker-compose", "github.com/docker/compose/v5/cmd", composeVersion)
	return func(t *testing.T, dir string, args ...string) *exec.Cmd {
		t.Helper()
		cmd := s.command(t, append([]string{"compose"}, args...)...)
		cmd.Env, cmd.Dir = append(cmd.Env, env), dir
		return cmd
	}
}

// withPlugin returns the variable that makes the docker CLI find a plugin.
func (s shipping) withPlugin(t *testing.T, name, pkg, version string) string {
	t.Helper()
	plugin, err := engine.Plugin(t.Context(), name, pkg, version)
	if err != nil {
		t.Fatal(err)
	}
	config := t.TempDir()
	plugins := filepath.Join(config, "cli-plugins")
	if err := errors.Join(os.Mkdir(plugins, 0o755), os.Symlink(plugin, filepath.Join(plugins, name))); err != nil {
		t.Fatal(err)
	}
	return "DOCKER_CONFIG=" + config
}

func (s shipping) run(t *testing.T, cmd *exec.Cmd) (output string, code int) {
	t.Helper()
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return both.String(), cmd.ProcessState.ExitCode()
}
