package transfer_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

func TestManifestsThatArePushedFirst(t *testing.T) {
	pair, children := testkit.Pair(t, "app")
	short := testkit.Child(children[1], testkit.Linux("arm64"))
	short.Size -= 94
	wrong := testkit.Index(t, testkit.Child(children[0], testkit.Linux("amd64")), short)
	sbom := testkit.Artifact(t, "application/spdx+json", "sbom", children[0])
	beside := testkit.Index(t, testkit.Child(sbom, nil), testkit.Child(children[0], testkit.Linux("amd64")))
	unknown := testkit.SOCI(t, "soci")
	withSOCI := testkit.Index(t, testkit.Child(children[0], testkit.Linux("amd64")), testkit.Child(unknown, nil))
	at := func(kind string, m image.Manifest) string { return kind + " app@" + m.Digest.String() }
	for _, test := range []struct {
		name  string
		root  image.Manifest
		below []image.Manifest
		want  []string
	}{
		{"nothing wrong", pair, children, []string{"load app:1", at("pull", children[0]), at("pull", children[1]), "push app:1"}},
		{
			"a size too small", wrong, children,
			[]string{"load app:1", at("pull", children[0]), at("pull", children[1]), at("push", children[1]), "push app:1"},
		},
		{
			"a subject beside", beside, []image.Manifest{sbom, children[0]},
			[]string{"load app:1", at("pull", sbom), at("pull", children[0]), at("push", children[0]), at("push", sbom), "push app:1"},
		},
		{
			"an unknown media type before everything else", withSOCI, []image.Manifest{unknown, children[0]},
			[]string{
				at("load", unknown), at("pull", unknown), at("push", unknown), "load app:1", at("pull", children[0]), "push app:1",
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", test.root, "1"); r.Hold("app", test.below...) })
			s.copy(t, "app:1: exact")
			got := s.engine.Of("pull", "load", "push")
			if !slices.Equal(got, test.want) {
				t.Errorf("calls\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

// Where GitLab refuses a media type, the rest of the image stays where it is.
func TestRefusedMediaTypeMovesNothingElse(t *testing.T) {
	img, unknown := testkit.Image(t, "app"), testkit.SOCI(t, "soci")
	root := testkit.Index(t, testkit.Child(img, testkit.Linux("amd64")), testkit.Child(unknown, nil))
	s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", root, "1", "2"); r.Hold("app", img, unknown) })
	s.engine.Fails["push "+s.item.Target+"@"+unknown.Digest.String()] = errors.New("unknown media type")
	results := s.copy(t, "app:1: failed", "app:2: failed")
	if step := new(transfer.StepError); !errors.As(results[0].Err, &step) || step.Step != transfer.StepPush || !strings.HasSuffix(step.Ref, unknown.Digest.String()) {
		t.Errorf("the error is %v", results[0].Err)
	}
	if n := s.engine.Count("pull " + s.pulled(img)); n != 0 {
		t.Errorf("the image was pulled %d times", n)
	}
}

// A push by digest that ends well may have brought nothing.
func TestManifestPushedFirstIsConfirmed(t *testing.T) {
	img := testkit.Image(t, "app")
	short := testkit.Child(img, testkit.Linux("amd64"))
	short.Size--
	root := testkit.Index(t, short)
	s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", root, "1"); r.Hold("app", img) })
	s.engine.Lost[s.item.Target+"@"+img.Digest.String()] = true
	results := s.copy(t, "app:1: failed")
	if err := results[0].Err; !strings.Contains(err.Error(), "verify ") || !strings.Contains(err.Error(), img.Digest.String()) {
		t.Errorf("the error is %v", err)
	}
}

// Alone, too, an image is pushed before what refers to it.
func TestRecoveredInOrder(t *testing.T) {
	img := testkit.Image(t, "app")
	sbom := testkit.Artifact(t, "application/spdx+json", "sbom", img)
	root := testkit.Index(t, testkit.Child(sbom, nil), testkit.Child(img, testkit.Linux("amd64")))
	s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", root, "1"); r.Hold("app", img, sbom) })
	s.engine.Rivals[img.Digest] = sbom.Digest
	s.engine.Rivals[sbom.Digest] = img.Digest
	s.setAside(t)
	s.recover(t, "app:1: exact")
	want := []string{"push app@" + img.Digest.String(), "push app@" + sbom.Digest.String(), "push app:1"}
	if got := s.engine.Of("push"); !slices.Equal(got, want) {
		t.Errorf("calls %q, want %q", got, want)
	}
}
