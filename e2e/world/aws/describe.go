package aws

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/opencontainers/go-digest"
)

const (
	statusActive   = "ACTIVE"
	statusArchived = "ARCHIVED"
	statusAny      = "ANY"
	tagged         = "TAGGED"
	untagged       = "UNTAGGED"
)

type imageID struct {
	ImageDigest digest.Digest `json:"imageDigest,omitempty"`
	ImageTag    string        `json:"imageTag,omitempty"`
}

// imageFilter is the filter of a list call.
type imageFilter struct {
	TagStatus   string `json:"tagStatus"`
	ImageStatus string `json:"imageStatus"` // empty: ACTIVE
}

func (f imageFilter) check() error {
	if !slices.Contains([]string{"", tagged, untagged, statusAny}, f.TagStatus) {
		return invalid("tagStatus", "must satisfy enum value set: [TAGGED, UNTAGGED, ANY]")
	}
	if !slices.Contains([]string{"", statusActive, statusArchived, "ACTIVATING", statusAny}, f.ImageStatus) {
		return invalid("imageStatus", "must satisfy enum value set: [ACTIVE, ARCHIVED, ACTIVATING, ANY]")
	}
	return nil
}

func (f imageFilter) matches(img listed) bool {
	tags := f.TagStatus == "" || f.TagStatus == statusAny || (f.TagStatus == tagged) == (len(img.tags) > 0)
	status := f.ImageStatus == statusAny || f.ImageStatus == img.status() || f.ImageStatus == "" && img.status() == statusActive
	return tags && status
}

func (img image) status() string {
	if img.archived.IsZero() {
		return statusActive
	}
	return statusArchived
}

type listIn struct {
	target
	paging
	Filter   imageFilter `json:"filter"`
	ImageIDs []imageID   `json:"imageIds"` // DescribeImages only
}

// scope identifies a listing: its nextToken is not valid for any other.
func (in listIn) scope(action, registryID string) string {
	return fmt.Sprint(action, " ", registryID, " ", in.RepositoryName, " ", in.Filter)
}

type imageOut struct {
	RegistryID             string        `json:"registryId"`
	RepositoryName         string        `json:"repositoryName"`
	ImageDigest            digest.Digest `json:"imageDigest"`
	ImageTags              []string      `json:"imageTags,omitempty"`
	ImageSizeInBytes       int64         `json:"imageSizeInBytes"`
	ImagePushedAt          float64       `json:"imagePushedAt"`
	ImageManifestMediaType string        `json:"imageManifestMediaType"`
	ArtifactMediaType      string        `json:"artifactMediaType,omitempty"`
	SubjectManifestDigest  digest.Digest `json:"subjectManifestDigest,omitempty"`
	ImageStatus            string        `json:"imageStatus"`
	LastArchivedAt         float64       `json:"lastArchivedAt,omitempty"`
}

type describeImagesOut struct {
	ImageDetails []imageOut `json:"imageDetails"`
	NextToken    string     `json:"nextToken,omitempty"`
}

func (c call) describeImages(in listIn) (out describeImagesOut, err error) {
	repo, err := c.repository(in.RepositoryName)
	if err != nil {
		return out, err
	}
	var images []listed
	if len(in.ImageIDs) > 0 {
		images, err = c.identified(repo, in)
	} else {
		images, out.NextToken, err = c.filtered(repo, in)
	}
	if err != nil {
		return out, err
	}
	out.ImageDetails = make([]imageOut, 0, len(images))
	for _, img := range images {
		out.ImageDetails = append(out.ImageDetails, c.detail(repo, img))
	}
	return out, nil
}

// filtered returns one page of the repository.
func (c call) filtered(repo *repository, in listIn) (page []listed, next string, err error) {
	if err := in.Filter.check(); err != nil {
		return nil, "", err
	}
	images := slices.DeleteFunc(repo.list(), func(img listed) bool { return !in.Filter.matches(img) })
	return cut(c.pages, in.paging, in.scope("DescribeImages", c.registryID), images, func(img listed) string { return img.digest.String() })
}

