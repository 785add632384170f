package standin

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// Runner holds the names of the helper images that gitlab-ci-local uses.
var Runner = struct{ Helper, Wait string }{"gitlab-ci-local-helper:standin", "gitlab-ci-local-wait:standin"}

// MakeRunner creates them: one that moves caches and artifacts, and one that waits for a service's port.
func (m Maker) MakeRunner(ctx context.Context) error {
	if err := m.build(ctx, Runner.Helper, "", &image{fill: m.fillHelper}); err != nil {
		return fmt.Errorf("stand-in for a runner's helper: %w", err)
	}
	// It gets host:port. After 30 s it gives up, like a runner, and the job starts anyway.
	wait := &image{fill: m.fillAlpine, changes: []string{
		`ENTRYPOINT ["timeout", "30", "sh", "-c", "until timeout 2 nc \"${1%:*}\" \"${1#*:}\" </dev/null; do sleep 1; done", "wait"]`,
	}}
	if err := m.build(ctx, Runner.Wait, "", wait); err != nil {
		return fmt.Errorf("stand-in for what waits for services: %w", err)
	}
	return nil
}

func (m Maker) fillHelper(ctx context.Context, t *tree) error {
	if err := m.fillAlpine(ctx, t); err != nil {
		return err
	}
	return addInstalled(ctx, t, "bash", "rsync")
}

// addInstalled adds programs that are installed on this machine.
func addInstalled(ctx context.Context, t *tree, names ...string) error {
	var programs []string
	for _, name := range names {
		program, err := exec.LookPath(name)
		if err != nil {
			return fmt.Errorf("%w: apt-get install %s", err, name)
		}
		programs = append(programs, program)
	}
	return addPrograms(ctx, t, programs...)
}

// addPrograms adds programs with their shared libraries, each once.
func addPrograms(ctx context.Context, t *tree, programs ...string) error {
	copied := map[string]bool{}
	for _, program := range programs {
		if err := t.file("usr/local/bin/"+filepath.Base(program), program); err != nil {
			return err
		}
		libraries, err := libraries(ctx, program)
		if err != nil {
			return err
		}
		for _, library := range libraries {
			if copied[library] {
				continue
			}
			copied[library] = true
			if err := t.file(library[1:], library); err != nil {
				return err
			}
		}
	}
	return nil
}

var libraryPattern = regexp.MustCompile(`(?m)^\s+(?:\S+ => )?(/\S+) \(`)

// libraries returns the shared libraries of a program on this machine, including the loader.
func libraries(ctx context.Context, program string) ([]string, error) {
	out, err := exec.CommandContext(ctx, "ldd", program).CombinedOutput()
	if strings.Contains(string(out), "not a dynamic executable") {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ldd %s: %w: %s", program, err, out)
	}
	var files []string
	for _, match := range libraryPattern.FindAllStringSubmatch(string(out), -1) {
		files = append(files, match[1])
	}
	return files, nil
}
