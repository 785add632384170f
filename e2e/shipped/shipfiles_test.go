package shipped

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v2"
)

// The runner passes the job's script to a shell, which is busybox's in the job image: it must return the program's exit
// code and all its output, even after a cancellation, which the runner sends to every process of the job.
func TestMigrationJobScript(t *testing.T) {
	tests := []struct {
		name, program string
		wantCode      int // -1: ended by the signal
		wantLog       string
	}{
		{"done", "echo done", 0, "done\n"},
		{"tags failed", "echo tags; echo trouble >&2; exit 3", 3, "tags\ntrouble\n"},
		{"cancelled", "trap 'echo summary; exit 143' TERM; echo copying; " +
			"until grep -qs copying migration.log; do :; done; kill -TERM 0; exit 9", -1, "copying\nsummary\n"},
	}
	script := strings.Join(readJob(t, ".gitlab-ci.yml").Script, "\n")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			fake := "#!/bin/sh\n" + test.program + "\n"
			if err := os.WriteFile(filepath.Join(dir, "ecr2gitlab"), []byte(fake), 0o755); err != nil {
				t.Fatal(err)
			}
			shell := exec.CommandContext(t.Context(), "busybox", "sh", "-e", "-c", script)
			shell.Dir = dir
			shell.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH")}
			shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			var output bytes.Buffer
			shell.Stdout, shell.Stderr = &output, &output
			var exit *exec.ExitError
			if err := shell.Run(); err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if code := shell.ProcessState.ExitCode(); code != test.wantCode {
				t.Errorf("exit code %d, want %d", code, test.wantCode)
			}
			log, err := os.ReadFile(filepath.Join(dir, "migration.log"))
			if err != nil {
				t.Fatal(err)
			}
			if string(log) != test.wantLog {
				t.Errorf("migration.log is %q, want %q", log, test.wantLog)
			}
			if output.String() != test.wantLog {
				t.Errorf("the job log is %q, want %q", output.String(), test.wantLog)
			}
		})
	}
}

// Readers copy the job from the pipeline documentation.
func TestPageHasTheMigrationJob(t *testing.T) {
	shipped, shown := readJob(t, ".gitlab-ci.yml"), readJob(t, "docs/pipeline.md")
	if want := "$CI_REGISTRY/your-group/ecr2gitlab:latest"; shown.Image != want {
		t.Errorf("the page's job runs in %q, not %q", shown.Image, want)
	}
	shown.Image, shown.Stage = shipped.Image, shipped.Stage
	delete(shipped.Variables, "ECR2GITLAB_IMAGE")
	if !reflect.DeepEqual(shown, shipped) {
		t.Errorf("the page's job is\n%+v\nand the pipeline's\n%+v", shown, shipped)
	}
}

func TestPagesHaveEveryVariable(t *testing.T) {
	pages := read(t, "README.md")
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		pages += read(t, filepath.Join("docs", filepath.Base(file)))
	}
	for _, name := range helpVariables(t) {
		if !strings.Contains(pages, "`"+name+"`") {
			t.Errorf("no page has %s", name)
		}
	}
}

// helpVariables returns the names of all variables that the program knows.
func helpVariables(t *testing.T) (names []string) {
	t.Helper()
	help, err := program.Run(t.Context(), nil, "help")
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile(`(?m)^[* ] ([A-Z][A-Z_]+) `).FindAllStringSubmatch(help.Stdout, -1) {
		names = append(names, match[1])
	}
	if len(names) == 0 {
		t.Fatalf("help lists no variables:\n%s", help.Stdout)
	}
	return names
}

// job holds what a reader's copy of the migration job has in common with the original.
type job struct {
	Stage         string            `yaml:"stage"`
	Image         string            `yaml:"image"`
	Services      []service         `yaml:"services"`
	Variables     map[string]string `yaml:"variables"`
	IDTokens      map[string]any    `yaml:"id_tokens"`
	Rules         []map[string]any  `yaml:"rules"`
	Needs         []any             `yaml:"needs"`
	Interruptible *bool             `yaml:"interruptible"`
	ResourceGroup string            `yaml:"resource_group"`
	Timeout       string            `yaml:"timeout"`
	Retry         map[string]any    `yaml:"retry"`
	Script        []string          `yaml:"script"`
	Cache         map[string]any    `yaml:"cache"`
	Artifacts     map[string]any    `yaml:"artifacts"`
}

// service is an additional container of a job.
type service struct {
	Name      string            `yaml:"name"`
	Alias     string            `yaml:"alias"`
	Command   []string          `yaml:"command"`
	Variables map[string]string `yaml:"variables"`
}

var migrationBlock = regexp.MustCompile("(?s)```yaml\n([^`]*\nmigration:\n  stage:[^`]*)```")

// readJob reads the migration job of the pipeline, or of the code block in a Markdown file that has it.
func readJob(t *testing.T, name string) job {
	t.Helper()
	text := read(t, name)
	if strings.HasSuffix(name, ".md") {
		block := migrationBlock.FindStringSubmatch(text)
		if block == nil {
			t.Fatalf("%s has no YAML block with the migration job", name)
		}
		text = block[1]
	}
	var pipeline struct {
		Migration job `yaml:"migration"`
	}
	if err := yaml.Unmarshal([]byte(text), &pipeline); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if len(pipeline.Migration.Script) == 0 {
		t.Fatalf("%s: the migration job has no script", name)
	}
	return pipeline.Migration
}

// read returns a file of the repository's top level.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
