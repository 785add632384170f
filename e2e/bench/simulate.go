package bench

import (
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/aws"
)

// The size of the simulated account: repositories, and images with one tag each per repository. A fifth of the images
// are indexes of two platforms, each with its attestation, as created by BuildKit.
const (
	scaleRepositories  = 2000
	scaleImages        = 25
	scaleTags          = scaleRepositories * scaleImages
	scaleBases         = 20 // in the whole account
	scaleBaseLayers    = 5
	imagesOfGeneration = 5 // that share their dependencies
)

// simulate lists the first repositories of the account at the stand-in, whose registry has none of the content.
func simulate(server *aws.Server, repositories int) error {
	for i := range repositories {
		r := simulated{server, fmt.Sprintf("team-%02d/service-%02d", i/50, i%50), i}
		if _, err := server.CreateRepository(r.name); err != nil {
			return err
		}
		for image := range scaleImages {
			if err := r.addImage(image); err != nil {
				return fmt.Errorf("simulate %s: %w", r.name, err)
			}
		}
	}
	return nil
}

// simulated is a repository of the account.
type simulated struct {
	server *aws.Server
	name   string
	number int
}

// addImage lists an image, or an index with its children, under a tag.
func (r simulated) addImage(number int) error {
	tag := fmt.Sprintf("1.%d.%d", number/imagesOfGeneration, number%imagesOfGeneration)
	if (r.number+number)%5 != 0 {
		_, err := r.record(tag, ocispec.MediaTypeImageManifest, r.image("amd64", number))
		return err
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for _, architecture := range []string{"amd64", "arm64"} {
		children, err := r.platform(architecture, number)
		if err != nil {
			return err
		}
		index.Manifests = append(index.Manifests, children...)
	}
	_, err := r.record(tag, ocispec.MediaTypeImageIndex, index)
	return err
}

// platform lists an image of an index, and its attestation.
func (r simulated) platform(architecture string, number int) ([]ocispec.Descriptor, error) {
	image, err := r.record("", ocispec.MediaTypeImageManifest, r.image(architecture, number))
	if err != nil {
		return nil, err
	}
	attestation, err := r.record("", ocispec.MediaTypeImageManifest, r.attestation(architecture, number))
	image.Platform = &ocispec.Platform{OS: "linux", Architecture: architecture}
	attestation.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	attestation.Annotations = map[string]string{
		"vnd.docker.reference.type":   "attestation-manifest",
		"vnd.docker.reference.digest": image.Digest.String(),
	}
	return []ocispec.Descriptor{image, attestation}, err
}

// record lists a manifest under a tag; empty: under its digest.
func (r simulated) record(tag, mediaType string, manifest any) (ocispec.Descriptor, error) {
	raw, err := json.Marshal(manifest)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	descriptor := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if tag == "" {
		tag = descriptor.Digest.String()
	}
	return descriptor, r.server.Record(r.name, tag, mediaType, raw)
}

// image returns an image with a base shared across repositories, the dependencies of its generation, and its own layer:
// 8 to 12 layers in total.
func (r simulated) image(architecture string, image int) ocispec.Manifest {
	m := emptyManifest(ocispec.MediaTypeImageConfig, r.name, architecture, "config", image)
	base := r.number % scaleBases
	for i := range scaleBaseLayers {
		m.Layers = append(m.Layers, blob(ocispec.MediaTypeImageLayerGzip, 6<<20, architecture, "base", base, i))
	}
	generation := image / imagesOfGeneration
	for i := range 2 + r.number%imagesOfGeneration {
		m.Layers = append(m.Layers, blob(ocispec.MediaTypeImageLayerGzip, 2<<20, r.name, architecture, "libraries", generation, i))
	}
	m.Layers = append(m.Layers, blob(ocispec.MediaTypeImageLayerGzip, 1<<20, r.name, architecture, "application", image))
	return m
}

// attestation returns an attestation with a provenance and an SBOM.
func (r simulated) attestation(architecture string, image int) ocispec.Manifest {
	m := emptyManifest(ocispec.MediaTypeImageConfig, r.name, architecture, "attestation config", image)
	for _, kind := range []string{"provenance", "sbom"} {
		m.Layers = append(m.Layers, blob("application/vnd.in-toto+json", 20<<10, r.name, architecture, kind, image))
	}
	return m
}

func emptyManifest(config string, key ...any) ocispec.Manifest {
	return ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    blob(config, 3<<10, key...),
	}
}

// blob returns a descriptor of content that does not exist: the same for the same key.
func blob(mediaType string, size int64, key ...any) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromString(fmt.Sprintf("%q", key)), Size: size}
}
