package corpus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// imageSpec describes a container image.
type imageSpec struct {
	name     string // of the program in the image
	platform v1.Platform
	docker   bool // Docker's media types instead of OCI's
	layers   []layer
	created  time.Time
	version  string
}

// newImage creates the manifest and the config of a container image.
func newImage(spec imageSpec) (v1.Image, error) {
	config, err := json.Marshal(spec.config())
	if err != nil {
		return nil, err
	}
	m := v1.Manifest{MediaType: types.OCIManifestSchema1, Config: v1.Descriptor{MediaType: types.OCIConfigJSON}}
	if spec.docker {
		m.MediaType, m.Config.MediaType = types.DockerManifestSchema2, types.DockerConfigJSON
	}
	return newManifest(m, config, spec.layers)
}

func (spec imageSpec) config() *v1.ConfigFile {
	return &v1.ConfigFile{
		Architecture: spec.platform.Architecture,
		Variant:      spec.platform.Variant,
		OS:           spec.platform.OS,
		OSVersion:    spec.platform.OSVersion,
		Created:      v1.Time{Time: spec.created},
		RootFS:       v1.RootFS{Type: "layers", DiffIDs: diffIDs(spec.layers)},
		History:      spec.history(),
		Config:       spec.runtime(),
	}
}

// runtime returns the config's settings for containers.
func (spec imageSpec) runtime() v1.Config {
	c := v1.Config{
		Env:        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "APP_ENV=production"},
		Cmd:        []string{"/opt/" + spec.name + "/bin/start", "--listen=:8080"},
		WorkingDir: "/opt/" + spec.name,
		Labels:     map[string]string{"org.opencontainers.image.version": spec.version},
	}
	if spec.platform.OS == "windows" {
		c.Env = []string{`PATH=C:\Windows\system32;C:\Windows`}
		c.Cmd = []string{`C:\app\` + spec.name + ".exe"}
		c.WorkingDir = `C:\app`
	}
	return c
}

// history returns an entry per layer, and two for instructions without a layer.
func (spec imageSpec) history() []v1.History {
	created := v1.Time{Time: spec.created}
	var entries []v1.History
	for i := range spec.layers {
		entries = append(entries, v1.History{Created: created, CreatedBy: fmt.Sprintf("COPY stage%d/ / # buildkit", i), Comment: "buildkit.dockerfile.v0"})
	}
	for _, instruction := range []string{"ENV APP_ENV=production", "CMD [" + spec.name + "]"} {
		entries = append(entries, v1.History{Created: created, CreatedBy: instruction, EmptyLayer: true, Comment: "buildkit.dockerfile.v0"})
	}
	return entries
}

func diffIDs(layers []layer) []v1.Hash {
	ids := make([]v1.Hash, len(layers))
	for i, l := range layers {
		ids[i] = l.diffID
	}
	return ids
}

// newManifest adds the descriptors of config and layers to m. It keeps the media type in m.Config, and embeds config if
// m.Config.Data is set.
func newManifest(m v1.Manifest, config []byte, layers []layer) (v1.Image, error) {
	var err error
	if m.Config.Digest, m.Config.Size, err = v1.SHA256(bytes.NewReader(config)); err != nil {
		return nil, err
	}
	m.SchemaVersion = 2
	m.Layers = make([]v1.Descriptor, len(layers))
	for i, l := range layers {
		m.Layers[i] = l.descriptor(m.MediaType == types.DockerManifestSchema2)
	}
	raw, err := marshal(m, m.MediaType)
	if err != nil {
		return nil, err
	}
	return partial.CompressedToImage(&manifest{m, raw, config, layers})
}

// marshal indents like the builders do, so that a client that re-encodes the JSON changes the digest.
func marshal(v any, mediaType types.MediaType) ([]byte, error) {
	indent := "  "
	if strings.Contains(string(mediaType), types.DockerVendorPrefix) {
		indent = "   "
	}
	return json.MarshalIndent(v, "", indent)
}

// manifest is an image manifest with everything that it refers to, as exact bytes.
type manifest struct {
	parsed v1.Manifest
	raw    []byte
	config []byte
	layers []layer
}

// RawConfigFile returns the bytes of the config, of whatever type.
func (m *manifest) RawConfigFile() ([]byte, error) { return m.config, nil }

// MediaType returns the manifest's media type.
func (m *manifest) MediaType() (types.MediaType, error) { return m.parsed.MediaType, nil }

// RawManifest returns the exact bytes of the manifest.
func (m *manifest) RawManifest() ([]byte, error) { return m.raw, nil }

// LayerByDigest returns a layer, or an error if the manifest does not list it.
func (m *manifest) LayerByDigest(digest v1.Hash) (partial.CompressedLayer, error) {
	for i, l := range m.layers {
		if l.digest == digest {
			return blobLayer{l, m.parsed.Layers[i].MediaType}, nil
		}
	}
	return nil, fmt.Errorf("manifest has no layer %s", digest)
}
