package engine

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
)

// Command is a docker CLI call, of version 20.10 with BuildKit, at this engine: to be run, or to be
// started with input and output.
func (e *Engine) Command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	bin, err := BinDir(ctx, Classic)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "docker"), args...)
	cmd.Env = []string{
		"PATH=" + bin + ":" + os.Getenv("PATH"), // docker-compose calls docker
		"HOME=" + e.run.path,                    // no configuration of the user's
		"DOCKER_HOST=" + e.Host,
		"DOCKER_BUILDKIT=1",
	}
	return cmd, nil
}
