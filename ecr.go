package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unique"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/ecr"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

const (
	pageSize        = 1000    // the maximum of ECR's list calls
	manifestsPerGet = 100     // the maximum of BatchGetImage
	maxManifest     = 4 << 20 // in bytes, the limit of most registries
)

// manifestTypes lists the media types that BatchGetImage may return. It converts manifests of other types.
var manifestTypes = []string{
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.oci.image.index.v1+json",
	"application/vnd.docker.distribution.manifest.v2+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
	"application/vnd.docker.distribution.manifest.v1+prettyjws",
	"application/vnd.docker.distribution.manifest.v1+json",
}

// Identity is who the AWS credentials belong to.
type Identity struct {
	Account string
	ARN     string
}

type identityAPI interface {
	GetCallerIdentity(context.Context, *sts.GetCallerIdentityInput, ...func(*sts.Options)) (*sts.GetCallerIdentityOutput, error)
}

type registryAPI interface {
	awsecr.DescribeRepositoriesAPIClient
	awsecr.DescribeImagesAPIClient
	BatchGetImage(context.Context, *awsecr.BatchGetImageInput, ...func(*awsecr.Options)) (*awsecr.BatchGetImageOutput, error)
	BatchCheckLayerAvailability(
		context.Context, *awsecr.BatchCheckLayerAvailabilityInput, ...func(*awsecr.Options)) (*awsecr.BatchCheckLayerAvailabilityOutput, error)
	GetDownloadUrlForLayer(context.Context, *awsecr.GetDownloadUrlForLayerInput, ...func(*awsecr.Options)) (*awsecr.GetDownloadUrlForLayerOutput, error)
	GetAuthorizationToken(context.Context, *awsecr.GetAuthorizationTokenInput, ...func(*awsecr.Options)) (*awsecr.GetAuthorizationTokenOutput, error)
}

// amazon is one account's ECR registry. It is safe for concurrent use. Calls that fail return an *ecr.Error.
type amazon struct {
	accountID string
	identity  identityAPI
	registry  registryAPI
	http      aws.HTTPClient // the HTTP client of the AWS calls, with the job's proxy and CA
	token     *ecr.TokenCache
	hosts     ecr.Hosts
	buckets   ecr.Buckets
	explainer *ecr.Explainer
}

var _ transfer.Source = (*amazon)(nil)

// newAmazon finds the AWS credentials. It does not check them: the first call does.
func newAmazon(ctx context.Context, cfg Config, hide *redact.Redactor) (*amazon, error) {
	loaded, err := ecr.Load(ctx, cfg.login(), hide)
	if err != nil {
		return nil, ecr.NewError("read the AWS configuration", err,
			"check the AWS_* variables, AWS_PROFILE, AWS_CONFIG_FILE and AWS_CA_BUNDLE among them")
	}
	return newAmazonFrom(loaded, cfg), nil
}

func (c *Config) login() ecr.Login {
	return ecr.Login{
		Region: c.Region, RoleARN: c.RoleARN, WebIdentityToken: c.WebIdentityToken, WebIdentityFile: c.WebIdentityFile,
		AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken,
	}
}

func newAmazonFrom(loaded aws.Config, cfg Config) *amazon {
	identity := sts.NewFromConfig(loaded, func(o *sts.Options) { o.RetryMaxAttempts = ecr.IdentityAttempts })
	a := newAmazonOver(identity, awsecr.NewFromConfig(loaded), cfg, time.Now)
	a.http = loaded.HTTPClient
	a.buckets.Retryer = loaded.Retryer()
	return a
}

func newAmazonOver(identity identityAPI, registry registryAPI, cfg Config, now func() time.Time) *amazon {
	a := &amazon{
		accountID: cfg.AccountID, identity: identity, registry: registry,
		explainer: &ecr.Explainer{Account: cfg.AccountID, Login: cfg.login()},
	}
	a.token = ecr.NewTokenCache(a.fetchToken, now)
	return a
}

// CallerIdentity asks AWS whose credentials these are, which requires no permission.
func (a *amazon) CallerIdentity(ctx context.Context) (Identity, error) {
	output, err := a.identity.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return Identity{}, a.explainer.Explain("find out whose AWS credentials these are", err)
	}
	caller := Identity{Account: aws.ToString(output.Account), ARN: aws.ToString(output.Arn)}
	a.explainer.Caller(caller.Account)
	return caller, nil
}

