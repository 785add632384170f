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
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/aws"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

// pipelineLimit limits a pipeline, which takes about twenty seconds.
const pipelineLimit = 3 * time.Minute

// The variables that start a migration: in the form for a new pipeline, with and without its variable.
const (
	newPipeline = "CI_PIPELINE_SOURCE=web"
	bulkMigrate = "BULK_MIGRATE=true"
)

// artifacts are what a migration's job leaves.
var artifacts = []string{"report.html", "junit.xml", "report.json", "references.csv", "migration.log"}

// The packages come from the registry that npm is configured to use, and must match the hashes in the lock file.
func TestLockFileNamesNoRegistry(t *testing.T) {
	lock := read(t, "e2e/shipped/gitlab-ci-local/package-lock.json")
	if strings.Contains(lock, `"resolved"`) {
		t.Error("it has URLs of packages; .npmrc has npm leave them out")
	}
	if packages, hashes := strings.Count(lock, `"node_modules/`), strings.Count(lock, `"integrity"`); packages == 0 || packages != hashes {
		t.Errorf("%d packages and %d hashes", packages, hashes)
	}
}

// testPipelines has gitlab-ci-local parse the pipelines, and run them in containers with their service.
func (s shipping) testPipelines(t *testing.T, maker standin.Maker) {
	if err := maker.MakeRunner(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Run("component", s.testComponent)
	t.Run("own", s.testOwnPipeline)
	t.Run("plain HTTP", func(t *testing.T) { s.testTrust(t, s.overPlainHTTP, "HTTP response to HTTPS client") })
	t.Run("proxies", s.testProxies)
	t.Run("tutorial", func(t *testing.T) { s.testTutorial(t, maker) })
	t.Run("private CA", func(t *testing.T) { s.testTrust(t, s.withPrivateCA, "certificate signed by unknown authority") })
}

// The jobs of a pipeline depend only on how it was started, not accidentally on anyone's settings.
func TestWhatStartsAMigration(t *testing.T) {
	const off, byHand, atOnce = "", "manual", "on_success"
	tests := []struct {
		name, source, variables string
		migration               string
		others                  bool // the project's own jobs
	}{
		{"push", "push", "", off, true},
		{"push, variable in the project's settings", "push", bulkMigrate, off, true},
		{"merge request, variable in the project's settings", "merge_request_event", bulkMigrate, off, true},
		{"new pipeline", "web", "", byHand, true},
		{"new pipeline with the variable", "web", bulkMigrate, atOnce, false},
		{"schedule", "schedule", "", off, true},
		{"schedule with the variable", "schedule", bulkMigrate, atOnce, false},
		{"API with the variable", "api", bulkMigrate, atOnce, false},
		{"child pipeline, variable in the project's settings", "parent_pipeline", bulkMigrate, off, true},
	}
	environment := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	own := newProject(t, environment, "ecr2gitlab/ecr2gitlab", map[string]string{".gitlab-ci.yml": read(t, ".gitlab-ci.yml")})
	including := includingProject(t, environment, readIncludes(t, "docs/pipeline.md")[0])
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			args := []string{"--list-csv-all", "--variable", "CI_PIPELINE_SOURCE=" + test.source}
			if test.variables != "" {
				args = append(args, "--variable", test.variables)
			}
			jobs := own.run(t, args...)
			for name, list := range map[string]string{"own": jobs, "including": including.run(t, args...)} {
				if when := whenOf(list, "migration"); when != test.migration {
					t.Errorf("in the %s pipeline, the migration is %q, not %q:\n%s", name, when, test.migration, list)
				}
			}
			for _, name := range []string{"test", "govulncheck", "publish"} {
				if runs := whenOf(jobs, name) != off; runs != test.others {
					t.Errorf("%s runs: %t, want %t", name, runs, test.others)
				}
			}
		})
	}
}

