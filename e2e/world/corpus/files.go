package corpus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"time"
)

// file is a regular file of a layer.
type file struct {
	name    string // in the layer, without a leading slash
	source  string // path on this machine; empty: content holds the data
	content []byte
	size    int64
	mode    int64
	modTime time.Time // of source: shows whether it has changed
}

func textFile(name, content string) file {
	return file{name: name, content: []byte(content), size: int64(len(content)), mode: 0o644}
}

func (f file) open() (io.ReadCloser, error) {
	if f.source == "" {
		return io.NopCloser(bytes.NewReader(f.content)), nil
	}
	return os.Open(f.source)
}

// pool is a fixed sequence of files to make layers from.
type pool []file

// take returns files of about size bytes in total, without those larger than half of that. The start depends on key. A
// small pool may not have enough.
func (p pool) take(key string, size int64) []file {
	h := fnv.New32a()
	h.Write([]byte(key))
	start := int(h.Sum32()) % len(p)
	var files []file
	var total int64
	for i := 0; i < len(p) && total < size; i++ {
		f := p[(start+i)%len(p)]
		if f.size <= size/2 {
			files = append(files, f)
			total += f.size
		}
	}
	return files
}

// tree is a directory on this machine and its path in a layer.
type tree struct{ dir, as string }

// newPool lists the world-readable regular files below each tree that exists.
func newPool(trees ...tree) (pool, error) {
	var p pool
	for _, t := range trees {
		root, err := filepath.EvalSymlinks(t.dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if p, err = p.walk(root, t.as); err != nil {
			return nil, err
		}
	}
	if len(p) == 0 {
		return nil, fmt.Errorf("no files to make layers of in %v", trees)
	}
	return p, nil
}

// walk appends the files below root in lexical order.
func (p pool) walk(root, as string) (pool, error) {
	err := filepath.WalkDir(root, func(source string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return skipUnreadable(err)
		}
		info, err := entry.Info()
		if err != nil || info.Mode().Perm()&0o004 == 0 {
			return err
		}
		rel, err := filepath.Rel(root, source)
		if err != nil {
			return err
		}
		p = append(p, file{
			name: path.Join(as, filepath.ToSlash(rel)), source: source,
			size: info.Size(), mode: plainMode(info.Mode()), modTime: info.ModTime(),
		})
		return nil
	})
	return p, err
}

// skipUnreadable skips what only root may list, so that every user gets the same pool.
func skipUnreadable(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fs.SkipDir
	}
	return err
}

// plainMode removes set-user-id bits, and bits that depend on the umask during installation.
func plainMode(mode fs.FileMode) int64 {
	if mode&0o111 != 0 {
		return 0o755
	}
	return 0o644
}

// goroot asks the go command, because runtime.GOROOT is empty in a binary built with -trimpath.
func goroot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	return string(bytes.TrimSpace(out)), nil
}

// sourcePool returns the source of Go's standard library: text, in files of a few KiB.
func sourcePool(ctx context.Context) (pool, error) {
	root, err := goroot(ctx)
	if err != nil {
		return nil, err
	}
	return newPool(tree{filepath.Join(root, "src"), ""})
}

// toolPool returns the programs of the Go installation, or its tests if it has no programs.
func toolPool(ctx context.Context) (pool, error) {
	root, err := goroot(ctx)
	if err != nil {
		return nil, err
	}
	return newPool(
		tree{filepath.Join(root, "bin"), "usr/local/go/bin"},
		tree{filepath.Join(root, "pkg"), "usr/local/go/pkg"},
		tree{filepath.Join(root, "lib"), "usr/local/go/lib"})
}

// systemPool returns the machine's shared libraries and programs.
func systemPool() (pool, error) {
	libraries, err := filepath.Glob("/usr/lib/*-linux-gnu")
	if err != nil {
		return nil, err
	}
	trees := []tree{{"/usr/bin", "usr/bin"}}
	for _, dir := range libraries {
		trees = append(trees, tree{dir, dir[1:]})
	}
	return newPool(trees...)
}
