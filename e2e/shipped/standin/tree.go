package standin

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// tree writes an image's files.
type tree struct{ w *tar.Writer }

func writeTree(ctx context.Context, w io.Writer, fill func(context.Context, *tree) error) error {
	t := &tree{tar.NewWriter(w)}
	if err := fill(ctx, t); err != nil {
		return err
	}
	return t.w.Close()
}

func (t *tree) dir(name string, mode fs.FileMode) error {
	header := &tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: int64(mode.Perm())}
	if mode&fs.ModeSticky != 0 {
		header.Mode |= 0o1000
	}
	return t.w.WriteHeader(header)
}

func (t *tree) symlink(name, target string) error {
	return t.w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777})
}

func (t *tree) text(name, content string) error { return t.write(name, content, 0o644) }

func (t *tree) script(name, content string) error { return t.write(name, content, 0o755) }

func (t *tree) write(name, content string, mode int64) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))}
	if err := t.w.WriteHeader(header); err != nil {
		return err
	}
	_, err := io.WriteString(t.w, content)
	return err
}

// file copies a file of this machine, following links, with its executable bits.
func (t *tree) file(name, source string) error {
	f, err := os.Open(source)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // nothing is written
	info, err := f.Stat()
	if err != nil {
		return err
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(0o644 | info.Mode().Perm()&0o111), Size: info.Size()}
	if err := t.w.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(t.w, f)
	return err
}

// copy copies a folder of this machine, except what skip reports. skip may be nil.
func (t *tree) copy(ctx context.Context, name, source string, skip func(below string) bool) error {
	return fs.WalkDir(os.DirFS(source), ".", func(below string, entry fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		target := path.Join(name, below)
		switch skipped := skip != nil && skip(below); {
		case skipped && entry.IsDir():
			return fs.SkipDir
		case skipped:
			return nil
		case entry.IsDir():
			return t.dir(target, 0o755)
		}
		return t.file(target, filepath.Join(source, filepath.FromSlash(below)))
	})
}
