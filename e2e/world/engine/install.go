package engine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/build"
)

// The versions of the engines. 20.10.24 is that of Debian 12 and the tutorial; 2.0.0-beta.24 is the code line of Engine
// 29.
const (
	classicVersion    = "20.10.24"
	mobyVersion       = "2.0.0-beta.24"
	containerdVersion = "2.4.2"
	runcVersion       = "1.5.2"
)

// Ensure finds the engine of that kind in the cache, or installs it there: the classic one from Debian packages,
// without installing these on the machine, and the current one from its published Go modules. It reports progress on
// standard error, because a first build takes minutes.
func Ensure(ctx context.Context, kind Kind) error {
	_, err := BinDir(ctx, kind)
	return err
}

// BinDir returns the folder of the engine's programs, after Ensure. The classic engine's includes the docker CLI.
func BinDir(ctx context.Context, kind Kind) (string, error) {
	install, ok := map[Kind]func(context.Context) (string, error){
		Classic:    installClassic,
		Containerd: installContainerd,
	}[kind]
	if !ok {
		return "", fmt.Errorf("no engine of the kind %q", kind)
	}
	dir, err := install(ctx)
	if err != nil {
		return "", fmt.Errorf("install the %s engine: %w", kind, err)
	}
	return filepath.Join(dir, "bin"), nil
}

// goTool is one go install, statically linked, so that the program also works in a container.
type goTool struct {
	name               string
	module, version    string
	packages           []string // relative to the module
	cgo, tags, ldflags string
}

var (
	dockerdTool = goTool{
		name: "Docker Engine " + mobyVersion, module: "github.com/moby/moby/v2", version: "v" + mobyVersion, packages: []string{"/cmd/dockerd"},
		cgo: "0", ldflags: "-X github.com/moby/moby/v2/dockerversion.Version=" + mobyVersion,
	}
	containerdTool = goTool{
		name: "containerd " + containerdVersion, module: "github.com/containerd/containerd/v2", version: "v" + containerdVersion,
		packages: []string{"/cmd/containerd"}, cgo: "0",
	}
	shimTool = goTool{
		name: "containerd's shim", module: containerdTool.module, version: containerdTool.version,
		packages: []string{"/cmd/containerd-shim-runc-v2"}, cgo: "0",
	}
	// The engine's BuildKit does not start without runc, and runs nothing without seccomp.
	runcTool = goTool{
		name: "runc " + runcVersion, module: "github.com/opencontainers/runc", version: "v" + runcVersion, packages: []string{""},
		cgo: "1", tags: "netgo,osusergo,seccomp", ldflags: "-linkmode external -extldflags -static",
	}
)

// containerdInstall is the folder of a complete current engine in the cache.
const containerdInstall = "engine-" + mobyVersion + "-containerd-" + containerdVersion + "-runc-" + runcVersion

func installContainerd(ctx context.Context) (string, error) {
	return cached(ctx, containerdInstall, func(ctx context.Context, dir string) error {
		return installTools(ctx, dir, dockerdTool, containerdTool, shimTool, runcTool)
	})
}

// smallDirs returns the folders of the programs that pull and push images, from the complete engine if it is in the
// cache.
func smallDirs(ctx context.Context, tools ...goTool) (dirs []string, err error) {
	root, err := cacheRoot()
	if err != nil {
		return nil, err
	}
	if whole := filepath.Join(root, containerdInstall); exists(whole) {
		return []string{filepath.Join(whole, "bin")}, nil
	}
	for _, tool := range tools {
		dir, err := cached(ctx, path.Base(tool.packages[0])+"-"+tool.version, func(ctx context.Context, dir string) error {
			if err := installTools(ctx, dir, tool); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, "bin", "runc"), []byte(noRunc), 0o755)
		})
		if err != nil {
			return nil, fmt.Errorf("install %s: %w", tool.name, err)
		}
		dirs = append(dirs, filepath.Join(dir, "bin"))
	}
	return dirs, nil
}

// noRunc replaces runc in an engine that runs no containers: dockerd's BuildKit does not start without one.
const noRunc = "#!/bin/sh\necho 'this engine is for pulling and pushing, and runs no containers' >&2\nexit 1\n"

func installTools(ctx context.Context, dir string, tools ...goTool) error {
	for _, tool := range tools {
		say("building %s from its Go module, once", tool.name)
		if err := tool.install(ctx, dir); err != nil {
			return err
		}
	}
	return nil
}

// Tool returns the path of a program that is built from its Go module once, and kept next to the engines. The version
// is a module version, such as v1.2.3.
func Tool(ctx context.Context, pkg, version string) (string, error) {
	name := path.Base(pkg)
	dir, err := cached(ctx, name+"-"+version, func(ctx context.Context, dir string) error {
		say("building %s %s from its Go module, once", name, version)
		args := []string{"install", "-trimpath", "-ldflags", "-s -w", pkg + "@" + version}
		return run(ctx, append(goEnv(dir), "CGO_ENABLED=0"), dir, "go", args...)
	})
	if err != nil {
		return "", fmt.Errorf("install %s: %w", name, err)
	}
	return filepath.Join(dir, "bin", name), nil
}

