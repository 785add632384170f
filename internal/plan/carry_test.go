package plan

import (
	"context"
	"errors"
	"testing"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

func TestClassicManifest(t *testing.T) {
	layers := func(mediaTypes ...string) image.Manifest {
		document := testkit.ImageDocument("app")
		document.Layers = nil
		for _, mediaType := range mediaTypes {
			document.Layers = append(document.Layers, testkit.Blob(mediaType, mediaType))
		}
		return document.Manifest(t)
	}
	index, _ := testkit.Pair(t, "app")
	chart := testkit.ImageDocument("chart")
	chart.Config.MediaType = "application/vnd.cncf.helm.config.v1+json"
	for _, test := range []struct {
		name     string
		manifest image.Manifest
		says     string
	}{
		{"docker layers", layers(image.MediaTypeDockerLayer, "application/vnd.docker.image.rootfs.diff.tar"), ""},
		{"OCI layers", layers(ocispec.MediaTypeImageLayer, ocispec.MediaTypeImageLayerGzip), ""},
		{"no layers", layers(), ""},
		{"zstd", layers(ocispec.MediaTypeImageLayerGzip, ocispec.MediaTypeImageLayerZstd), ocispec.MediaTypeImageLayerZstd},
		{"foreign layers", layers(image.MediaTypeDockerForeignLayer), ""},
		{"foreign layers of OCI", layers("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"), "nondistributable"},
		{"a layer without a type", layers(""), "cannot read a layer of type"},
		{"index", index, "flatten this index of 2 manifests"},
		{"chart", chart.Manifest(t), "this is application/vnd.cncf.helm.config.v1+json"},
		{"signature", testkit.Artifact(t, "application/x-signature", "s", index), "this is application/x-signature"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := classicManifest(test.manifest)
			testkit.ExpectError(t, err, testkit.Saying(test.says)...)
			if err != nil {
				testkit.ExpectError(t, err, classicRemedy)
			}
		})
	}
}

func FuzzClassicManifest(f *testing.F) {
	index, _ := testkit.Pair(f, "seed")
	for _, m := range []image.Manifest{testkit.Image(f, "seed"), index, testkit.Artifact(f, "application/x", "seed", index)} {
		f.Add(m.Raw, m.MediaType)
		f.Add(m.Raw, "")
	}
	f.Fuzz(func(t *testing.T, raw []byte, mediaType string) {
		m, err := image.ParseManifest(raw, mediaType)
		if err == nil && classicManifest(m) == nil && m.IsIndex() {
			t.Error("the classic store takes an index")
		}
	})
}

func TestClassicCarries(t *testing.T) {
	img := testkit.Image(t, "app")
	for _, test := range []struct {
		name      string
		platforms []ocispec.Platform
		err       error
		says      string
	}{
		{name: "linux", platforms: []ocispec.Platform{*testkit.Linux("s390x")}},
		{name: "no word on it", platforms: nil},
		{name: "windows", platforms: []ocispec.Platform{{OS: "windows", Architecture: "amd64"}}, says: "an image for windows/amd64"},
		{name: "gone", err: docker.ErrNotFound, says: testkit.SourceHost + "/app@" + img.Digest.String() + ": not found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := &Planner{Resolver: resolverFunc(func(context.Context, string) (image.Resolved, error) {
				return image.Resolved{Digest: img.Digest, Platforms: test.platforms}, test.err
			})}
			err := p.classicCarries(t.Context(), testkit.Repository("app"), image.NewTree(img, nil))
			testkit.ExpectError(t, err, testkit.Saying(test.says)...)
		})
	}
}

