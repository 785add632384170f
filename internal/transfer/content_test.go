package transfer_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

// The name comes first, the blobs by themselves, each image's whole content is there before its push, and nothing stays.
func TestCopyByBlob(t *testing.T) {
	img := testkit.LightImage(t, "app", "base")
	s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", img, "1", "2") })
	s.copy(t, "app:1: exact", "app:2: exact")
	got := s.engine.Of("load", "pull", "tag", "push")
	slices.Sort(got[1:4]) // side by side
	want := []string{"load app:1", "pull app@" + testkit.DigestOf("app"), "pull app@" + testkit.DigestOf("base"), "pull app@" + testkit.DigestOf("config of app"), "push app:1", "push app:2"}
	slices.Sort(want[1:4])
	if !slices.Equal(got, want) {
		t.Errorf("calls\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// One blob that fails brings the image down to the usual way, and nothing else.
func TestCopyOneBlobFails(t *testing.T) {
	img := testkit.LightImage(t, "app")
	s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", img, "1") })
	s.engine.Fails["pull "+s.item.Image.Repository.URI+"@"+testkit.DigestOf("app")] = errors.New("connection reset")
	s.copy(t, "app:1: exact")
	if n := s.engine.Count("pull " + s.pulled(img)); n != 1 {
		t.Errorf("%d pulls of the image", n)
	}
}

// Layers that are not distributed with their image come as the engine knows to get them.
func TestCopyForeignLayers(t *testing.T) {
	for _, mediaType := range []string{
		"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
	} {
		d := testkit.ImageDocument("app")
		d.Layers[0] = testkit.Blob(mediaType, "app")
		img := d.Manifest(t)
		s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", img, "1") })
		s.with.Dedicated = true
		s.copy(t, "app:1: exact")
		if got, want := s.engine.Of("pull"), []string{"pull app@" + img.Digest.String()}; !slices.Equal(got, want) {
			t.Errorf("pulls %q, want %q", got, want)
		}
	}
}

// The engine gets a layer from its URLs even if the registry has it, except by its digest.
func TestCopyForeignLayerOfTheSource(t *testing.T) {
	img := testkit.ForeignImage(t, testkit.Blob(image.MediaTypeDockerForeignLayer, "app"))
	s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", img, "1") })
	s.copy(t, "app:1: exact")
	want := []string{"pull app@" + img.Layers[0].Digest.String(), "pull app@" + img.Config.Digest.String()}
	if got := s.engine.Of("pull"); !slices.Equal(got, want) {
		t.Errorf("pulls %q, want %q", got, want)
	}
}
