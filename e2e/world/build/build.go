// Package build builds programs with the go command, and reports the progress every few seconds: packages built, and
// megabytes downloaded. The go command itself prints nothing for minutes.
package build

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// interval is the time between progress lines.
const interval = 5 * time.Second

// Program describes what to build.
type Program struct {
	Name     string   // the name in progress lines
	Dir      string   // working directory of the go command; empty: the current one
	Env      []string // of the go command; nil: this process's
	Command  []string // build or install, with its flags
	Packages []string
	// Module is path@version if the packages belong to a versioned module, and therefore have a version themselves.
	// Empty: they belong to the module in Dir.
	Module string
	Out    io.Writer // where the lines go
}

// Build builds the program. The error includes the end of the go command's output.
func (p Program) Build(ctx context.Context) error {
	began := time.Now()
	total, err := p.list(ctx)
	if err != nil {
		total = 0 // the build reports the error, too
	}
	args := append([]string{p.Command[0], "-v"}, append(p.Command[1:], p.Packages...)...)
	built, err := p.run(ctx, p.Dir, total, args...)
	if err != nil {
		return fmt.Errorf("build %s: %w", p.Name, err)
	}
	if built.packages > 0 {
		fmt.Fprintf(p.Out, "%s: built in %s\n", p.Name, time.Since(began).Round(time.Second))
	}
	return nil
}

// list downloads the modules that the build needs, and returns the number of packages.
func (p Program) list(ctx context.Context) (int, error) {
	dir, packages := p.Dir, p.Packages
	if p.Module != "" {
		listed, err := p.run(ctx, dir, 0, "mod", "download", "-json", p.Module)
		if err != nil {
			return 0, err
		}
		var module struct{ Dir string }
		if err := json.Unmarshal(listed.stdout.Bytes(), &module); err != nil {
			return 0, err
		}
		dir, packages = module.Dir, withinModule(p.Module, packages)
	}
	listed, err := p.run(ctx, dir, 0, append([]string{"list", "-deps"}, packages...)...)
	return bytes.Count(listed.stdout.Bytes(), []byte("\n")), err
}

// withinModule names packages relative to their module's folder: host/module/cmd/x@v1 becomes ./cmd/x.
func withinModule(module string, packages []string) (relative []string) {
	path, _, _ := strings.Cut(module, "@")
	for _, pkg := range packages {
		pkg, _, _ = strings.Cut(pkg, "@")
		relative = append(relative, "."+strings.TrimPrefix(pkg, path))
	}
	return relative
}

// run runs the go command until it exits.
func (p Program) run(ctx context.Context, dir string, total int, args ...string) (*progress, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = dir, p.Env
	state := &progress{total: total, began: time.Now(), cache: moduleCache(ctx)}
	cmd.Stdout = &state.stdout
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return state, err
	}
	if err := cmd.Start(); err != nil {
		return state, err
	}
	p.watch(stderr, state)
	if err := cmd.Wait(); err != nil {
		return state, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, state.tail())
	}
	return state, nil
}

// watch reads the go command's output until it ends, and reports the progress.
func (p Program) watch(stderr io.Reader, state *progress) {
	lines := make(chan string)
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(stderr)
		for scanner.Scan() {
			lines <- scanner.Text()
		}
	}()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case line, more := <-lines:
			if !more {
				return
			}
			state.add(line)
		case <-ticker.C:
			if text := state.String(); text != "" {
				fmt.Fprintf(p.Out, "%s: %s\n", p.Name, text)
			}
		}
	}
}

// progress is the progress of a go command, according to its output.
type progress struct {
	modules, packages int
	total             int       // maximum number of packages; 0: unknown
	began             time.Time // older modules were in the cache before
	cache             string
	stdout            bytes.Buffer
	other             []string // lines that name neither a module nor a package
}

func (s *progress) add(line string) {
	switch {
	case strings.HasPrefix(line, "go: downloading "):
		s.modules++
	case line != "" && !strings.ContainsAny(line, " :#\t"):
		s.packages++
	default:
		s.other = append(s.other, line)
	}
}

func (s *progress) String() string {
	switch {
	case s.packages > 0 && s.total > 0:
		return fmt.Sprintf("%d of %d packages built", s.packages, max(s.total, s.packages))
	case s.packages > 0:
		return fmt.Sprintf("%d packages built", s.packages)
	case s.modules > 0:
		return fmt.Sprintf("%d modules to download, %d MB so far", s.modules, downloaded(s.cache, s.began)/1e6)
	}
	return ""
}

// tail returns the end of the go command's output, without the progress.
func (s *progress) tail() string {
	return strings.Join(s.other[max(0, len(s.other)-20):], "\n")
}

// moduleCache returns the module cache folder; empty: unknown.
func moduleCache(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMODCACHE").Output()
	if err != nil {
		return ""
	}
	return filepath.Join(strings.TrimSpace(string(out)), "cache", "download")
}

// downloaded returns the size of the modules downloaded since the given time, in bytes.
func downloaded(cache string, since time.Time) (sum int64) {
	_ = filepath.WalkDir(cache, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".zip" {
			return nil //nolint:nilerr // a folder that cannot be read counts nothing
		}
		if info, err := entry.Info(); err == nil && info.ModTime().After(since) {
			sum += info.Size()
		}
		return nil
	})
	return sum
}
