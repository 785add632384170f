package check

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/compression"
	"github.com/google/go-containerregistry/pkg/name"
	memory "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/gitlab"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/registry"
)

// TestSameFindsEveryDifference damages a copy in one way at a time. The image is an index with a nested index, and
// lists one child twice.
func TestSameFindsEveryDifference(t *testing.T) {
	first, second, deep := randomImage(t), randomImage(t), randomImage(t)
	nested := index(t, deep)
	whole := index(t, first, second, first, nested)
	layer := layersOf(t, deep)[0]
	config := must(deep.ConfigName())(t)
	deepDigest := must(deep.Digest())(t)

	tests := []struct {
		name   string
		damage func(t *testing.T, target store)
		want   []string // part of each difference, in order
	}{
		{"none", func(*testing.T, store) {}, nil},
		{"a byte of a layer", func(t *testing.T, s store) { s.flip(t, layer.Digest) },
			[]string{"layer " + layer.Digest.String() + ": the target's bytes have the digest sha256:"}},
		{"a layer cut short", func(t *testing.T, s store) { s.truncate(t, layer.Digest) },
			[]string{"layer " + layer.Digest.String() + ": 1 bytes at the target"}},
		{"a byte of a config", func(t *testing.T, s store) { s.flip(t, config) },
			[]string{"config " + config.String() + ": the target's bytes have the digest sha256:"}},
		{"a missing layer", func(t *testing.T, s store) { s.unlink(t, "_layers", layer.Digest) },
			[]string{"layer " + layer.Digest.String() + " is missing at the target"}},
		{"a missing config", func(t *testing.T, s store) { s.unlink(t, "_layers", config) },
			[]string{"config " + config.String() + " is missing at the target"}},
		{"a missing nested child", func(t *testing.T, s store) { s.unlink(t, "_manifests/revisions", deepDigest) },
			[]string{"manifest " + deepDigest.String() + " is missing at the target"}},
		{"a child dropped", func(t *testing.T, s store) { s.push(t, "app:v1", index(t, first, first, nested)) },
			[]string{"manifest " + digestOfIndex(t, whole) + ": the target has other bytes"}},
		{"one platform in place of the index", func(t *testing.T, s store) { s.push(t, "app:v1", first) },
			[]string{"manifest " + digestOfIndex(t, whole) + ": the target has other bytes"}},
		{"the tag is not there", func(t *testing.T, s store) { s.untag(t, "app", "v1") },
			[]string{"is missing at the target (asked for v1)"}},
		{"nothing is there", func(t *testing.T, s store) { check(t, os.RemoveAll(s.dir+"/docker")) },
			slices.Repeat([]string{"is missing at the target"}, 5+9)},
	}
	source := newStore(t)
	source.push(t, "team/app:v1", whole)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target := newStore(t)
			target.push(t, "app:v1", whole)
			tt.damage(t, target)
			report := must(Same(t.Context(), source.ref("team/app:v1"), target.ref("app:v1")))(t)
			expect(t, report, tt.want...)
			if report.Manifests != 5 || report.Blobs != 9 {
				t.Errorf("%d manifests and %d blobs compared, want 5 and 9", report.Manifests, report.Blobs)
			}
		})
	}
}

func TestSameByDigest(t *testing.T) {
	source, target, img := newStore(t), newStore(t), randomImage(t)
	digest := must(img.Digest())(t).String()
	source.push(t, "app:v1", img)
	target.push(t, "app:other", img)
	for _, names := range [][2]string{{"app@" + digest, "app:other"}, {"app:v1", "app@" + digest}} {
		report := must(Same(t.Context(), source.ref(names[0]), target.ref(names[1])))(t)
		expect(t, report)
		if report.SourceDigest != digest || report.TargetDigest != digest {
			t.Errorf("digests %s and %s, want %s", report.SourceDigest, report.TargetDigest, digest)
		}
	}
}

// TestSameReportsTheOtherDigest compares two images that differ only in their config.
func TestSameReportsTheOtherDigest(t *testing.T) {
	source, target, img := newStore(t), newStore(t), randomImage(t)
	other := must(mutate.Config(img, v1.Config{User: "nobody"}))(t)
	source.push(t, "app:v1", img)
	target.push(t, "app:v1", other)
	report := must(Same(t.Context(), source.ref("app:v1"), target.ref("app:v1")))(t)
	expect(t, report, "the target has other bytes", "config "+must(img.ConfigName())(t).String()+" is missing")
	if want := must(other.Digest())(t).String(); report.TargetDigest != want {
		t.Errorf("target digest %s, want %s", report.TargetDigest, want)
	}
}

