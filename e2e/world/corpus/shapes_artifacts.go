package corpus

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Media types of artifacts, as written by helm, cosign and buildx.
const (
	helmConfig    types.MediaType = "application/vnd.cncf.helm.config.v1+json"
	helmChart     types.MediaType = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
	simpleSigning types.MediaType = "application/vnd.dev.cosign.simplesigning.v1+json"
	dsseEnvelope  types.MediaType = "application/vnd.dsse.envelope.v1+json"
	sigstore      types.MediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"
	inToto        types.MediaType = "application/vnd.in-toto+json"
	spdxText      types.MediaType = "text/spdx"
	spdxJSON      types.MediaType = "application/spdx+json"
	slsaPredicate                 = "https://slsa.dev/provenance/v1"
	spdxPredicate                 = "https://spdx.dev/Document"
)

// attested are indexes as created by buildx: each image with its provenance and its SBOM.
func (m *maker) attested() []Shape {
	one := m.children("attested", linuxAMD64)
	several := m.children("attested-platforms", linuxAMD64, linuxARM64)
	return []Shape{
		shape("buildx attestations, one platform", "attested", Refuses, m.ociIndex(append(one, m.attestations(one)...)...)),
		shape("buildx attestations, several platforms", "attested-platforms", Refuses,
			m.ociIndex(append(several, m.attestations(several)...)...)),
	}
}

// attestations returns an attestation manifest for each image.
func (m *maker) attestations(images []child) []child {
	var attestations []child
	for _, image := range images {
		digest := m.digest(image.object)
		attestations = append(attestations, child{
			object:   m.attestation(digest),
			platform: &unknown,
			annotations: map[string]string{
				"vnd.docker.reference.digest": digest.String(),
				"vnd.docker.reference.type":   "attestation-manifest",
			},
		})
	}
	return attestations
}

// attestation returns a manifest with an image's config, whose layers are in-toto statements.
func (m *maker) attestation(subject v1.Hash) v1.Image {
	var layers []layer
	for _, predicate := range []string{spdxPredicate, slsaPredicate} {
		layers = append(layers, m.blob(inToto, m.statement(subject, predicate), map[string]string{"in-toto.io/predicate-type": predicate}))
	}
	return m.signatureManifest(layers, unknown)
}

// statement returns an in-toto statement about subject.
func (m *maker) statement(subject v1.Hash, predicate string) []byte {
	return m.json(map[string]any{
		"_type":         "https://in-toto.io/Statement/v0.1",
		"predicateType": predicate,
		"subject":       []any{map[string]any{"name": "_", "digest": map[string]string{subject.Algorithm: subject.Hex}}},
		"predicate":     map[string]any{"builder": map[string]string{"id": "https://ci.example.com/runner"}, "documents": m.fileNames()},
	})
}

// fileNames returns some of the files that an SBOM would list.
func (m *maker) fileNames() []string {
	var names []string
	for _, f := range m.source.take("SBOM", 128<<10) {
		names = append(names, f.name)
	}
	return names
}

// signatureManifest uses an image's config for layers that are not archives, as cosign and buildx do.
func (m *maker) signatureManifest(layers []layer, platform v1.Platform) v1.Image {
	config := m.json(v1.ConfigFile{
		Architecture: platform.Architecture, OS: platform.OS,
		RootFS: v1.RootFS{Type: "layers", DiffIDs: diffIDs(layers)},
	})
	return m.manifest(v1.Manifest{Config: v1.Descriptor{MediaType: types.OCIConfigJSON}}, config, layers...)
}

// artifacts are manifests that are not images.
func (m *maker) artifacts() []Shape {
	// GitLab checks the types of artifacts and configs, but not those of layers.
	own := v1.Manifest{Config: v1.Descriptor{MediaType: "application/vnd.cnab.config.v1+json"}}
	empty := v1.Manifest{ArtifactType: "application/vnd.cncf.openpolicyagent.config.v1+json", Config: emptyConfig()}
	chart := shape("Helm chart", "", Refuses, m.chart())
	chart.Repository, chart.Tags = "charts/webshop", []string{"1.2.3"}
	return []Shape{
		chart,
		shape("artifact with a config of its own", "artifact-own-config", Refuses, m.manifest(own, []byte(`{"framework":"onnx"}`),
			m.blob("application/vnd.example.model.weights.v1", m.text("model"), map[string]string{"org.opencontainers.image.title": "model.onnx"}))),
		shape("artifact with the empty config", "artifact-empty-config", Refuses, m.manifest(empty, []byte("{}"),
			m.blob("application/vnd.example.policy.rules.v1", m.text("policy"), map[string]string{"org.opencontainers.image.title": "rules.rego"}))),
		shape("artifact with the empty config and the empty layer", "artifact-empty", Refuses, m.manifest(empty, []byte("{}"),
			m.blob(types.OCIEmptyJSON, []byte("{}"), nil))),
	}
}

// emptyConfig is the empty config of an artifact, with its two bytes embedded.
func emptyConfig() v1.Descriptor {
	return v1.Descriptor{MediaType: types.OCIEmptyJSON, Data: []byte("{}")}
}

// text is the source of a program, as content for an artifact.
func (m *maker) text(name string) []byte {
	var b bytes.Buffer
	for _, f := range m.source.take(name, 64<<10) {
		b.WriteString("// " + name + " " + f.name + "\n")
		src, err := f.open()
		if err != nil {
			m.fail(err)
			return nil
		}
		_, err = b.ReadFrom(src)
		src.Close() //nolint:errcheck // only read
		m.fail(err)
	}
	return b.Bytes()
}

const chartYAML = `apiVersion: v2
name: webshop
description: The web shop with its cart and its search
type: application
version: 1.2.3
appVersion: 1.4.2
`

