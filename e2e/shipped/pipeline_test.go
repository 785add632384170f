package shipped

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v2"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/shipped/standin"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/aws"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

// pipelineLimit bounds a pipeline, which takes some twenty seconds.
const pipelineLimit = 3 * time.Minute

// bulkMigrate is what starts a migration, in the form for a new pipeline.
const bulkMigrate = "BULK_MIGRATE=true"

// artifacts are what a migration's job leaves.
var artifacts = []string{"report.html", "junit.xml", "report.json", "migration.log"}

// The packages come from whichever registry npm is set up for, and are the ones whose hashes the lock file has.
func TestLockFileNamesNoRegistry(t *testing.T) {
	lock := read(t, "e2e/shipped/gitlab-ci-local/package-lock.json")
	if strings.Contains(lock, `"resolved"`) {
		t.Error("it has URLs of packages; .npmrc has npm leave them out")
	}
	if packages, hashes := strings.Count(lock, `"node_modules/`), strings.Count(lock, `"integrity"`); packages == 0 || packages != hashes {
		t.Errorf("%d packages and %d hashes", packages, hashes)
	}
}

// testPipelines has gitlab-ci-local read the pipelines, and run them in containers with their service beside them.
func (s shipping) testPipelines(t *testing.T, maker standin.Maker) {
	if err := maker.MakeRunner(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Run("component", s.testComponent)
	t.Run("own", s.testOwnPipeline)
}

// testComponent is the README's pipeline, in a project of the reader's: the include comes from a repository with a tag,
// the account, the region and the role from the inputs, and the job assumes the role.
func (s shipping) testComponent(t *testing.T) {
	shown := readInclude(t)
	input := func(name string) string { return shown.Inputs[name].(string) }
	w := s.startWorldOf(t, aws.Options{
		AccountID: input("aws_account_id"), Region: input("aws_region"), RoleARN: input("aws_role_arn"), WebIdentityToken: "e.y.J",
	})
	s.docker(t, "tag", jobImage, programImage)
	shown.Inputs["tls_certdir"] = "" // the service's stand-in has no certificates
	pipeline, err := yaml.Marshal(map[string][]include{"include": {shown}})
	if err != nil {
		t.Fatal(err)
	}
	p := s.newProject(t, "group/project", map[string]string{".gitlab-ci.yml": string(pipeline)})
	p.setVariables(t, append(w.AWS.WebIdentityEnv(), w.GitLab.Env()...), "AWS_ACCOUNT_ID", "AWS_DEFAULT_REGION", "AWS_ROLE_ARN")
	p.offer(t, "ecr2gitlab/ecr2gitlab", "1.0.0", map[string]string{"templates/migration.yml": read(t, "templates/migration.yml")})

	if jobs := p.run(t, "--list-csv"); strings.Contains(jobs, "migration") {
		t.Errorf("without BULK_MIGRATE, there is a migration:\n%s", jobs)
	}
	output := p.run(t, "--variable", bulkMigrate)
	s.compare(t, w)
	p.expectArtifacts(t, output, "cache/ecr2gitlab-migration-1/report.json")
	if calls := w.AWS.Calls(); calls["AssumeRoleWithWebIdentity"] == 0 {
		t.Errorf("the role was not assumed: %v", calls)
	}
}

// testOwnPipeline is that of this project, in which the migration comes alone. It has an access key, and the ID token that
// its job always gets.
func (s shipping) testOwnPipeline(t *testing.T) {
	w := s.startWorldOf(t, aws.Options{})
	s.docker(t, "tag", jobImage, w.GitLab.Image+":latest")
	p := s.newProject(t, "ecr2gitlab/ecr2gitlab", map[string]string{".gitlab-ci.yml": read(t, ".gitlab-ci.yml")})
	p.setVariables(t, append(w.Env(), "AWS_WEB_IDENTITY_TOKEN=e.y.J", "DOCKER_TLS_CERTDIR="))
	if jobs := p.run(t, "--list-csv"); strings.Contains(jobs, "migration") || !strings.Contains(jobs, "govulncheck") {
		t.Errorf("without BULK_MIGRATE, there are the jobs\n%s", jobs)
	}
	output := p.run(t, "--variable", bulkMigrate)
	s.compare(t, w)
	p.expectArtifacts(t, output, "cache/ecr2gitlab-/report.json")
}

// project is a user's clone of one at GitLab.
type project struct {
	dir    string
	gitlab string // folder of what else there is at GitLab
	runner string // gitlab-ci-local
	env    []string
}

func (s shipping) newProject(t *testing.T, path string, files map[string]string) project {
	t.Helper()
	bin, err := engine.NPM(t.Context(), "gitlab-ci-local")
	if err != nil {
		t.Fatal(err)
	}
	p := project{dir: filepath.Join(t.TempDir(), filepath.Base(path)), gitlab: t.TempDir(), runner: filepath.Join(bin, "gitlab-ci-local")}
	// Git finds gitlab.com in a folder, so that nothing is asked for from anywhere.
	p.env = append(s.command(t).Env, "NO_COLOR=1",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url.file://"+p.gitlab+"/.insteadOf", "GIT_CONFIG_VALUE_0=https://gitlab.com:443/")
	makeRepository(t, p.dir, files)
	git(t, p.dir, "remote", "add", "origin", "https://gitlab.com/"+path+".git")
	return p
}

// offer puts another project at GitLab, with one tag.
func (p project) offer(t *testing.T, path, tag string, files map[string]string) {
	t.Helper()
	dir := filepath.Join(p.gitlab, path+".git")
	makeRepository(t, dir, files)
	git(t, dir, "tag", tag)
}

// setVariables sets those of Settings > CI/CD > Variables, without some.
func (p project) setVariables(t *testing.T, env []string, without ...string) {
	t.Helper()
	variables := map[string]string{}
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		variables[name] = value
	}
	maps.DeleteFunc(variables, func(name, _ string) bool { return slices.Contains(without, name) })
	text, err := yaml.Marshal(variables)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, ".gitlab-ci-local-variables.yml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// run runs the pipeline, which has to succeed. Job and service run as a runner's do: privileged, and as the images' users.
// The schema is GitLab's for editors, stricter than GitLab in that it wants runner tags.
func (p project) run(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), pipelineLimit)
	defer cancel()
	began := time.Now()
	cmd := exec.CommandContext(ctx, p.runner, append(args, "--privileged", "--no-umask",
		"--ignore-schema-paths", "#/definitions/tags/minItems",
		"--helper-image", standin.Runner.Helper, "--wait-image", standin.Runner.Wait)...)
	cmd.Dir, cmd.Env = p.dir, p.env
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it then removes its containers
	cmd.WaitDelay = 30 * time.Second
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("gitlab-ci-local %s: %v\n%s", strings.Join(args, " "), err, output)
	}
	t.Logf("gitlab-ci-local %s: %s", strings.Join(args, " "), time.Since(began).Round(100*time.Millisecond))
	return string(output)
}

// expectArtifacts looks for what the job has left in the project's folder, and for the next job's cache.
func (p project) expectArtifacts(t *testing.T, output string, cache string) {
	t.Helper()
	for _, name := range append([]string{".gitlab-ci-local/" + cache}, artifacts...) {
		info, err := os.Stat(filepath.Join(p.dir, name))
		if err != nil {
			t.Errorf("%v\n%s", err, output)
			continue
		}
		if info.Size() == 0 {
			t.Errorf("%s is empty", name)
		}
	}
}

func makeRepository(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	git(t, dir, "init", "--quiet", "--initial-branch=main")
	git(t, dir, "add", ".")
	git(t, dir, "-c", "user.name=Somebody", "-c", "user.email=somebody@example.com", "commit", "--quiet", "--message=Begin")
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, output)
	}
}
