package corpus

import (
	"bytes"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// child is an entry of an index.
type child struct {
	object      Object
	platform    *v1.Platform // nil: not stated
	annotations map[string]string
	alter       func(*v1.Descriptor) // nil: the descriptor is correct
}

// index is a manifest list or an OCI index with its children, as exact bytes.
type index struct {
	parsed   v1.IndexManifest
	raw      []byte
	children map[v1.Hash]Object
}

func newIndex(mediaType types.MediaType, children ...child) (*index, error) {
	x := &index{
		parsed:   v1.IndexManifest{SchemaVersion: 2, MediaType: mediaType},
		children: map[v1.Hash]Object{},
	}
	for _, c := range children {
		descriptor, err := describe(c.object)
		if err != nil {
			return nil, err
		}
		descriptor.Platform, descriptor.Annotations = c.platform, c.annotations
		if c.alter != nil {
			c.alter(&descriptor)
		}
		x.parsed.Manifests = append(x.parsed.Manifests, descriptor)
		x.children[descriptor.Digest] = c.object
	}
	var err error
	x.raw, err = marshal(x.parsed, mediaType)
	return x, err
}

// describe returns the descriptor for object in another manifest. Unlike partial.Descriptor, it does not set
// artifactType, because builders do not either.
func describe(object Object) (d v1.Descriptor, err error) {
	if d.MediaType, err = object.MediaType(); err != nil {
		return d, err
	}
	if d.Digest, err = object.Digest(); err != nil {
		return d, err
	}
	d.Size, err = object.Size()
	return d, err
}

// MediaType returns the type of a manifest list or an OCI index.
func (x *index) MediaType() (types.MediaType, error) { return x.parsed.MediaType, nil }

// RawManifest returns the exact bytes of the index.
func (x *index) RawManifest() ([]byte, error) { return x.raw, nil }

// IndexManifest returns the parsed index.
func (x *index) IndexManifest() (*v1.IndexManifest, error) { return x.parsed.DeepCopy(), nil }

// Size returns the size of the index itself, in bytes.
func (x *index) Size() (int64, error) { return int64(len(x.raw)), nil }

// Digest returns the digest of the index itself.
func (x *index) Digest() (v1.Hash, error) {
	digest, _, err := v1.SHA256(bytes.NewReader(x.raw))
	return digest, err
}

// Image returns a child that is an image, or an error for any other digest.
func (x *index) Image(digest v1.Hash) (v1.Image, error) {
	if image, ok := x.children[digest].(v1.Image); ok {
		return image, nil
	}
	return nil, fmt.Errorf("index has no image %s", digest)
}

// ImageIndex returns a child that is an index, or an error for any other digest.
func (x *index) ImageIndex(digest v1.Hash) (v1.ImageIndex, error) {
	if nested, ok := x.children[digest].(v1.ImageIndex); ok {
		return nested, nil
	}
	return nil, fmt.Errorf("index has no index %s", digest)
}
