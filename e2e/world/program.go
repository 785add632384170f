package world

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// Program is the compiled program, with the file that it sees as /etc/hosts, which has the host names of a world.
type Program struct{ path, hosts string }

// Built returns the program at the path, in a temporary folder.
func Built(path string) (Program, error) {
	hosts, err := writeHosts(path + ".hosts")
	return Program{path: path, hosts: hosts}, err
}

// Path returns the program's file, for callers that resolve the host names of a world themselves.
func (p Program) Path() string { return p.path }

// Build compiles the program into dir, optionally with the race detector.
func Build(ctx context.Context, dir string, race bool) (Program, error) {
	_, here, _, _ := runtime.Caller(0)
	path := filepath.Join(dir, "ecr2gitlab")
	args := []string{"build", "-o", path}
	if race {
		args = append(args, "-race")
	}
	build := exec.CommandContext(ctx, "go", append(args, ".")...)
	build.Dir = filepath.Join(filepath.Dir(here), "..", "..")
	if output, err := build.CombinedOutput(); err != nil {
		return Program{}, fmt.Errorf("build the program: %w\n%s", err, output)
	}
	return Built(path)
}

// writeHosts writes the machine's own host names and those of a world.
func writeHosts(path string) (string, error) {
	lines, err := os.ReadFile("/etc/hosts")
	if err != nil {
		return "", err
	}
	for name, address := range Hosts(nil) {
		lines = fmt.Appendf(lines, "\n%s %s\n", address, name)
	}
	return path, os.WriteFile(path, lines, 0o644)
}

// Outcome is the exit code and the output of a run of the program.
type Outcome struct {
	ExitCode       int
	Stdout, Stderr string
	Took           time.Duration
}

// Run runs the program with only the given environment, and waits for its end. When ctx ends, it interrupts the program
// with SIGTERM, as a runner does. The error is about starting the program.
func (p Program) Run(ctx context.Context, env []string, args ...string) (Outcome, error) {
	var stdout, stderr bytes.Buffer
	started := time.Now()
	err := p.Stream(ctx, &stdout, &stderr, env, args...)
	outcome := Outcome{Stdout: stdout.String(), Stderr: stderr.String(), Took: time.Since(started)}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		outcome.ExitCode = exit.ExitCode()
		return outcome, nil
	}
	return outcome, err
}

// ProgramEnv returns the given variables with those that the program needs on any machine.
func ProgramEnv(env []string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "AWS_EC2_METADATA_DISABLED=true"}, env...)
}

// Command returns a command for the program with only the given environment, for callers that observe it while it runs.
// When ctx ends, it is interrupted with SIGTERM.
func (p Program) Command(ctx context.Context, env []string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", `mount --bind "$0" /etc/hosts && exec "$@"`, p.hosts, p.path}, args...)...)
	command.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS} // hides the mount from others
	command.Env = ProgramEnv(env)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 30 * time.Second
	return command
}

// Stream is like Run for callers that read the output as it is written. A failure of the program is an *exec.ExitError.
func (p Program) Stream(ctx context.Context, stdout, stderr io.Writer, env []string, args ...string) error {
	command := p.Command(ctx, env, args...)
	command.Stdout, command.Stderr = stdout, stderr
	err := command.Run()
	var exit *exec.ExitError
	if ctx.Err() != nil && !errors.As(err, &exit) && command.ProcessState != nil && command.ProcessState.ExitCode() > 0 {
		return &exec.ExitError{ProcessState: command.ProcessState}
	}
	return err
}
