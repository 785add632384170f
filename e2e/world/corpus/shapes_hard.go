package corpus

import (
	"context"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Media types that ECR accepts and GitLab's registry does not know.
const (
	SOCIIndex       types.MediaType = "application/vnd.amazon.soci.index.v2+json"
	WasmConfig      types.MediaType = "application/vnd.wasm.config.v0+json"
	NotarySignature types.MediaType = "application/vnd.cncf.notary.signature"
	ModelConfig     types.MediaType = "application/vnd.example.model.config.v1+json"
)

// wrongBy is by how many bytes a descriptor's size is too small, as in lists from old versions of docker manifest
// create.
const wrongBy = 94

// HardShapes creates objects that ECR accepts, but GitLab's registry rejects, or accepts only in one order. They are
// not part of Shapes, because a plain push by an engine fails.
func HardShapes(ctx context.Context, cacheDir string) ([]Shape, error) {
	m := &maker{ctx: ctx}
	m.store, m.err = openStore(cacheDir)
	if m.err == nil {
		m.source, m.err = sourcePool(ctx)
	}
	if m.err != nil {
		return nil, fmt.Errorf("hard shapes: %w", m.err)
	}
	shapes := slices.Concat(m.misdescribed(), m.subjectBeside(), m.unknownTypes(), m.foreign())
	if m.err != nil {
		return nil, fmt.Errorf("hard shapes: %w", m.err)
	}
	return shapes, nil
}

// misdescribed are indexes with descriptors that do not match their children.
func (m *maker) misdescribed() []Shape {
	short := on(linuxAMD64, m.docker("wrong-size", linuxAMD64))
	short.alter = func(d *v1.Descriptor) { d.Size -= wrongBy }
	retyped := on(linuxAMD64, m.docker("wrong-type", linuxAMD64))
	retyped.alter = func(d *v1.Descriptor) { d.MediaType = types.OCIManifestSchema1 }
	return []Shape{
		shape("index with a size too small", "wrong-size", Refuses, m.dockerList(short, on(linuxARM64, m.docker("wrong-size", linuxARM64)))),
		shape("OCI index of a Docker image, listed as OCI's", "wrong-type", Refuses, m.ociIndex(retyped)),
	}
}

// subjectBeside is an index as BuildKit 0.32 and later may create it: the attestation, which has a subject, is listed
// before that.
func (m *maker) subjectBeside() []Shape {
	image := on(linuxAMD64, m.oci("subject-beside", linuxAMD64))
	digest := m.digest(image.object)
	layers := []layer{m.blob(inToto, m.statement(digest, slsaPredicate), map[string]string{"in-toto.io/predicate-type": slsaPredicate})}
	config := m.json(v1.ConfigFile{Architecture: unknown.Architecture, OS: unknown.OS, RootFS: v1.RootFS{Type: "layers", DiffIDs: diffIDs(layers)}})
	attestation := m.manifest(v1.Manifest{
		Config: v1.Descriptor{MediaType: types.OCIConfigJSON}, ArtifactType: "application/vnd.docker.attestation.manifest.v1+json",
		Subject: m.describe(image.object),
	}, config, layers...)
	return []Shape{shape("attestation before its subject, in one index", "subject-beside", Refuses, m.ociIndex(
		child{object: attestation, platform: &unknown, annotations: map[string]string{
			"vnd.docker.reference.digest": digest.String(), "vnd.docker.reference.type": "attestation-manifest",
		}}, image))}
}

// unknownTypes have media types that GitLab's registry does not know.
func (m *maker) unknownTypes() []Shape {
	image := on(linuxAMD64, m.oci("soci", linuxAMD64))
	soci := on(linuxAMD64, m.manifest(v1.Manifest{Config: v1.Descriptor{MediaType: SOCIIndex}}, []byte("{}"),
		m.blob("application/octet-stream", m.text("soci"), map[string]string{
			"com.amazon.soci.image-layer-mediaType": string(types.OCILayer), "com.amazon.soci.span-size": "4194304",
		})))
	soci.annotations = map[string]string{"com.amazon.soci.image-manifest-digest": m.digest(image.object).String()}
	soci.alter = func(d *v1.Descriptor) { d.ArtifactType = string(SOCIIndex) }
	signed := shape("image that Notation has signed, with an SBOM", "notation", Carries, m.oci("notation", linuxAMD64))
	signed.Referrers = append(m.referrers(signed.Object)[:1], m.manifest(v1.Manifest{
		Config: v1.Descriptor{MediaType: NotarySignature}, Subject: m.describe(signed.Object),
	}, []byte("{}"), m.blob("application/jose+json", []byte(sign([]byte("notation"))), nil)))
	return []Shape{
		shape("SOCI v2 index", "soci", Refuses, m.ociIndex(image, soci)),
		shape("WebAssembly module", "wasm", Refuses, m.manifest(v1.Manifest{Config: v1.Descriptor{MediaType: WasmConfig}},
			[]byte(`{"os":"wasip1","architecture":"wasm"}`), m.blob("application/wasm", m.text("wasm"), nil))),
		shape("artifact of a type of its own", "own-type", Refuses, m.manifest(v1.Manifest{Config: v1.Descriptor{MediaType: ModelConfig}},
			[]byte(`{"framework":"onnx"}`), m.blob("application/vnd.example.model.weights.v1", m.text("own-type"), nil))),
		signed,
	}
}

// foreign are images whose first layer is hosted elsewhere, on a host that is down.
func (m *maker) foreign() []Shape {
	build := func(name string) v1.Image {
		layers := m.packed(name, linuxAMD64, gzipDefault)
		layers[0].mediaType, layers[0].urls = types.DockerForeignLayer, []string{"http://127.0.0.1:1/" + layers[0].digest.Hex}
		return m.image(imageSpec{name: name, platform: linuxAMD64, docker: true, layers: layers})
	}
	kept := shape("foreign layer that ECR has, too", "foreign-kept", Carries, build("foreign-kept"))
	kept.Kept = true
	return []Shape{shape("foreign layer at a host that is down", "foreign-layer", Refuses, build("foreign-layer")), kept}
}