// Plugin is like Tool for a program that go install rejects, because its module has exclude or replace directives: it
// is built from a module of its own, under the given name.
func Plugin(ctx context.Context, name, pkg, version string) (string, error) {
	dir, err := cached(ctx, name+"-"+version, func(ctx context.Context, dir string) error {
		say("building %s %s from its Go module, once", name, version)
		for _, args := range [][]string{
			{"mod", "init", "plugin"},
			{"get", pkg + "@" + version},
			{"build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join("bin", name), pkg},
		} {
			if err := run(ctx, append(goEnv(dir), "CGO_ENABLED=0"), dir, "go", args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("install %s: %w", name, err)
	}
	return filepath.Join(dir, "bin", name), nil
}

func (g goTool) install(ctx context.Context, dir string) error {
	p := build.Program{
		Name: "engine", Dir: dir, Env: append(goEnv(dir), "CGO_ENABLED="+g.cgo), Module: g.module + "@" + g.version, Out: os.Stderr,
		Command: []string{"install", "-trimpath", "-tags", g.tags, "-ldflags", "-s -w " + g.ldflags},
	}
	for _, pkg := range g.packages {
		p.Packages = append(p.Packages, g.module+pkg+"@"+g.version)
	}
	return p.Build(ctx)
}

// goEnv makes go install build for this machine into dir/bin, whatever the caller's own build is for.
func goEnv(dir string) []string {
	return append(os.Environ(), "GOBIN="+filepath.Join(dir, "bin"), "GOFLAGS=", "GOOS=", "GOARCH=", "GOWORK=off", "GO111MODULE=on")
}

func installClassic(ctx context.Context) (string, error) {
	return cached(ctx, "engine-"+classicVersion, func(ctx context.Context, dir string) error {
		say("fetching Docker Engine %s from Debian's packages, without installing them", classicVersion)
		root := filepath.Join(dir, "root")
		if err := unpackDebs(ctx, root, "docker.io="+classicVersion+"*", "containerd", "runc"); err != nil {
			return err
		}
		if err := flatten(root, filepath.Join(dir, "bin")); err != nil {
			return err
		}
		if err := checkLibraries(ctx, filepath.Join(dir, "bin")); err != nil {
			return err
		}
		return os.RemoveAll(root)
	})
}

// unpackDebs fetches packages with apt and unpacks their files below root.
func unpackDebs(ctx context.Context, root string, packages ...string) error {
	debs := root + ".debs"
	if err := os.Mkdir(debs, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(debs) //nolint:errcheck // what is left is only larger
	// apt's own user may not be able to write here: root downloads as root.
	args := append([]string{"download", "-q", "-o", "APT::Sandbox::User=root"}, packages...)
	if err := run(ctx, os.Environ(), debs, "apt-get", args...); err != nil {
		return fmt.Errorf("%w\nthe packages are Debian 12's; where apt does not know them, run apt-get update", err)
	}
	files, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := run(ctx, os.Environ(), debs, "dpkg-deb", "-x", file, root); err != nil {
			return err
		}
	}
	return nil
}

// flatten moves the programs below root into one folder.
func flatten(root, bin string) error {
	if err := os.Mkdir(bin, 0o755); err != nil {
		return err
	}
	programs, err := filepath.Glob(filepath.Join(root, "usr", "*bin", "*"))
	if err != nil {
		return err
	}
	for _, program := range programs {
		if err := os.Rename(program, filepath.Join(bin, filepath.Base(program))); err != nil {
			return err
		}
	}
	return nil
}

// checkLibraries detects missing libraries here, before the engine starts.
func checkLibraries(ctx context.Context, bin string) error {
	var missing []string
	for _, program := range []string{"dockerd", "containerd", "runc"} {
		out, err := exec.CommandContext(ctx, "ldd", filepath.Join(bin, program)).CombinedOutput()
		if err != nil && !strings.Contains(string(out), "not a dynamic executable") {
			return fmt.Errorf("ldd %s: %w: %s", program, err, out)
		}
		for line := range strings.Lines(string(out)) {
			if library, ok := strings.CutSuffix(strings.TrimSpace(line), " => not found"); ok {
				missing = append(missing, library)
			}
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("shared libraries are missing: %s: apt-get install libdevmapper1.02.1 libsystemd0 libseccomp2", strings.Join(missing, ", "))
	}
	return nil
}

// run runs a command to its end. The error includes its output.
func run(ctx context.Context, env []string, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Dir = env, dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, tail(string(out)))
	}
	return nil
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "engine: "+format+"\n", args...)
}

// tail returns the last lines of a log, enough to see why something ended.
func tail(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}
