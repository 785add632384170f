package engine

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
)

// Command returns a docker CLI command, of version 20.10 with BuildKit, for this engine. The caller runs or starts it.
func (e *Engine) Command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	bin, err := BinDir(ctx, Classic)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "docker"), args...)
	cmd.Env = []string{
		"PATH=" + bin + ":" + os.Getenv("PATH"), // docker-compose calls docker
		"HOME=" + e.run.path,                    // without the user's configuration
		"DOCKER_HOST=" + e.Host,
		"DOCKER_BUILDKIT=1",
	}
	return cmd, nil
}
