package image_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

func FuzzParseManifest(f *testing.F) {
	index, _ := testkit.Pair(f, "seed")
	artifact := testkit.Artifact(f, "application/x", "seed", index)
	for _, m := range []image.Manifest{
		testkit.Image(f, "seed"), index, artifact, testkit.Index(f), testkit.Index(f, testkit.Child(index, nil), testkit.Child(artifact, testkit.Linux("arm", "v6"))),
	} {
		f.Add(m.Raw, m.MediaType)
		f.Add(m.Raw, "")
	}
	f.Add([]byte(`{"schemaVersion":1,"name":"a","tag":"b","architecture":"amd64","fsLayers":[{"blobSum":"`+testkit.EmptyDigest+`"}],"history":[]}`),
		"application/vnd.docker.distribution.manifest.v1+prettyjws")
	f.Add([]byte(`{"layers":[{"digest":"`+testkit.EmptyDigest+`","size":9223372036854775807},`+testkit.LeastDescriptor+`,`+testkit.LeastDescriptor+`]}`), image.MediaTypeDockerManifest)
	f.Add([]byte(`{"config":{"digest":"`+testkit.EmptyDigest+`","size":-1},"layers":[{"digest":"sha512:`+strings.Repeat("0", 128)+`","size":-9}]}`), "")
	f.Add([]byte(`{"manifests":[{"digest":"../../etc"}],"subject":null,"layers":null}`), "")
	f.Add([]byte(`{"manifests":[null,{}],"config":null}`), image.MediaTypeDockerIndex)
	f.Add([]byte(`{"subject":{"digest":"latest"}}`), "")
	f.Add([]byte(`{"config":[]}`), "")
	f.Fuzz(func(t *testing.T, raw []byte, mediaType string) {
		m, err := image.ParseManifest(raw, mediaType)
		if err != nil {
			return
		}
		if m.Digest != digest.FromBytes(raw) || m.Size != int64(len(raw)) || string(m.Raw) != string(raw) {
			t.Errorf("%s, %d bytes", m.Digest, m.Size)
		}
		listed := slices.Concat(m.Layers, m.Children)
		if len(listed)*len(testkit.LeastDescriptor) > len(raw) {
			t.Errorf("%d bytes list %d descriptors", len(raw), len(listed))
		}
		for _, d := range listed {
			if err := d.Digest.Validate(); err != nil {
				t.Errorf("it lists %q: %v", d.Digest, err)
			}
		}
		if tag := image.ReferrersTag(m.Subject); m.Subject != "" && !reference.TagRegexp.MatchString(tag) {
			t.Errorf("the tag of its referrers would be %q", tag)
		}
		testArchive(t, m)
	})
}

// testArchive wants the manifest to come out of an archive as it went in.
func testArchive(t *testing.T, m image.Manifest) {
	l := image.NewLayout()
	l.Add([]string{testkit.TargetBase + "/app:1"}, m)
	got := testkit.ReadBack(t, l)
	if got.Roots[testkit.TargetBase+"/app:1"] != m.Digest || string(got.Files[blobFile(m.Digest)]) != string(m.Raw) {
		t.Errorf("%s came back as %+v", m.Digest, got.Roots)
	}
}