// identified returns the images that the request lists, including archived ones, by digest.
func (c call) identified(repo *repository, in listIn) ([]listed, error) {
	if err := checkNoPaging(in.paging, "imageIds"); err != nil {
		return nil, err
	}
	if err := checkLength("imageIds", len(in.ImageIDs)); err != nil {
		return nil, err
	}
	wanted := map[digest.Digest]bool{}
	for _, id := range in.ImageIDs {
		if err := id.check(); err != nil {
			return nil, err
		}
		img, ok := id.find(repo)
		if !ok {
			return nil, c.noImage(repo, id)
		}
		wanted[img.digest] = true
	}
	return slices.DeleteFunc(repo.list(), func(img listed) bool { return !wanted[img.digest] }), nil
}

const digestPattern = `[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+`

var digestRule = regexp.MustCompile(`^` + digestPattern + `$`)

func (id imageID) check() error {
	if id.ImageDigest == "" && id.ImageTag == "" {
		return fail("InvalidParameterException", "Invalid request parameters: both tag and digest cannot be null")
	}
	if id.ImageDigest != "" && !digestRule.MatchString(id.ImageDigest.String()) {
		return mustMatch("imageDigest", digestPattern)
	}
	return nil
}

// find returns the image with the digest and the tag. Either may be empty.
func (id imageID) find(repo *repository) (image, bool) {
	if id.ImageTag == "" {
		return repo.resolve(id.ImageDigest.String())
	}
	img, ok := repo.resolve(id.ImageTag)
	return img, ok && (id.ImageDigest == "" || id.ImageDigest == img.digest)
}

func (c call) noImage(repo *repository, id imageID) error {
	return fail("ImageNotFoundException", "The image with imageId {imageDigest:'%s', imageTag:'%s'} does not exist within the repository with name '%s' in the registry with id '%s'",
		orNull(id.ImageDigest.String()), orNull(id.ImageTag), repo.name, c.registryID)
}

func orNull(s string) string {
	if s == "" {
		return "null"
	}
	return s
}

func (c call) detail(repo *repository, img listed) imageOut {
	out := imageOut{
		RegistryID:             c.registryID,
		RepositoryName:         repo.name,
		ImageDigest:            img.digest,
		ImageTags:              img.tags,
		ImageSizeInBytes:       img.size,
		ImagePushedAt:          epoch(img.pushed),
		ImageManifestMediaType: img.mediaType,
		ArtifactMediaType:      img.artifactType,
		SubjectManifestDigest:  img.subject,
		ImageStatus:            img.status(),
	}
	if !img.archived.IsZero() {
		out.LastArchivedAt = epoch(img.archived)
	}
	return out
}

type listImagesOut struct {
	ImageIDs  []imageID `json:"imageIds"`
	NextToken string    `json:"nextToken,omitempty"`
}

// listImages lists an image once for each of its tags.
func (c call) listImages(in listIn) (out listImagesOut, err error) {
	repo, err := c.repository(in.RepositoryName)
	if err != nil {
		return out, err
	}
	if err := in.Filter.check(); err != nil {
		return out, err
	}
	ids := []imageID{}
	for _, img := range repo.list() {
		if in.Filter.matches(img) {
			ids = append(ids, img.ids()...)
		}
	}
	out.ImageIDs, out.NextToken, err = cut(c.pages, in.paging, in.scope("ListImages", c.registryID), ids,
		func(id imageID) string { return id.ImageDigest.String() + " " + id.ImageTag })
	return out, err
}

func (img listed) ids() (ids []imageID) {
	for _, tag := range img.tags {
		ids = append(ids, imageID{img.digest, tag})
	}
	if ids == nil {
		ids = []imageID{{ImageDigest: img.digest}}
	}
	return ids
}