// Repositories returns all of the registry's repositories, in the registry's order.
func (a *amazon) Repositories(ctx context.Context) ([]image.Repository, error) {
	pages := awsecr.NewDescribeRepositoriesPaginator(a.registry, &awsecr.DescribeRepositoriesInput{
		RegistryId: &a.accountID,
		MaxResults: aws.Int32(pageSize),
	})
	var repositories []image.Repository
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, a.explainer.Explain("list the repositories of the ECR registry "+a.accountID, err)
		}
		for _, r := range page.Repositories {
			a.hosts.Add(aws.ToString(r.RepositoryUri))
			repositories = append(repositories, image.Repository{
				Name: aws.ToString(r.RepositoryName),
				URI:  aws.ToString(r.RepositoryUri),
			})
		}
	}
	return repositories, nil
}

// Images returns the repository's tagged images and its referrers, including archived ones, in the registry's order.
func (a *amazon) Images(ctx context.Context, repository image.Repository) ([]image.Image, error) {
	pages := awsecr.NewDescribeImagesPaginator(a.registry, &awsecr.DescribeImagesInput{
		RegistryId:     &a.accountID,
		RepositoryName: &repository.Name,
		MaxResults:     aws.Int32(pageSize),
		// By default, ECR does not list archived images.
		Filter: &types.DescribeImagesFilter{ImageStatus: types.ImageStatusFilterAny},
	})
	var details []types.ImageDetail
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, a.explainer.Explain("list the images of "+repository.Name, err)
		}
		details = append(details, page.ImageDetails...)
	}
	return collectImages(repository, details), nil
}

// collectImages drops untagged images that nothing refers to, and merges duplicates that a push during the listing
// causes.
func collectImages(repository image.Repository, details []types.ImageDetail) []image.Image {
	var images []image.Image
	at := map[digest.Digest]int{}
	for _, detail := range details {
		img := newImage(repository, detail)
		if len(img.Tags) == 0 && img.Subject == "" {
			continue
		}
		i, seen := at[img.Digest]
		if !seen {
			at[img.Digest] = len(images)
			images = append(images, img)
			continue
		}
		images[i].Tags = sorted(slices.Concat(images[i].Tags, img.Tags))
	}
	return images
}

// interned returns the text, of which there is one in memory for all images.
func interned(text *string) string { return unique.Make(aws.ToString(text)).Value() }

// newImage copies the strings that it keeps: those of a response share blocks of memory, which each of them would keep alive.
func newImage(repository image.Repository, detail types.ImageDetail) image.Image {
	return image.Image{
		Repository:   repository,
		Digest:       copiedDigest(detail.ImageDigest),
		Tags:         sorted(copied(detail.ImageTags)),
		MediaType:    interned(detail.ImageManifestMediaType),
		ArtifactType: interned(detail.ArtifactMediaType),
		Size:         aws.ToInt64(detail.ImageSizeInBytes),
		PushedAt:     aws.ToTime(detail.ImagePushedAt),
		// An image that is being restored cannot be pulled yet, either.
		Archived: detail.ImageStatus == types.ImageStatusArchived || detail.ImageStatus == types.ImageStatusActivating,
		Subject:  copiedDigest(detail.SubjectManifestDigest),
	}
}

func copiedDigest(d *string) digest.Digest { return digest.Digest(strings.Clone(aws.ToString(d))) }

func copied(tags []string) []string {
	copies := make([]string, len(tags))
	for i, tag := range tags {
		copies[i] = strings.Clone(tag)
	}
	return copies
}

func sorted(tags []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(tags)))
}

// Manifests implements plan.Source. It verifies each manifest's digest. If a call fails, after the SDK's retries,
// Manifests makes no further calls, and returns the same error for all remaining manifests.
func (a *amazon) Manifests(
	ctx context.Context, repository image.Repository, digests []digest.Digest,
) (map[digest.Digest]image.Manifest, map[digest.Digest]error) {
	manifests, failed := make(map[digest.Digest]image.Manifest, len(digests)), map[digest.Digest]error{}
	wanted := slices.Compact(slices.Sorted(slices.Values(digests)))
	for at := 0; at < len(wanted); at += manifestsPerGet {
		batch := wanted[at:min(at+manifestsPerGet, len(wanted))]
		output, err := a.registry.BatchGetImage(ctx, &awsecr.BatchGetImageInput{
			RegistryId:         &a.accountID,
			RepositoryName:     &repository.Name,
			ImageIds:           imageIDs(batch),
			AcceptedMediaTypes: manifestTypes,
		})
		if err != nil {
			err = a.explainer.Explain("get manifests of "+repository.Name, err)
			for _, d := range wanted[at:] {
				failed[d] = err
			}
			break
		}
		takeManifests(manifests, failed, batch, output)
	}
	return manifests, failed
}