const chartDeployment = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
spec:
  replicas: {{ .Values.replicas }}
  selector:
    matchLabels: {app: {{ .Release.Name }}}
  template:
    metadata:
      labels: {app: {{ .Release.Name }}}
    spec:
      containers:
        - name: web
          image: "{{ .Values.image }}:{{ .Chart.AppVersion }}"
`

// chart returns the artifact that helm push creates from a packaged chart.
func (m *maker) chart() v1.Image {
	var archive bytes.Buffer
	_, err := pack(m.ctx, recipe{
		name: "webshop", prefix: "webshop", compression: gzipDefault,
		files: []file{
			textFile("Chart.yaml", chartYAML),
			textFile("values.yaml", "image: shop/web_frontend\nreplicas: 2\n"),
			textFile("templates/deployment.yaml", chartDeployment),
		},
	}, &archive)
	m.fail(err)
	config := m.json(map[string]string{
		"name": "webshop", "version": "1.2.3", "description": "The web shop with its cart and its search",
		"apiVersion": "v2", "appVersion": "1.4.2", "type": "application",
	})
	return m.manifest(v1.Manifest{
		Config:      v1.Descriptor{MediaType: helmConfig},
		Annotations: map[string]string{"org.opencontainers.image.title": "webshop", "org.opencontainers.image.version": "1.2.3"},
	}, config, m.blob(helmChart, archive.Bytes(), nil))
}

// signed is an image with cosign's signatures, under tags derived from the image's digest.
func (m *maker) signed() []Shape {
	image := m.oci("signed", linuxAMD64)
	digest := m.digest(image)
	beside := func(name, suffix string, object Object) Shape {
		s := shape(name, "signed", Refuses, object)
		s.Tags = []string{"sha256-" + digest.Hex + suffix}
		return s
	}
	return []Shape{
		shape("image that cosign has signed", "signed", Carries, image),
		beside("cosign signature", ".sig", m.signature(digest)),
		beside("cosign attestation", ".att", m.signatureManifest([]layer{m.envelope(digest)}, v1.Platform{})),
		beside("cosign SBOM", ".sbom", m.signatureManifest([]layer{m.blob(spdxText, m.spdx(digest), nil)}, v1.Platform{})),
	}
}

// signingKey is not secret: signatures must be real, and the same in every run.
var signingKey = ed25519.NewKeyFromSeed([]byte("e2e/corpus: the key of the tests"))

func sign(payload []byte) string {
	return base64.StdEncoding.EncodeToString(ed25519.Sign(signingKey, payload))
}

// signature returns a signed claim about the image's digest.
func (m *maker) signature(digest v1.Hash) v1.Image {
	payload := m.json(map[string]any{
		"critical": map[string]any{
			"identity": map[string]string{"docker-reference": "shapes/signed"},
			"image":    map[string]string{"docker-manifest-digest": digest.String()},
			"type":     "cosign container image signature",
		},
		"optional": nil,
	})
	return m.signatureManifest([]layer{
		m.blob(simpleSigning, payload, map[string]string{"dev.cosignproject.cosign/signature": sign(payload)}),
	}, v1.Platform{})
}

// envelope returns a signed in-toto statement.
func (m *maker) envelope(digest v1.Hash) layer {
	statement := m.statement(digest, slsaPredicate)
	content := m.json(map[string]any{
		"payloadType": inToto, "payload": statement,
		"signatures": []any{map[string]string{"keyid": "", "sig": sign(statement)}},
	})
	return m.blob(dsseEnvelope, content, map[string]string{
		"dev.cosignproject.cosign/signature": "", "predicateType": slsaPredicate,
	})
}

// spdx returns an SBOM in SPDX's tag-value format.
func (m *maker) spdx(digest v1.Hash) []byte {
	var b bytes.Buffer
	b.WriteString("SPDXVersion: SPDX-2.3\nDataLicense: CC0-1.0\nSPDXID: SPDXRef-DOCUMENT\n")
	b.WriteString("DocumentName: " + digest.String() + "\n")
	for _, name := range m.fileNames() {
		b.WriteString("\nFileName: " + name + "\nSPDXID: SPDXRef-" + hex.EncodeToString([]byte(name)) + "\n")
	}
	return b.Bytes()
}

// referred are objects with OCI 1.1 referrers.
func (m *maker) referred() []Shape {
	image := shape("image with referrers", "referred-image", Carries, m.oci("referred-image", linuxAMD64))
	image.Referrers = m.referrers(image.Object)
	children := m.children("referred-index", linuxAMD64, linuxARM64)
	index := shape("index with referrers", "referred-index", Refuses, m.ociIndex(children...))
	index.Referrers = append(m.referrers(index.Object), m.referrers(children[0].object)...)
	return []Shape{image, index}
}

// referrers returns an SBOM and a signature bundle, attached as oras and cosign do.
func (m *maker) referrers(subject Object) []Object {
	digest := m.digest(subject)
	return []Object{
		m.referrer(subject, spdxJSON, m.json(map[string]any{"spdxVersion": "SPDX-2.3", "name": digest.String(), "files": m.fileNames()})),
		m.referrer(subject, sigstore, m.json(map[string]any{"mediaType": sigstore, "messageSignature": map[string]string{"signature": sign([]byte(digest.String()))}})),
	}
}

func (m *maker) referrer(subject Object, artifactType types.MediaType, content []byte) v1.Image {
	return m.manifest(v1.Manifest{
		ArtifactType: string(artifactType),
		Config:       emptyConfig(),
		Subject:      m.describe(subject),
		Annotations:  map[string]string{"org.opencontainers.image.created": epoch.Format("2006-01-02T15:04:05Z07:00")},
	}, []byte("{}"), m.blob(artifactType, content, nil))
}