// The schedule in the documentation is recognized by its description, for users who cannot set variables.
func TestScheduleIsToldByItsDescription(t *testing.T) {
	includes := readIncludes(t, "docs/pipeline.md")
	shown := includes[len(includes)-1]
	p := includingProject(t, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, shown)
	for description, want := range map[string]string{"ecr2gitlab": "on_success", "nightly build": ""} {
		jobs := p.run(t, "--list-csv-all", "--variable", "CI_PIPELINE_SOURCE=schedule", "--variable", "CI_PIPELINE_SCHEDULE_DESCRIPTION="+description)
		if when := whenOf(jobs, "migration"); when != want {
			t.Errorf("on the schedule %q, the migration is %q, not %q", description, when, want)
		}
	}
}

// whenOf returns when a job in gitlab-ci-local's list runs. A job that never does counts as absent. With parallel, a
// job's name ends with a number.
func whenOf(list, name string) string {
	for line := range strings.Lines(list) {
		columns := strings.Split(line, ";")
		if job, _, _ := strings.Cut(columns[0], ":"); job == name && columns[3] != "never" {
			return columns[3]
		}
	}
	return ""
}

// testComponent runs the documented pipeline in a project of the reader's: the include comes from a branch of another
// project, the account, the region and the role come from the inputs, and the job assumes the role. The connection
// between job and service uses TLS.
func (s shipping) testComponent(t *testing.T) {
	shown := readIncludes(t, "docs/pipeline.md")[0]
	input := func(name string) string { return shown.Inputs[name].(string) }
	w := s.startWorldOf(t, world.Options{AWS: aws.Options{
		AccountID: input("aws_account_id"), Region: input("aws_region"), RoleARN: input("aws_role_arn"), WebIdentityToken: "e.y.J",
	}})
	p := s.includingProject(t, w, shown)
	output := p.run(t, "--variable", newPipeline, "--variable", bulkMigrate)
	s.compare(t, w)
	expectOutput(t, output, "tcp://docker:2376")
	p.expectArtifacts(t, output, "cache/ecr2gitlab-migration-1/report.json")
	if calls := w.AWS.Calls(); calls["AssumeRoleWithWebIdentity"] == 0 {
		t.Errorf("the role was not assumed: %v", calls)
	}
}

// testOwnPipeline runs this project's pipeline, whose migration is started manually. It has an access key, and the ID
// token that its job always gets.
func (s shipping) testOwnPipeline(t *testing.T) {
	w := s.startWorld(t)
	s.docker(t, "tag", jobImage, w.GitLab.Image+":latest")
	p := newProject(t, s.command(t).Env, "ecr2gitlab/ecr2gitlab", map[string]string{".gitlab-ci.yml": read(t, ".gitlab-ci.yml")})
	p.certificates = s.volume(t)
	p.setVariables(t, append(w.Env(), "AWS_WEB_IDENTITY_TOKEN=e.y.J"))
	output := p.run(t, "--variable", newPipeline, "migration")
	s.compare(t, w)
	p.expectArtifacts(t, output, "cache/ecr2gitlab-/report.json")
}

// project is a user's clone of a GitLab project.
type project struct {
	dir    string
	gitlab string // folder with the other projects at GitLab
	runner string // path of gitlab-ci-local
	env    []string

	certificates string // the volume at /certs/client, which the runner shares between job and service; empty: none
}