// Access checks everything that an engine needs to pull the layer, down to reading the first byte of one layer per
// bucket.
func (a *amazon) Access(ctx context.Context, repository image.Repository, layer digest.Digest) migrate.Access {
	access := migrate.Access{Refused: map[string]error{}}
	_, err := a.registry.BatchCheckLayerAvailability(ctx, &awsecr.BatchCheckLayerAvailabilityInput{
		RegistryId: &a.accountID, RepositoryName: &repository.Name, LayerDigests: []string{layer.String()},
	})
	if err != nil {
		access.Refused["ecr:BatchCheckLayerAvailability"] = a.explainer.Explain("look for a layer of "+repository.Name, err)
	}
	output, err := a.registry.GetDownloadUrlForLayer(ctx, &awsecr.GetDownloadUrlForLayerInput{
		RegistryId: &a.accountID, RepositoryName: &repository.Name, LayerDigest: aws.String(layer.String()),
	})
	if err != nil {
		access.Refused["ecr:GetDownloadUrlForLayer"] = a.explainer.Explain("get a layer of "+repository.Name, err)
		return access
	}
	if access.Bucket, err = a.buckets.Read(ctx, a.http, aws.ToString(output.DownloadUrl)); err != nil {
		access.Refused["s3:GetObject"] = err
	}
	return access
}

func imageIDs(digests []digest.Digest) []types.ImageIdentifier {
	ids := make([]types.ImageIdentifier, len(digests))
	for i, d := range digests {
		ids[i].ImageDigest = aws.String(d.String())
	}
	return ids
}

// takeManifests adds the manifests in the response to the map, and ECR's reason for each requested one that is missing.
func takeManifests(
	manifests map[digest.Digest]image.Manifest, failed map[digest.Digest]error, asked []digest.Digest, output *awsecr.BatchGetImageOutput,
) {
	for _, d := range asked {
		failed[d] = errors.New("ECR did not return it")
	}
	for _, failure := range output.Failures {
		if d := idDigest(failure.ImageId); failed[d] != nil {
			failed[d] = ecr.ImageFailure(failure.FailureCode, aws.ToString(failure.FailureReason))
		}
	}
	for _, img := range output.Images {
		d := idDigest(img.ImageId)
		if manifest, err := checkedManifest(d, img); err != nil {
			failed[d] = err
		} else {
			manifests[d] = manifest
			delete(failed, d)
		}
	}
}

func idDigest(id *types.ImageIdentifier) digest.Digest {
	if id == nil {
		return ""
	}
	return digest.Digest(aws.ToString(id.ImageDigest))
}

func checkedManifest(d digest.Digest, img types.Image) (image.Manifest, error) {
	text := aws.ToString(img.ImageManifest)
	if image.IsSchema1(aws.ToString(img.ImageManifestMediaType)) { // its digest is not that of its text
		return image.Manifest{}, image.ErrSchema1
	}
	if len(text) > maxManifest {
		return image.Manifest{}, fmt.Errorf("manifest of %d bytes is larger than the %d that registries accept", len(text), maxManifest)
	}
	if got := digest.FromString(text); got != d {
		return image.Manifest{}, fmt.Errorf("manifest text does not match its digest: it has %s", got)
	}
	return image.ParseManifest([]byte(text), interned(img.ImageManifestMediaType))
}

// Credentials returns the registry's user and token, which is renewed shortly before it expires.
func (a *amazon) Credentials(ctx context.Context) (ecr.RegistryAuth, error) {
	return a.token.Get(ctx)
}

// Renew implements transfer.Source: it replaces the registry token.
func (a *amazon) Renew(ctx context.Context, began time.Time) (fresh bool, err error) {
	return a.token.Renew(ctx, began)
}

func (a *amazon) fetchToken(ctx context.Context) (ecr.RegistryAuth, time.Time, error) {
	doing := "get a token for the ECR registry " + a.accountID
	output, err := a.registry.GetAuthorizationToken(ctx, &awsecr.GetAuthorizationTokenInput{
		// The token is valid for any registry, but the endpoint returned with it is that of the requested one.
		RegistryIds: []string{a.accountID}, //nolint:staticcheck // deprecated, and needed: see above
	})
	if err != nil {
		return ecr.RegistryAuth{}, time.Time{}, a.explainer.Explain(doing, err)
	}
	if len(output.AuthorizationData) == 0 {
		return ecr.RegistryAuth{}, time.Time{}, a.explainer.Explain(doing, errors.New("the response contains none"))
	}
	data := output.AuthorizationData[0]
	auth, err := ecr.DecodeToken(aws.ToString(data.AuthorizationToken), aws.ToString(data.ProxyEndpoint))
	if err != nil {
		return ecr.RegistryAuth{}, time.Time{}, a.explainer.Explain(doing, err)
	}
	a.hosts.Add(auth.ServerAddress)
	return auth, aws.ToTime(data.ExpiresAt), nil
}
