package corpus

import (
	"context"
	"encoding/json"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Sizes of the layers of shapes, in bytes before compression.
const (
	shapeBase        = 600 << 10
	shapeApplication = 90 << 10
)

var (
	linuxAMD64   = v1.Platform{OS: "linux", Architecture: "amd64"}
	linuxARM64   = v1.Platform{OS: "linux", Architecture: "arm64"}
	linuxARM64v8 = v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}
	linuxARMv7   = v1.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}
	linuxARMv6   = v1.Platform{OS: "linux", Architecture: "arm", Variant: "v6"}
	linuxS390X   = v1.Platform{OS: "linux", Architecture: "s390x"}
	windows2019  = v1.Platform{OS: "windows", Architecture: "amd64", OSVersion: "10.0.17763.5458"}
	windows2022  = v1.Platform{OS: "windows", Architecture: "amd64", OSVersion: "10.0.20348.2340"}
	unknown      = v1.Platform{OS: "unknown", Architecture: "unknown"}
)

// maker makes the objects of shapes. After the first error, it does nothing, so that a table of shapes needs no error
// handling.
type maker struct {
	ctx    context.Context // for the duration of one call of Shapes
	store  store
	source pool
	err    error
}

// base and application return the two layers of a shape. Layers with the same name have the same files, whatever the
// compression.
func (m *maker) base(name string, platform v1.Platform, c compression) layer {
	return m.layer(recipe{
		name: name + " base", prefix: root(platform) + "usr/src/go", compression: c,
		files: m.source.take(name, shapeBase),
	}, platform)
}

func (m *maker) application(name string, platform v1.Platform, c compression) layer {
	return m.layer(recipe{
		name: name, prefix: root(platform) + "opt/app", compression: c,
		files: m.source.take(name, shapeApplication),
	}, platform)
}

// root returns the path of the file system's root in a layer.
func root(platform v1.Platform) string {
	if platform.OS == "windows" {
		return "Files/"
	}
	return ""
}

// layer packs r, adding the registry hives that a Windows layer has next to its files.
func (m *maker) layer(r recipe, platform v1.Platform) layer {
	if platform.OS == "windows" {
		r.extra = []file{textFile("Hives/System_Delta", "")}
	}
	if m.err != nil {
		return layer{}
	}
	var l layer
	l, m.err = m.store.layer(m.ctx, r)
	return l
}

// layers returns the base that all shapes of a platform share, and a layer of the shape's own.
func (m *maker) layers(name string, platform v1.Platform) []layer {
	return []layer{
		m.base(platform.String(), platform, gzipDefault),
		m.application(name+" "+platform.String(), platform, gzipDefault),
	}
}

// packed returns two layers that no other shape has, so that no store knows their files under another blob.
func (m *maker) packed(name string, platform v1.Platform, c compression) []layer {
	return []layer{m.base(name, platform, c), m.application(name, platform, c)}
}

// oci and docker return ordinary images, in either family of media types.
func (m *maker) oci(name string, platform v1.Platform) v1.Image {
	return m.image(imageSpec{name: name, platform: platform, layers: m.layers(name, platform)})
}

func (m *maker) docker(name string, platform v1.Platform) v1.Image {
	return m.image(imageSpec{name: name, platform: platform, docker: true, layers: m.layers(name, platform)})
}

func (m *maker) image(spec imageSpec) v1.Image {
	if m.err != nil {
		return nil
	}
	spec.created, spec.version = epoch, "1.0.0"
	var image v1.Image
	image, m.err = newImage(spec)
	return image
}

// manifest returns a manifest that is not a container image, with config and layers as its blobs.
func (m *maker) manifest(parsed v1.Manifest, config []byte, layers ...layer) v1.Image {
	if m.err != nil {
		return nil
	}
	parsed.MediaType = types.OCIManifestSchema1
	var image v1.Image
	image, m.err = newManifest(parsed, config, layers)
	return image
}

// ociIndex and dockerList return indexes of either family.
func (m *maker) ociIndex(children ...child) v1.ImageIndex {
	return m.index(types.OCIImageIndex, children)
}

func (m *maker) dockerList(children ...child) v1.ImageIndex {
	return m.index(types.DockerManifestList, children)
}

func (m *maker) index(mediaType types.MediaType, children []child) v1.ImageIndex {
	if m.err != nil {
		return nil
	}
	var x *index
	x, m.err = newIndex(mediaType, children...)
	return x
}

// children returns images for the platforms, like those of a multi-platform build.
func (m *maker) children(name string, platforms ...v1.Platform) []child {
	var children []child
	for _, platform := range platforms {
		children = append(children, on(platform, m.oci(name, platform)))
	}
	return children
}

// on returns an index entry for a platform.
func on(platform v1.Platform, object Object) child {
	return child{object: object, platform: &platform}
}

func (m *maker) blob(mediaType types.MediaType, content []byte, annotations map[string]string) layer {
	l, err := blob(mediaType, content, annotations)
	m.fail(err)
	return l
}

// json encodes v as a builder or signer would.
func (m *maker) json(v any) []byte {
	raw, err := json.Marshal(v)
	m.fail(err)
	return raw
}

// digest returns the object's full digest.
func (m *maker) digest(object Object) v1.Hash {
	if m.err != nil {
		return v1.Hash{}
	}
	var digest v1.Hash
	digest, m.err = object.Digest()
	return digest
}

// describe returns the descriptor for object in another manifest.
func (m *maker) describe(object Object) *v1.Descriptor {
	if m.err != nil {
		return nil
	}
	var descriptor v1.Descriptor
	descriptor, m.err = describe(object)
	return &descriptor
}

func (m *maker) fail(err error) {
	if m.err == nil {
		m.err = err
	}
}