// TestSameErrors covers errors that say nothing about the target's content.
func TestSameErrors(t *testing.T) {
	img := randomImage(t)
	source, target := newStore(t), newStore(t)
	source.push(t, "app:v1", img)
	target.push(t, "app:v1", img)
	damaged := newStore(t)
	damaged.push(t, "app:v1", img)
	damaged.flip(t, layersOf(t, img)[0].Digest)
	gl := must(gitlab.Start(context.Background(), gitlab.Options{}))(t)
	t.Cleanup(func() { check(t, gl.Close()) })
	wrong := &authn.Basic{Username: gl.User, Password: "wrong"}

	tests := []struct {
		name           string
		source, target Ref
		want           string
	}{
		{"no source", source.ref("app:v2"), target.ref("app:v1"), "source: "},
		{"damaged source", damaged.ref("app:v1"), target.ref("app:v1"), "source is damaged"},
		{"refused by the target", source.ref("app:v1"), Ref{gl.Image + ":v1", wrong}, "target: "},
		{"no registry", source.ref("app:v1"), Ref{Name: "127.0.0.1:1/app:v1"}, "target: "},
		{"no reference", Ref{Name: "!"}, target.ref("app:v1"), "could not parse reference"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Same(t.Context(), tt.source, tt.target)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

// TestSameInGitLab logs in as a job does.
func TestSameInGitLab(t *testing.T) {
	gl := must(gitlab.Start(context.Background(), gitlab.Options{}))(t)
	t.Cleanup(func() { check(t, gl.Close()) })
	source, img := newStore(t), randomImage(t)
	source.push(t, "app:v1", img)
	target := Ref{gl.Image + "/app:v1", gl.Auth()}
	check(t, remote.Write(must(name.NewTag(target.Name))(t), img, remote.WithAuth(target.Auth)))
	expect(t, must(Same(t.Context(), source.ref("app:v1"), target))(t))
	if tags := must(Tags(t.Context(), gl.Image+"/app", gl.Auth()))(t); !slices.Equal(tags, []string{"v1"}) {
		t.Errorf("tags %v", tags)
	}
}

// TestForeignLayers has a layer with a URL, which is compared only if the source stores it.
func TestForeignLayers(t *testing.T) {
	foreign := static.NewLayer([]byte("windows base"), types.DockerForeignLayer)
	img := must(mutate.Append(randomImage(t), mutate.Addendum{Layer: foreign, URLs: []string{"https://example.com/base"}}))(t)
	source, target := newStore(t), newStore(t)
	source.push(t, "app:v1", img)
	target.push(t, "app:v1", img)
	expect(t, must(Same(t.Context(), source.ref("app:v1"), target.ref("app:v1")))(t))

	source.push(t, "app:v2", img, remote.WithNondistributable) // a new tag, because the client skips existing ones
	expect(t, must(Same(t.Context(), source.ref("app:v1"), target.ref("app:v1")))(t), "is missing at the target")
}

// TestChildOfUnknownType has a blob as a child, which distribution would reject.
func TestChildOfUnknownType(t *testing.T) {
	server := httptest.NewServer(memory.New(memory.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	child := static.NewLayer([]byte("anything"), "application/vnd.example")
	idx := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: child})
	for _, ref := range []string{"/a:v1", "/b:v1"} {
		check(t, remote.WriteIndex(must(name.NewTag(host+ref))(t), idx))
	}
	report := must(Same(t.Context(), Ref{Name: host + "/a:v1"}, Ref{Name: host + "/b:v1"}))(t)
	expect(t, report)
	if report.Blobs != 1 || report.Bytes != int64(len("anything")) {
		t.Errorf("%d blobs, %d bytes, want the child read", report.Blobs, report.Bytes)
	}
}

// TestCheckerReadsBlobsOnce compares two images that share their layers, then one in another repository.
func TestCheckerReadsBlobsOnce(t *testing.T) {
	img := randomImage(t)
	sibling := must(mutate.Config(img, v1.Config{User: "nobody"}))(t)
	source, target := newStore(t), newStore(t)
	for _, s := range []store{source, target} {
		s.push(t, "app:v1", img)
		s.push(t, "app:v2", sibling)
		s.push(t, "other:v1", img)
	}
	all := size(t, img)
	config := int64(len(must(sibling.RawConfigFile())(t)))
	var c Checker
	for _, step := range []struct {
		ref  string
		want int64
	}{{"app:v1", all}, {"app:v2", config}, {"app:v1", 0}, {"other:v1", all}} {
		report := must(c.Same(t.Context(), source.ref(step.ref), target.ref(step.ref)))(t)
		expect(t, report)
		if report.Bytes != step.want {
			t.Errorf("%s: read %d bytes, want %d", step.ref, report.Bytes, step.want)
		}
	}
}

// TestCheckerRemembersDifferences finds a damaged shared layer in every image that uses it.
func TestCheckerRemembersDifferences(t *testing.T) {
	img := randomImage(t)
	source, target := newStore(t), newStore(t)
	source.push(t, "app:v1", img)
	target.push(t, "app:v1", img)
	target.flip(t, layersOf(t, img)[0].Digest)
	var c Checker
	for range 2 {
		expect(t, must(c.Same(t.Context(), source.ref("app:v1"), target.ref("app:v1")))(t), "the target's bytes have the digest")
	}
}

// TestSameContent stores the same files with each compression, and then other files.
func TestSameContent(t *testing.T) {
	content := []byte(strings.Repeat("the same files\n", 1000))
	img := packed(t, content, tarball.WithCompressionLevel(gzip.BestCompression))
	otherFiles := packed(t, []byte("other files"))
	otherConfig := must(mutate.Config(img, v1.Config{User: "nobody"}))(t)
	tests := []struct {
		name   string
		target remote.Taggable
		want   []string
	}{
		{"the same image", img, nil},
		{"other gzip", packed(t, content, tarball.WithCompressionLevel(gzip.BestSpeed)), nil},
		{"zstd", packed(t, content, tarball.WithCompression(compression.ZStd)), nil},
		{"uncompressed", stored(t, img, content), nil},
		{"other files", otherFiles, []string{"config: ", "rootfs.diff_ids: ", "layer 0, "}},
		{"other config", otherConfig, []string{"config: "}},
		{"other files under the same config", stored(t, img, []byte("other files")), []string{"layer 0, "}},
		{"a layer that does not uncompress", stored(t, img, []byte("\x1f\x8b garbage")), []string{"no layer: "}},
		{"a layer cut short", stored(t, img, cut(t, img)), []string{"damaged data: "}},
		{"a layer more", must(mutate.AppendLayers(img, layersIn(t, otherFiles)...))(t), []string{"config: ", "rootfs.diff_ids: ", "the target has 2 layers, the source 1"}},
		{"an index", index(t, img), []string{"no such image at the target: unfit: "}},
	}
	source := newStore(t)
	source.push(t, "app:v1", img)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target := newStore(t)
			target.push(t, "app:v1", tt.target)
			expect(t, must(new(Checker).SameContent(t.Context(), source.ref("app:v1"), target.ref("app:v1")))(t), tt.want...)
		})
	}
}