func newProject(t *testing.T, env []string, path string, files map[string]string) project {
	t.Helper()
	bin, err := engine.NPM(t.Context(), "gitlab-ci-local")
	if err != nil {
		t.Fatal(err)
	}
	p := project{dir: filepath.Join(t.TempDir(), filepath.Base(path)), gitlab: t.TempDir(), runner: filepath.Join(bin, "gitlab-ci-local")}
	// Git resolves gitlab.com to a folder, so that nothing is downloaded.
	p.env = append(slices.Clone(env), "NO_COLOR=1",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url.file://"+p.gitlab+"/.insteadOf", "GIT_CONFIG_VALUE_0=https://gitlab.com:443/")
	makeRepository(t, p.dir, files)
	git(t, p.dir, "remote", "add", "origin", "https://gitlab.com/"+path+".git")
	return p
}

// includingProject returns a reader's project that includes the component, from a project in the same group.
func includingProject(t *testing.T, env []string, shown include) project {
	t.Helper()
	pipeline, err := yaml.Marshal(map[string][]include{"include": {shown}})
	if err != nil {
		t.Fatal(err)
	}
	p := newProject(t, env, "your-group/project", map[string]string{".gitlab-ci.yml": string(pipeline)})
	p.offer(t, "your-group/ecr2gitlab", map[string]string{"templates/migration.yml": read(t, "templates/migration.yml")})
	return p
}

// includingProject returns one whose pipeline can run: it has the world's variables, except those that the inputs set,
// and the image under the name that the component uses.
func (s shipping) includingProject(t *testing.T, w *world.World, shown include) project {
	t.Helper()
	s.docker(t, "tag", jobImage, w.GitLab.Registry+"/your-group/ecr2gitlab:latest")
	p := includingProject(t, s.command(t).Env, shown)
	p.certificates = s.volume(t)
	p.setVariables(t, append(w.AWS.WebIdentityEnv(), w.GitLab.Env()...), "AWS_ACCOUNT_ID", "AWS_DEFAULT_REGION", "AWS_ROLE_ARN")
	return p
}

// volume creates a volume for a test, which a runner shares between job and service.
func (s shipping) volume(t *testing.T) string {
	t.Helper()
	name := strings.TrimSpace(s.docker(t, "volume", "create"))
	t.Cleanup(func() { s.docker(t, "volume", "rm", name) })
	return name
}

// offer adds another project at GitLab.
func (p project) offer(t *testing.T, path string, files map[string]string) {
	t.Helper()
	makeRepository(t, filepath.Join(p.gitlab, path+".git"), files)
}

// setVariables sets those of Settings > CI/CD > Variables, except some.
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

// run runs the pipeline, which must succeed. Job and service run as with a runner: privileged, and as the images'
// users. The schema is GitLab's for editors, which is stricter than GitLab in requiring runner tags.
func (p project) run(t *testing.T, args ...string) string {
	t.Helper()
	output, err := p.tryRun(t, args...)
	if err != nil {
		t.Fatalf("gitlab-ci-local %s: %v\n%s", strings.Join(args, " "), err, output)
	}
	return output
}

func (p project) tryRun(t *testing.T, args ...string) (output string, err error) {
	t.Helper()
	if p.certificates != "" {
		args = append(args, "--volume", p.certificates+":/certs/client")
	}
	ctx, cancel := context.WithTimeout(t.Context(), pipelineLimit)
	defer cancel()
	began := time.Now()
	cmd := exec.CommandContext(ctx, p.runner, append(args, "--privileged", "--no-umask",
		"--ignore-schema-paths", "#/definitions/tags/minItems",
		"--helper-image", standin.Runner.Helper, "--wait-image", standin.Runner.Wait)...)
	cmd.Dir, cmd.Env = p.dir, p.env
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // lets it remove its containers
	cmd.WaitDelay = 30 * time.Second
	both, err := cmd.CombinedOutput()
	t.Logf("gitlab-ci-local %s: %s", strings.Join(args, " "), time.Since(began).Round(100*time.Millisecond))
	return string(both), err
}

// serviceLog returns what the migration's engine had logged when its port was open.
func (p project) serviceLog(t *testing.T) string {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(p.dir, ".gitlab-ci-local/services-output/migration*", dind+"-0.log"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("%d logs of the service (%v)", len(logs), err)
	}
	log, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(log)
}

// expectArtifacts checks the files that the job left in the project's folder, and those for the next job's cache.
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
