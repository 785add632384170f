package corpus

import (
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func makeHardShapes(t *testing.T) map[string]Shape {
	t.Helper()
	shapes, err := HardShapes(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	byRepository := map[string]Shape{}
	for _, s := range shapes {
		byRepository[s.Repository] = s
	}
	if len(byRepository) != len(shapes) {
		t.Error("two shapes share a repository")
	}
	return byRepository
}

// TestHardShapesPush reads every manifest back: a registry without these checks accepts all of them.
func TestHardShapesPush(t *testing.T) {
	registry := startRegistry(t)
	for _, s := range makeHardShapes(t) {
		t.Run(s.Name, func(t *testing.T) {
			repo := registry.Repo(s.Repository)
			if err := s.Push(t.Context(), repo, nil); err != nil {
				t.Fatal(err)
			}
			want, err := s.Digest("1.0")
			if err != nil {
				t.Fatal(err)
			}
			if got, err := remote.Head(repo.Tag("1.0")); err != nil || got.Digest != want {
				t.Errorf("the tag is %v, want %s: %v", got, want, err)
			}
		})
	}
}

// TestMisdescribed compares descriptors with their manifests.
func TestMisdescribed(t *testing.T) {
	shapes := makeHardShapes(t)
	tests := map[string]struct {
		less    int64 // than the child's size
		listed  types.MediaType
		docType types.MediaType
	}{
		"shapes/wrong-size": {94, types.DockerManifestSchema2, types.DockerManifestSchema2},
		"shapes/wrong-type": {0, types.OCIManifestSchema1, types.DockerManifestSchema2},
	}
	for repository, want := range tests {
		descriptor, document := firstChild(t, shapes[repository])
		size, err := document.Size()
		if err != nil {
			t.Fatal(err)
		}
		mediaType, err := document.MediaType()
		if err != nil {
			t.Fatal(err)
		}
		if size-descriptor.Size != want.less || descriptor.MediaType != want.listed || mediaType != want.docType {
			t.Errorf("%s: %d bytes of %s listed as %d of %s", repository, size, mediaType, descriptor.Size, descriptor.MediaType)
		}
	}
}

// TestSubjectBeside checks that the attestation comes first, followed by the image that is its subject.
func TestSubjectBeside(t *testing.T) {
	shape := makeHardShapes(t)["shapes/subject-beside"]
	_, attestation := firstChild(t, shape)
	manifest, err := attestation.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if manifest.Subject == nil || !contains(t, shape.Object, manifest.Subject.Digest) {
		t.Errorf("subject %v", manifest.Subject)
	}
}

// TestUnknownTypes checks the types of a manifest.
func TestUnknownTypes(t *testing.T) {
	shapes := makeHardShapes(t)
	for repository, want := range map[string]types.MediaType{"shapes/wasm": WasmConfig, "shapes/own-type": ModelConfig} {
		expectConfig(t, shapes[repository].Object, want)
	}
	expectConfig(t, shapes["shapes/notation"].Referrers[1], NotarySignature)
	soci, ok := shapes["shapes/soci"].Object.(v1.ImageIndex)
	if !ok {
		t.Fatal("the SOCI shape is no index")
	}
	index, err := soci.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	image, manifest := index.Manifests[0], index.Manifests[1]
	if !image.Platform.Equals(*manifest.Platform) || manifest.ArtifactType != string(SOCIIndex) {
		t.Errorf("%v of %q beside %v", manifest.Platform, manifest.ArtifactType, image.Platform)
	}
	child, err := soci.Image(manifest.Digest)
	if err != nil {
		t.Fatal(err)
	}
	expectConfig(t, child, SOCIIndex)
}

// TestForeign checks that only one of the two images uploads its layer.
func TestForeign(t *testing.T) {
	registry := startRegistry(t)
	shapes := makeHardShapes(t)
	for repository, kept := range map[string]bool{"shapes/foreign-layer": false, "shapes/foreign-kept": true} {
		shape := shapes[repository]
		repo := registry.Repo(repository)
		if err := shape.Push(t.Context(), repo, nil); err != nil {
			t.Fatal(err)
		}
		manifest, err := shape.Object.(v1.Image).Manifest() //nolint:forcetypeassert // it is made as one
		if err != nil {
			t.Fatal(err)
		}
		layer := manifest.Layers[0]
		if layer.MediaType != types.DockerForeignLayer || len(layer.URLs) != 1 {
			t.Errorf("%s: layer %+v", repository, layer)
		}
		blob, err := remote.Layer(repo.Digest(layer.Digest.String()))
		if err != nil {
			t.Fatal(err)
		}
		content, err := blob.Compressed()
		if (err == nil) != kept {
			t.Errorf("%s: the registry has the layer: %v", repository, err)
		}
		if err == nil {
			content.Close() //nolint:errcheck // only read
		}
	}
}

func firstChild(t *testing.T, shape Shape) (v1.Descriptor, v1.Image) {
	t.Helper()
	index, ok := shape.Object.(v1.ImageIndex)
	if !ok {
		t.Fatalf("%s: %T", shape.Name, shape.Object)
	}
	parsed, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	child, err := index.Image(parsed.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Manifests[0], child
}

func expectConfig(t *testing.T, object Object, want types.MediaType) {
	t.Helper()
	image, ok := object.(v1.Image)
	if !ok {
		t.Fatalf("%T", object)
	}
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if manifest.Config.MediaType != want {
		t.Errorf("config %s, want %s", manifest.Config.MediaType, want)
	}
}