func TestSameContentMissing(t *testing.T) {
	img := packed(t, []byte("files"))
	layer, config := layersOf(t, img)[0].Digest, must(img.ConfigName())(t)
	tests := map[string]struct {
		damage func(t *testing.T, s store)
		want   string
	}{
		"tag":    {func(t *testing.T, s store) { s.untag(t, "app", "v1") }, "no such image at the target"},
		"config": {func(t *testing.T, s store) { s.unlink(t, "_layers", config) }, "no such image at the target"},
		"byte":   {func(t *testing.T, s store) { s.flip(t, config) }, "no such image at the target: unfit"},
		"layer":  {func(t *testing.T, s store) { s.unlink(t, "_layers", layer) }, "layer 0, " + layer.String() + ", is missing at the target"},
	}
	source := newStore(t)
	source.push(t, "app:v1", img)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			target := newStore(t)
			target.push(t, "app:v1", img)
			tt.damage(t, target)
			expect(t, must(new(Checker).SameContent(t.Context(), source.ref("app:v1"), target.ref("app:v1")))(t), tt.want)
		})
	}
	if _, err := new(Checker).SameContent(t.Context(), source.ref("app:v2"), source.ref("app:v1")); err == nil {
		t.Error("no error for a source that is not there")
	}
}

func TestTagsAndDigest(t *testing.T) {
	s, img := newStore(t), randomImage(t)
	for _, ref := range []string{"app:v2", "app:v1"} {
		s.push(t, ref, img)
	}
	for repo, want := range map[string][]string{"app": {"v1", "v2"}, "nonesuch": nil} {
		if got := must(Tags(t.Context(), s.host+"/"+repo, nil))(t); !slices.Equal(got, want) {
			t.Errorf("%s: tags %v, want %v", repo, got, want)
		}
	}
	for ref, want := range map[string]string{"app:v1": must(img.Digest())(t).String(), "app:v3": "", "nonesuch:v1": ""} {
		if got := must(Digest(t.Context(), s.ref(ref)))(t); got != want {
			t.Errorf("%s: digest %q, want %q", ref, got, want)
		}
	}
}