func TestReduce(t *testing.T) {
	windows := func(version string) *ocispec.Platform {
		return &ocispec.Platform{OS: "windows", Architecture: "amd64", OSVersion: version}
	}
	attestation := &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	images := map[string]image.Manifest{}
	for _, name := range []string{"amd64", "arm64", "v6", "v7", "attestation", "ws2019", "ws2022"} {
		images[name] = testkit.Image(t, name)
	}
	list := func(name string, platform *ocispec.Platform) ocispec.Descriptor {
		return testkit.Child(images[name], platform)
	}
	arms := testkit.Index(t, list("v6", testkit.Linux("arm", "v6")), list("v7", testkit.Linux("arm", "v7")))
	sealed := testkit.Index(t, list("attestation", attestation), list("amd64", testkit.Linux("amd64")))
	nested := testkit.Index(t, list("arm64", testkit.Linux("arm64")), testkit.Child(sealed, testkit.Linux("amd64")))
	servers := testkit.Index(t, list("ws2019", windows("10.0.17763.1")), list("ws2022", windows("10.0.20348.1")))
	all := testkit.ByDigest(arms, sealed, nested, servers)
	for _, m := range images {
		all[m.Digest] = m
	}
	for _, test := range []struct {
		name     string
		root     image.Manifest
		platform string
		want     string // the image; empty: rejected, or not reduced if says is empty
		says     string
	}{
		{name: "variant", root: arms, platform: "linux/arm/v6", want: "v6"},
		{name: "the other variant", root: arms, platform: "linux/arm/v7", want: "v7"},
		{name: "arm is v7", root: arms, platform: "linux/arm", want: "v7"},
		{name: "no older variant instead", root: arms, platform: "linux/arm/v8", says: "it lists linux/arm/v6, linux/arm/v7"},
		{name: "arm64 is no arm", root: arms, platform: "linux/arm64", says: "no manifest for linux/arm64 (MIGRATE_PLATFORM)"},
		{name: "attestations aside", root: sealed, platform: "linux/amd64", want: "amd64"},
		{name: "an attestation is no platform", root: sealed, platform: "linux/riscv64", says: "it lists linux/amd64"},
		{name: "not even when it is asked for", root: testkit.Index(t, list("attestation", attestation)), platform: "linux/amd64"},
		{name: "within an index of indexes", root: nested, platform: "linux/amd64", want: "amd64"},
		{name: "beside an index", root: nested, platform: "linux/arm64/v8", want: "arm64"},
		{name: "386 is not amd64", root: sealed, platform: "linux/386", says: "no manifest for linux/386"},
		{name: "windows of a version", root: servers, platform: "windows(10.0.20348.1)/amd64", want: "ws2022"},
		{name: "windows of a build", root: servers, platform: "windows(10.0.20348)/amd64", want: "ws2022"},
		{name: "windows of another build", root: servers, platform: "windows(10.0.2034)/amd64", says: "it lists windows(10.0.17763.1)/amd64, windows(10.0.20348.1)/amd64"},
		{name: "an index of artifacts", root: testkit.Index(t, list("amd64", nil)), platform: "linux/amd64"},
	} {
		t.Run(test.name, func(t *testing.T) {
			platform := platforms.MustParse(test.platform)
			p := &Planner{Platform: &platform}
			got, reduced, err := p.reduce(t.Context(), testkit.Repository("app"), image.NewTree(test.root, all))
			testkit.ExpectError(t, err, testkit.Saying(test.says)...)
			if test.says != "" {
				return
			}
			want := test.root
			if test.want != "" {
				want = images[test.want]
			}
			if got.Root.Digest != want.Digest || reduced != (test.want != "") {
				t.Errorf("%s, reduced %t; want %s", got.Root.Digest, reduced, want.Digest)
			}
			if test.want != "" && len(got.Manifests()) != 1 {
				t.Errorf("%d manifests are left", len(got.Manifests()))
			}
		})
	}
}

func TestReduceSingleImage(t *testing.T) {
	refused := errors.New("no route to host")
	for _, test := range []struct {
		name     string
		manifest image.Manifest
		answers  []ocispec.Platform
		err      error
		says     string
	}{
		{name: "the platform", manifest: testkit.Image(t, "a"), answers: []ocispec.Platform{*testkit.Linux("amd64")}},
		{name: "another", manifest: testkit.Image(t, "a"), answers: []ocispec.Platform{*testkit.Linux("arm", "v7")}, says: "only for linux/arm/v7, not for linux/amd64"},
		{name: "the registry fails", manifest: testkit.Image(t, "a"), err: refused, says: "no route to host"},
		{name: "artifact", manifest: testkit.Artifact(t, "application/x", "a", testkit.Image(t, "b")), err: refused},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := &Planner{Platform: testkit.Linux("amd64"), Resolver: resolverFunc(func(context.Context, string) (image.Resolved, error) {
				return image.Resolved{Platforms: test.answers}, test.err
			})}
			tree, reduced, err := p.reduce(t.Context(), testkit.Repository("app"), image.NewTree(test.manifest, nil))
			testkit.ExpectError(t, err, testkit.Saying(test.says)...)
			if reduced || err == nil && tree.Root.Digest != test.manifest.Digest {
				t.Errorf("%s, reduced %t", tree.Root.Digest, reduced)
			}
		})
	}
}
