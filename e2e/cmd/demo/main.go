// Command demo builds what the demonstration needs, reporting progress, and starts it: cmd/tour. It has hardly any
// imports, so that it starts immediately. Its flags are those of cmd/tour.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/build"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := demo(ctx)
	stop()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode()) // the tour has printed the error
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func demo(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "ecr2gitlab-demo")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	fmt.Print("\n== Building Docker Engine, the test world, and ecr2gitlab: minutes the first time, seconds from then on\n\n")
	if err := engine.EnsureSmall(ctx); err != nil {
		return err
	}
	tour, program := filepath.Join(dir, "tour"), filepath.Join(dir, "ecr2gitlab")
	for _, p := range []build.Program{
		{Name: "test world", Command: []string{"build", "-o", tour}, Packages: []string{"./cmd/tour"}},
		{Name: "ecr2gitlab", Dir: "..", Command: []string{"build", "-o", program}, Packages: []string{"."}},
	} {
		p.Out = os.Stderr
		if err := p.Build(ctx); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, tour, append([]string{"-program", program}, os.Args[1:]...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // lets it stop its engine
	err = cmd.Run()
	if cmd.ProcessState != nil && cmd.ProcessState.Success() {
		return nil // Ctrl-C is how the user ends the world
	}
	return err
}
