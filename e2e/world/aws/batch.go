package aws

import (
	"context"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// downloadLifetime is how long the URL of a layer is valid.
const downloadLifetime = time.Hour

type batchGetImageIn struct {
	target
	ImageIDs           []imageID `json:"imageIds"`
	AcceptedMediaTypes []string  `json:"acceptedMediaTypes"`
}

type imageManifest struct {
	RegistryID             string  `json:"registryId"`
	RepositoryName         string  `json:"repositoryName"`
	ImageID                imageID `json:"imageId"`
	ImageManifest          string  `json:"imageManifest"`
	ImageManifestMediaType string  `json:"imageManifestMediaType"`
}

type imageFailure struct {
	ImageID       imageID `json:"imageId"`
	FailureCode   string  `json:"failureCode"`
	FailureReason string  `json:"failureReason"`
}

type batchGetImageOut struct {
	Images   []imageManifest `json:"images"`
	Failures []imageFailure  `json:"failures"`
}

func (c call) batchGetImage(in batchGetImageIn) (batchGetImageOut, error) {
	out := batchGetImageOut{Images: []imageManifest{}, Failures: []imageFailure{}}
	repo, err := c.repository(in.RepositoryName)
	if err != nil {
		return out, err
	}
	if len(in.ImageIDs) == 0 {
		return out, invalid("imageIds", "must have length greater than or equal to 1")
	}
	if err := checkLength("imageIds", len(in.ImageIDs)); err != nil {
		return out, err
	}
	for _, id := range in.ImageIDs {
		img, failure := in.get(repo, id)
		if failure != nil {
			out.Failures = append(out.Failures, *failure)
			continue
		}
		out.Images = append(out.Images, imageManifest{
			RegistryID:             c.registryID,
			RepositoryName:         repo.name,
			ImageID:                imageID{img.digest, id.ImageTag},
			ImageManifest:          string(img.manifest),
			ImageManifestMediaType: img.mediaType,
		})
	}
	return out, nil
}

func (in batchGetImageIn) get(repo *repository, id imageID) (image, *imageFailure) {
	switch {
	case id == imageID{}:
		return image{}, &imageFailure{id, "MissingDigestAndTag", "Invalid request parameters: both tag and digest cannot be null"}
	case id.check() != nil:
		return image{}, &imageFailure{id, "InvalidImageDigest", "Invalid request parameters: image digest should satisfy the regex '" + digestPattern + "'"}
	}
	img, ok := id.find(repo)
	if !ok || !img.archived.IsZero() || !in.accepts(img.mediaType) {
		return image{}, &imageFailure{id, "ImageNotFound", imageNotFound}
	}
	return img, nil
}

func (in batchGetImageIn) accepts(mediaType string) bool {
	return len(in.AcceptedMediaTypes) == 0 || slices.Contains(in.AcceptedMediaTypes, mediaType)
}

type batchCheckLayersIn struct {
	target
	LayerDigests []digest.Digest `json:"layerDigests"`
}

type layerOut struct {
	LayerDigest       digest.Digest `json:"layerDigest"`
	LayerAvailability string        `json:"layerAvailability"`
	LayerSize         int64         `json:"layerSize"`
	MediaType         string        `json:"mediaType"`
}

type layerFailure struct {
	LayerDigest   digest.Digest `json:"layerDigest"`
	FailureCode   string        `json:"failureCode"`
	FailureReason string        `json:"failureReason"`
}

type batchCheckLayersOut struct {
	Layers   []layerOut     `json:"layers"`
	Failures []layerFailure `json:"failures"`
}

// batchCheckLayerAvailability finds layers that a manifest lists.
func (c call) batchCheckLayerAvailability(in batchCheckLayersIn) (batchCheckLayersOut, error) {
	out := batchCheckLayersOut{Layers: []layerOut{}, Failures: []layerFailure{}}
	repo, err := c.repository(in.RepositoryName)
	if err != nil {
		return out, err
	}
	if len(in.LayerDigests) == 0 {
		return out, invalid("layerDigests", "must have length greater than or equal to 1")
	}
	if err := checkLength("layerDigests", len(in.LayerDigests)); err != nil {
		return out, err
	}
	for _, d := range in.LayerDigests {
		layer, ok := repo.layer(d)
		switch {
		case !digestRule.MatchString(d.String()):
			out.Failures = append(out.Failures, layerFailure{d, "InvalidLayerDigest", "Invalid layer digest"})
		case !ok:
			out.Layers = append(out.Layers, layerOut{LayerDigest: d, LayerAvailability: "UNAVAILABLE"})
		default:
			out.Layers = append(out.Layers, layerOut{d, "AVAILABLE", layer.Size, layer.MediaType})
		}
	}
	return out, nil
}

type downloadIn struct {
	target
	LayerDigest digest.Digest `json:"layerDigest"`
}

type downloadOut struct {
	DownloadURL string        `json:"downloadUrl"`
	LayerDigest digest.Digest `json:"layerDigest"`
}

// getDownloadURLForLayer returns a URL of the bucket, which requires no other credentials.
func (c call) getDownloadURLForLayer(in downloadIn) (out downloadOut, err error) {
	repo, err := c.repository(in.RepositoryName)
	if err != nil {
		return out, err
	}
	if !digestRule.MatchString(in.LayerDigest.String()) {
		return out, mustMatch("layerDigest", digestPattern)
	}
	if _, ok := repo.layer(in.LayerDigest); !ok {
		return out, fail("LayersNotFoundException", "The layers with digest '%s' could not be found in the repository with name '%s' in the registry with id '%s'",
			in.LayerDigest, repo.name, c.registryID)
	}
	signed, err := c.bucket.sign(context.Background(), repo.name, in.LayerDigest.String())
	return downloadOut{signed, in.LayerDigest}, err
}
