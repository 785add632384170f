package image_test

import (
	"testing"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

func TestShort(t *testing.T) {
	for d, want := range map[digest.Digest]string{
		testkit.EmptyDigest: "e3b0c44298fc",
		"sha256:e3b0":       "",
		"latest":            "",
		"":                  "",
	} {
		if got := image.Short(d); got != want {
			t.Errorf("%q is shortened to %q, want %q", d, got, want)
		}
	}
}

func TestSubjectOf(t *testing.T) {
	const encoded = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for tag, want := range map[string]struct {
		subject digest.Digest
		suffix  string
	}{
		"sha256-" + encoded:          {testkit.EmptyDigest, ""},
		"sha256-" + encoded + ".sig": {testkit.EmptyDigest, ".sig"},
		"sha256-" + encoded + ".a.b": {testkit.EmptyDigest, ".a.b"},
		"sha256-" + encoded[1:]:      {},
		"sha256-" + encoded + "-arm": {},
		"sha257-" + encoded:          {},
		"sha256:" + encoded:          {},
		"v1.2":                       {},
		"":                           {},
	} {
		subject, suffix := image.SubjectOf(tag)
		if subject != want.subject || suffix != want.suffix {
			t.Errorf("%q names %q with %q, want %q with %q", tag, subject, suffix, want.subject, want.suffix)
		}
	}
	if tag := image.ReferrersTag(testkit.EmptyDigest); tag != "sha256-"+encoded {
		t.Errorf("referrers tag %q", tag)
	}
}
