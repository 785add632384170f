package bench

import (
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/aws"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/check"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
)

// TestAccount adds one tag to each repository and removes it again.
func TestAccount(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	a, err := newAccount(t.Context(), corpus.Scale{Base: 256 << 10, Dependency: 32 << 10, Application: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	w, err := world.Start(t.Context(), nil, world.Options{Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close() //nolint:errcheck // only read
	if err := w.Fill(t.Context(), a.all()); err != nil {
		t.Fatal(err)
	}
	before, after := a.tags(First), a.tags(Added)
	if len(before) != 108 || len(after) != 120 {
		t.Fatalf("%d tags and then %d, want 108 and 120", len(before), len(after))
	}
	for range 2 {
		expectAtECR(t, w, before)
		apply(t, w.AWS, a.addTags)
		expectAtECR(t, w, after)
		apply(t, w.AWS, a.removeTags)
	}
	if first, added := a.uniqueBytes(First), a.uniqueBytes(Added); added <= 0 || added > first/4 {
		t.Errorf("%d bytes and then %d: new images share nothing", first, added)
	}
	if unpacked, err := a.unpackedBytes(); err != nil || unpacked < a.uniqueBytes(First) {
		t.Errorf("unpacked %d bytes, %v", unpacked, err)
	}
}

func apply(t *testing.T, server *aws.Server, change func(*aws.Server) error) {
	t.Helper()
	if err := change(server); err != nil {
		t.Fatal(err)
	}
}

// expectAtECR checks that exactly these tags are in ECR.
func expectAtECR(t *testing.T, w *world.World, want []tag) {
	t.Helper()
	left := map[string]int{}
	for _, tag := range want {
		left[tag.repository]++
		digest, err := check.Digest(t.Context(), w.Source(tag.repository, ":"+tag.name))
		if err != nil || digest != tag.digest {
			t.Errorf("%s:%s is %q (%v), want %s", tag.repository, tag.name, digest, err, tag.digest)
		}
	}
	for repository, n := range left {
		source := w.Source(repository, "")
		tags, err := check.Tags(t.Context(), source.Name, source.Auth)
		if err != nil || len(tags) != n {
			t.Errorf("%s has the tags %v (%v), want %d", repository, tags, err, n)
		}
	}
}
