package corpus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// storeVersion is part of every key. Increase it when the bytes for a recipe change.
const storeVersion = 1

// store keeps layers on disk, so that later runs need not pack them again.
type store struct{ dir string }

// record is the metadata of a layer in the store.
type record struct {
	Digest v1.Hash `json:"digest"`
	DiffID v1.Hash `json:"diffID"`
	Size   int64   `json:"size"`
}

// openStore opens the store in dir, or in the user's cache directory if dir is empty.
func openStore(dir string) (store, error) {
	if dir == "" {
		caches, err := os.UserCacheDir()
		if err != nil {
			caches = os.TempDir()
		}
		dir = filepath.Join(caches, "ecr2gitlab-e2e", "corpus")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return store{}, fmt.Errorf("layer cache: %w", err)
	}
	return store{dir}, nil
}

// layer returns the recipe's layer, and packs it if necessary.
func (s store) layer(ctx context.Context, r recipe) (layer, error) {
	index := filepath.Join(s.dir, r.key()+".json")
	known, err := s.lookup(index)
	if err != nil {
		known, err = s.build(ctx, r, index)
	}
	if err != nil {
		return layer{}, fmt.Errorf("layer %s: %w", r.name, err)
	}
	open := func() (io.ReadCloser, error) { return os.Open(s.blob(known)) }
	return layer{
		digest: known.Digest, diffID: known.DiffID, size: known.Size,
		compression: r.compression, open: open,
	}, nil
}

// key identifies the recipe and the state of its files.
func (r recipe) key() string {
	h := sha256.New()
	h.Write(fmt.Appendln(nil, storeVersion, r.name, r.compression))
	for _, f := range r.contents() {
		h.Write(fmt.Appendln(nil, f.name, f.source, f.size, f.mode, f.modTime.UnixNano(), string(f.content)))
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (s store) blob(r record) string { return filepath.Join(s.dir, r.Digest.Hex) }

// lookup finds a layer that has been packed. A truncated blob counts as missing.
func (s store) lookup(index string) (r record, err error) {
	raw, err := os.ReadFile(index)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return r, err
	}
	info, err := os.Stat(s.blob(r))
	if err == nil && info.Size() != r.Size {
		err = io.ErrUnexpectedEOF
	}
	return r, err
}

// build packs the layer next to its final path and renames it, so that several processes can safely build the same
// layer.
func (s store) build(ctx context.Context, r recipe, index string) (record, error) {
	tmp, err := os.CreateTemp(s.dir, "layer-*")
	if err != nil {
		return record{}, err
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // gone after a rename
	built, err := pack(ctx, r, tmp)
	if err := errors.Join(err, tmp.Close()); err != nil {
		return record{}, err
	}
	if err := os.Rename(tmp.Name(), s.blob(built)); err != nil {
		return record{}, err
	}
	return built, s.remember(index, built)
}

func (s store) remember(index string, r record) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	tmp := fmt.Sprintf("%s.%d", index, os.Getpid())
	if err := os.WriteFile(tmp, raw, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, index)
}

// pack writes the compressed layer to w and computes the digests of both forms.
func pack(ctx context.Context, r recipe, w io.Writer) (record, error) {
	blob := &digester{Hash: sha256.New()}
	archive := &digester{Hash: sha256.New()}
	compressor, err := r.compression.compress(io.MultiWriter(w, blob))
	if err != nil {
		return record{}, err
	}
	err = r.write(ctx, io.MultiWriter(compressor, archive))
	if err := errors.Join(err, compressor.Close()); err != nil {
		return record{}, err
	}
	return record{Digest: blob.digest(), DiffID: archive.digest(), Size: blob.size}, nil
}

// digester hashes and counts the bytes written to it.
type digester struct {
	hash.Hash
	size int64
}

func (d *digester) Write(p []byte) (int, error) {
	d.size += int64(len(p))
	return d.Hash.Write(p)
}

func (d *digester) digest() v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(d.Sum(nil))}
}
