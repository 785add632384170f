package check

import (
	"encoding/json"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
)

// replaced is an image whose layer is replaced while its config stays the same.
type replaced struct {
	v1.Image

	layer v1.Layer
}

func (r replaced) Layers() ([]v1.Layer, error) { return []v1.Layer{r.layer}, nil }

func (r replaced) Manifest() (*v1.Manifest, error) {
	m, err := r.Image.Manifest()
	if err != nil {
		return nil, err
	}
	layer, err := partial.Descriptor(r.layer)
	if err != nil {
		return nil, err
	}
	m = m.DeepCopy()
	m.Layers = []v1.Descriptor{*layer}
	return m, nil
}

func (r replaced) RawManifest() ([]byte, error) {
	m, err := r.Manifest()
	if err != nil {
		return nil, err
	}
	return json.Marshal(m)
}

func (r replaced) Digest() (v1.Hash, error) { return partial.Digest(r) }
func (r replaced) Size() (int64, error)     { return partial.Size(r) }