// store is a registry whose files a test can access.
type store struct{ host, dir string }

func newStore(t *testing.T) store {
	t.Helper()
	dir := t.TempDir()
	s := must(registry.Start(context.Background(), registry.Options{Dir: dir}))(t)
	t.Cleanup(func() { check(t, s.Close()) })
	return store{s.Host, dir}
}

func (s store) ref(name string) Ref { return Ref{Name: s.host + "/" + name} }

func (s store) push(t *testing.T, ref string, what remote.Taggable, opts ...remote.Option) {
	t.Helper()
	tag := must(name.NewTag(s.host + "/" + ref))(t)
	switch what := what.(type) {
	case v1.ImageIndex:
		check(t, remote.WriteIndex(tag, what, opts...))
	case v1.Image:
		check(t, remote.Write(tag, what, opts...))
	default:
		t.Fatalf("push of a %T", what)
	}
}

func (s store) data(d v1.Hash) string {
	return filepath.Join(s.dir, "docker/registry/v2/blobs", d.Algorithm, d.Hex[:2], d.Hex, "data")
}

func (s store) flip(t *testing.T, d v1.Hash) {
	t.Helper()
	content := must(os.ReadFile(s.data(d)))(t)
	content[len(content)/2] ^= 1
	check(t, os.WriteFile(s.data(d), content, 0o600))
}

func (s store) truncate(t *testing.T, d v1.Hash) {
	t.Helper()
	check(t, os.Truncate(s.data(d), 1))
}

// unlink removes a blob or manifest from the repository "app".
func (s store) unlink(t *testing.T, kind string, d v1.Hash) {
	t.Helper()
	check(t, os.Remove(filepath.Join(s.dir, "docker/registry/v2/repositories/app", kind, d.Algorithm, d.Hex, "link")))
}

func (s store) untag(t *testing.T, repo, tag string) {
	t.Helper()
	check(t, remote.Delete(must(name.NewTag(s.host+"/"+repo+":"+tag))(t)))
}

func randomImage(t *testing.T) v1.Image {
	t.Helper()
	return must(random.Image(1024, 2))(t)
}

func index(t *testing.T, children ...mutate.Appendable) v1.ImageIndex {
	t.Helper()
	var idx v1.ImageIndex = empty.Index
	for _, child := range children {
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{Add: child})
	}
	return idx
}

// packed returns an image with one layer, compressed as opts say.
func packed(t *testing.T, content []byte, opts ...tarball.LayerOption) v1.Image {
	t.Helper()
	layer := must(tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}, opts...))(t)
	return must(mutate.AppendLayers(empty.Image, layer))(t)
}

// stored returns img with its layer's bytes replaced, and its config unchanged.
func stored(t *testing.T, img v1.Image, layer []byte) v1.Image {
	t.Helper()
	return replaced{mutate.MediaType(img, types.OCIManifestSchema1), static.NewLayer(layer, types.OCILayer)}
}

// cut returns the first half of img's compressed layer.
func cut(t *testing.T, img v1.Image) []byte {
	t.Helper()
	r := must(layersIn(t, img)[0].Compressed())(t)
	defer r.Close() //nolint:errcheck // only read
	content := must(io.ReadAll(r))(t)
	return content[:len(content)/2]
}

func layersIn(t *testing.T, img v1.Image) []v1.Layer {
	t.Helper()
	return must(img.Layers())(t)
}

func layersOf(t *testing.T, img v1.Image) []v1.Descriptor {
	t.Helper()
	return must(img.Manifest())(t).Layers
}

func digestOfIndex(t *testing.T, idx v1.ImageIndex) string {
	t.Helper()
	return must(idx.Digest())(t).String()
}

// size returns the size of an image's blobs.
func size(t *testing.T, img v1.Image) int64 {
	t.Helper()
	m := must(img.Manifest())(t)
	n := m.Config.Size
	for _, layer := range m.Layers {
		n += layer.Size
	}
	return n
}

func expect(t *testing.T, report Report, want ...string) {
	t.Helper()
	match := len(report.Differences) == len(want)
	for i := 0; match && i < len(want); i++ {
		match = strings.Contains(report.Differences[i], want[i])
	}
	if !match {
		t.Errorf("differences:\n%s\nwant these in them:\n%s", strings.Join(report.Differences, "\n"), strings.Join(want, "\n"))
	}
}

// must fails the test on an error: must(f())(t).
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		check(t, err)
		return v
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
