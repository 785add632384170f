package standin

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// golang has this machine's Go, and the modules that the program needs as a file system module proxy, so that the
// Dockerfile's go mod download and go build work unchanged.
func (m Maker) golang() *image {
	return &image{
		fill: m.fillGolang,
		changes: []string{
			"ENV PATH=/go/bin:/usr/local/go/bin:/usr/local/bin:/usr/bin:/bin",
			"ENV GOPATH=/go GOTOOLCHAIN=local GOPROXY=file:///proxy GOSUMDB=off",
			"WORKDIR /go",
			`CMD ["/bin/sh"]`,
		},
	}
}

func (m Maker) fillGolang(ctx context.Context, t *tree) error {
	if err := m.fillAlpine(ctx, t); err != nil {
		return err
	}
	root, err := goEnv(ctx, "GOROOT")
	if err != nil {
		return err
	}
	for _, part := range []string{"bin", "lib", "pkg", "src"} {
		if err := t.copy(ctx, "usr/local/go/"+part, filepath.Join(root, part), forTests); err != nil {
			return err
		}
	}
	for _, file := range []string{"VERSION", "go.env"} {
		if err := t.file("usr/local/go/"+file, filepath.Join(root, file)); err != nil {
			return err
		}
	}
	return m.addProxy(ctx, t)
}

// forTests reports whether only tests need the file, as a third of Go's files.
func forTests(name string) bool {
	return path.Base(name) == "testdata" || strings.HasSuffix(name, "_test.go")
}

// addProxy makes go mod download fill an empty cache, from this machine's if possible: the result is exactly what the
// same call requests from a proxy.
func (m Maker) addProxy(ctx context.Context, t *tree) error {
	cache, err := os.MkdirTemp("", "standin-modules-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(cache) //nolint:errcheck // a temporary folder
	own, err := goEnv(ctx, "GOMODCACHE")
	if err != nil {
		return err
	}
	public, err := goEnv(ctx, "GOPROXY")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "mod", "download")
	cmd.Dir = m.Module
	cmd.Env = append(os.Environ(), "GOMODCACHE="+cache, "GOFLAGS=-modcacherw", "GOPROXY=file://"+own+"/cache/download,"+public)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go mod download: %w: %s", err, out)
	}
	return t.copy(ctx, "proxy", filepath.Join(cache, "cache", "download"), nil)
}

func goEnv(ctx context.Context, name string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", name).Output()
	return strings.TrimSpace(string(out)), err
}
