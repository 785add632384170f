package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
)

const (
	// listAttempts is enough for ECR's throttling of a large account's listing: it lets up within seconds, and the
	// SDK waits up to 20 s between two attempts.
	listAttempts = 10
	// identityAttempts is small: the first call of a run should not take minutes to say that a name does not resolve.
	identityAttempts = 3
	// callTimeout bounds one attempt, of which the longest is a hundred manifests.
	callTimeout = 2 * time.Minute

	pageSize        = 1000    // the most that ECR's listings give
	manifestsPerGet = 100     // the most that BatchGetImage takes
	maxManifest     = 4 << 20 // bytes, what registries accept at most

	// renewalMargin is how long before its end a registry token is renewed, or a tenth of its life if that is less.
	renewalMargin = 30 * time.Minute
	// unknownLife is how long a token is used that comes with no end, or with one in the past.
	unknownLife = 5 * time.Minute
	// renewalPause is how long a token that still lives is used after its renewal has failed.
	renewalPause = time.Minute
)

// manifestTypes is what BatchGetImage may answer with. It converts what a caller does not accept.
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

// RegistryAuth is what the engine logs in to the ECR registry with.
type RegistryAuth struct {
	Username      string
	Password      Secret
	ServerAddress string // host, with its port where it has one
}

type identityAPI interface {
	GetCallerIdentity(context.Context, *sts.GetCallerIdentityInput, ...func(*sts.Options)) (*sts.GetCallerIdentityOutput, error)
}

type registryAPI interface {
	ecr.DescribeRepositoriesAPIClient
	ecr.DescribeImagesAPIClient
	BatchGetImage(context.Context, *ecr.BatchGetImageInput, ...func(*ecr.Options)) (*ecr.BatchGetImageOutput, error)
	BatchCheckLayerAvailability(
		context.Context, *ecr.BatchCheckLayerAvailabilityInput, ...func(*ecr.Options)) (*ecr.BatchCheckLayerAvailabilityOutput, error)
	GetDownloadUrlForLayer(context.Context, *ecr.GetDownloadUrlForLayerInput, ...func(*ecr.Options)) (*ecr.GetDownloadUrlForLayerOutput, error)
	GetAuthorizationToken(context.Context, *ecr.GetAuthorizationTokenInput, ...func(*ecr.Options)) (*ecr.GetAuthorizationTokenOutput, error)
}

// amazon is one account's ECR registry. Its methods may be called concurrently; a call that fails is an awsError.
type amazon struct {
	accountID string
	region    string
	identity  identityAPI
	registry  registryAPI
	token     *tokenCache
	caller    atomic.Pointer[Identity] // once CallerIdentity has answered
}

var _ migrate.Source = (*amazon)(nil)

// newAmazon finds the AWS credentials; that they are good is known with the first call.
func newAmazon(ctx context.Context, cfg Config, hide *redact.Redactor) (*amazon, error) {
	loaded, err := loadAWS(ctx, cfg)
	if err != nil {
		return nil, &awsError{Class: otherTrouble, doing: "read the AWS configuration", err: err,
			remedy: "check the AWS_* variables, AWS_PROFILE, AWS_CONFIG_FILE and AWS_CA_BUNDLE among them"}
	}
	loaded.Credentials = learned(hide, loaded.Credentials)
	return newAmazonFrom(loaded, cfg), nil
}

func newAmazonFrom(loaded aws.Config, cfg Config) *amazon {
	identity := sts.NewFromConfig(loaded, func(o *sts.Options) { o.RetryMaxAttempts = identityAttempts })
	return newAmazonOver(identity, ecr.NewFromConfig(loaded), cfg, time.Now)
}

func newAmazonOver(identity identityAPI, registry registryAPI, cfg Config, now func() time.Time) *amazon {
	a := &amazon{accountID: cfg.AccountID, region: cfg.Region, identity: identity, registry: registry}
	a.token = newTokenCache(a.fetchToken, now)
	return a
}

func loadAWS(ctx context.Context, cfg Config) (aws.Config, error) {
	loaded, err := awsconfig.LoadDefaultConfig(ctx,
		awsconfig.WithRegion(cfg.Region),
		awsconfig.WithRetryer(newRetryer),
		awsconfig.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(callTimeout)),
		awsconfig.WithLogger(logging.Nop{}), // else warnings go to the process's own stderr, past what makes them printable
	)
	if err != nil {
		return aws.Config{}, err
	}
	env, err := awsconfig.NewEnvConfig()
	if err != nil {
		return aws.Config{}, err
	}
	if useWebIdentity(cfg, env) {
		loaded.Credentials = aws.NewCredentialsCache(webIdentity(loaded, cfg, env.RoleSessionName))
	}
	return loaded, nil
}

// learned has the redactor know the credentials that AWS is asked with.
func learned(hide *redact.Redactor, provider aws.CredentialsProvider) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		credentials, err := provider.Retrieve(ctx)
		hide.Learn(credentials.SecretAccessKey, credentials.SessionToken)
		return credentials, err
	})
}

// newRetryer has no quota of retries across calls, the SDK's default: several listings that are throttled at a time
// would use it up and fail. The attempts of each call are bounded all the same.
func newRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = listAttempts
		o.RateLimiter = ratelimit.None
	})
}

// useWebIdentity puts the token at the place in the SDK's chain that the token's file has: after access keys, before
// profiles and machine roles.
func useWebIdentity(cfg Config, env awsconfig.EnvConfig) bool {
	return cfg.WebIdentityToken != "" && !env.Credentials.HasKeys() && env.WebIdentityTokenFilePath == ""
}

func webIdentity(loaded aws.Config, cfg Config, session string) aws.CredentialsProvider {
	client := sts.NewFromConfig(loaded, func(o *sts.Options) { o.RetryMaxAttempts = identityAttempts })
	return stscreds.NewWebIdentityRoleProvider(client, cfg.RoleARN, identityToken{cfg.WebIdentityToken},
		func(o *stscreds.WebIdentityRoleOptions) {
			o.RoleSessionName = "ecr2gitlab"
			if session != "" {
				o.RoleSessionName = session
			}
		})
}

// identityToken is the token that the SDK otherwise reads from a file.
type identityToken struct{ Secret }

func (t identityToken) GetIdentityToken() ([]byte, error) { return []byte(t.Secret), nil }

// CallerIdentity asks AWS whose credentials these are. No permission is needed for that.
func (a *amazon) CallerIdentity(ctx context.Context) (Identity, error) {
	output, err := a.identity.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return Identity{}, a.explain("find out whose AWS credentials these are", err)
	}
	caller := Identity{Account: aws.ToString(output.Account), ARN: aws.ToString(output.Arn)}
	a.caller.Store(&caller)
	return caller, nil
}

// Repositories returns all of the registry's repositories, in the registry's order.
func (a *amazon) Repositories(ctx context.Context) ([]migrate.Repository, error) {
	pages := ecr.NewDescribeRepositoriesPaginator(a.registry, &ecr.DescribeRepositoriesInput{
		RegistryId: &a.accountID,
		MaxResults: aws.Int32(pageSize),
	})
	var repositories []migrate.Repository
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, a.explain("list the repositories of the ECR registry "+a.accountID, err)
		}
		for _, r := range page.Repositories {
			repositories = append(repositories, migrate.Repository{
				Name: aws.ToString(r.RepositoryName),
				URI:  aws.ToString(r.RepositoryUri),
			})
		}
	}
	return repositories, nil
}

// Images returns the repository's tagged images and its referrers, archived ones among them, in the registry's order.
func (a *amazon) Images(ctx context.Context, repository migrate.Repository) ([]migrate.Image, error) {
	pages := ecr.NewDescribeImagesPaginator(a.registry, &ecr.DescribeImagesInput{
		RegistryId:     &a.accountID,
		RepositoryName: &repository.Name,
		MaxResults:     aws.Int32(pageSize),
		// Without it ECR keeps quiet about archived images.
		Filter: &types.DescribeImagesFilter{ImageStatus: types.ImageStatusFilterAny},
	})
	var details []types.ImageDetail
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, a.explain("list the images of "+repository.Name, err)
		}
		details = append(details, page.ImageDetails...)
	}
	return collectImages(repository, details), nil
}

// collectImages drops what nothing refers to, and merges what a push during the listing has put on two pages.
func collectImages(repository migrate.Repository, details []types.ImageDetail) []migrate.Image {
	var images []migrate.Image
	at := map[digest.Digest]int{}
	for _, detail := range details {
		image := newImage(repository, detail)
		if len(image.Tags) == 0 && image.Subject == "" {
			continue
		}
		i, seen := at[image.Digest]
		if !seen {
			at[image.Digest] = len(images)
			images = append(images, image)
			continue
		}
		images[i].Tags = sorted(slices.Concat(images[i].Tags, image.Tags))
	}
	return images
}

func newImage(repository migrate.Repository, detail types.ImageDetail) migrate.Image {
	return migrate.Image{
		Repository:   repository,
		Digest:       digest.Digest(aws.ToString(detail.ImageDigest)),
		Tags:         sorted(detail.ImageTags),
		MediaType:    aws.ToString(detail.ImageManifestMediaType),
		ArtifactType: aws.ToString(detail.ArtifactMediaType),
		Size:         aws.ToInt64(detail.ImageSizeInBytes),
		PushedAt:     aws.ToTime(detail.ImagePushedAt),
		// One that is being restored cannot be pulled yet either.
		Archived: detail.ImageStatus == types.ImageStatusArchived || detail.ImageStatus == types.ImageStatusActivating,
		Subject:  digest.Digest(aws.ToString(detail.SubjectManifestDigest)),
	}
}

func sorted(tags []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(tags)))
}

// Manifests returns manifests of one repository by digest, as migrate.Source has it. Each text is checked against its
// digest. A call that fails ends it: the SDK has tried it several times by then.
func (a *amazon) Manifests(
	ctx context.Context, repository migrate.Repository, digests []digest.Digest,
) (map[digest.Digest]migrate.Manifest, error) {
	manifests := make(map[digest.Digest]migrate.Manifest, len(digests))
	var problems []error
	wanted := slices.Compact(slices.Sorted(slices.Values(digests)))
	for batch := range slices.Chunk(wanted, manifestsPerGet) {
		output, err := a.registry.BatchGetImage(ctx, &ecr.BatchGetImageInput{
			RegistryId:         &a.accountID,
			RepositoryName:     &repository.Name,
			ImageIds:           imageIDs(batch),
			AcceptedMediaTypes: manifestTypes,
		})
		if err != nil {
			problems = append(problems, a.explain("get manifests of "+repository.Name, err))
			break
		}
		problems = append(problems, takeManifests(manifests, repository, batch, output)...)
	}
	return manifests, errors.Join(problems...)
}

// Access returns, by action, what ECR refuses of all that an engine's pull of the layer needs. Nothing is pulled: the URL
// that comes of it is not read.
func (a *amazon) Access(ctx context.Context, repository migrate.Repository, layer digest.Digest) map[string]error {
	refused := map[string]error{}
	_, err := a.registry.BatchCheckLayerAvailability(ctx, &ecr.BatchCheckLayerAvailabilityInput{
		RegistryId: &a.accountID, RepositoryName: &repository.Name, LayerDigests: []string{layer.String()},
	})
	if err != nil {
		refused["ecr:BatchCheckLayerAvailability"] = a.explain("look for a layer of "+repository.Name, err)
	}
	_, err = a.registry.GetDownloadUrlForLayer(ctx, &ecr.GetDownloadUrlForLayerInput{
		RegistryId: &a.accountID, RepositoryName: &repository.Name, LayerDigest: aws.String(layer.String()),
	})
	if err != nil {
		refused["ecr:GetDownloadUrlForLayer"] = a.explain("get a layer of "+repository.Name, err)
	}
	return refused
}

func imageIDs(digests []digest.Digest) []types.ImageIdentifier {
	ids := make([]types.ImageIdentifier, len(digests))
	for i, d := range digests {
		ids[i].ImageDigest = aws.String(d.String())
	}
	return ids
}

// takeManifests adds the answer's manifests to the map, and returns an error for each that was asked for in vain.
func takeManifests(
	manifests map[digest.Digest]migrate.Manifest, repository migrate.Repository, asked []digest.Digest, output *ecr.BatchGetImageOutput,
) []error {
	answers := map[digest.Digest]error{}
	for _, failure := range output.Failures {
		answers[idDigest(failure.ImageId)] = fmt.Errorf("%s: %s", failure.FailureCode, aws.ToString(failure.FailureReason))
	}
	for _, image := range output.Images {
		d := idDigest(image.ImageId)
		manifest, err := checkedManifest(d, image)
		if answers[d] = err; err == nil {
			manifests[d] = manifest
		}
	}
	var problems []error
	for _, d := range asked {
		if _, answered := answers[d]; !answered {
			answers[d] = errors.New("ECR has not answered for it")
		}
		if err := answers[d]; err != nil {
			problems = append(problems, fmt.Errorf("cannot get the manifest of %s@%s: %w", repository.Name, d, err))
		}
	}
	return problems
}

func idDigest(id *types.ImageIdentifier) digest.Digest {
	if id == nil {
		return ""
	}
	return digest.Digest(aws.ToString(id.ImageDigest))
}

func checkedManifest(d digest.Digest, image types.Image) (migrate.Manifest, error) {
	text := aws.ToString(image.ImageManifest)
	if len(text) > maxManifest {
		return migrate.Manifest{}, fmt.Errorf("manifest of %d bytes is larger than the %d that registries accept", len(text), maxManifest)
	}
	if got := digest.FromString(text); got != d {
		return migrate.Manifest{}, fmt.Errorf("manifest text does not match its digest: it has %s", got)
	}
	return migrate.ParseManifest([]byte(text), aws.ToString(image.ImageManifestMediaType))
}

// Credentials returns the registry's user and token, renewed when its end is near.
func (a *amazon) Credentials(ctx context.Context) (RegistryAuth, error) {
	return a.token.get(ctx)
}

// Renew replaces the registry token, for a caller whom the registry has refused. Of several that wait for a renewal
// one makes it.
func (a *amazon) Renew(ctx context.Context) error {
	return a.token.renew(ctx)
}

func (a *amazon) fetchToken(ctx context.Context) (RegistryAuth, time.Time, error) {
	doing := "get a token for the ECR registry " + a.accountID
	output, err := a.registry.GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{
		// The token is good for any registry, but the endpoint that comes with it is that of the registry asked for.
		RegistryIds: []string{a.accountID}, //nolint:staticcheck // deprecated, and needed: see above
	})
	if err != nil {
		return RegistryAuth{}, time.Time{}, a.explain(doing, err)
	}
	if len(output.AuthorizationData) == 0 {
		return RegistryAuth{}, time.Time{}, a.explain(doing, errors.New("the answer holds none"))
	}
	data := output.AuthorizationData[0]
	auth, err := decodeToken(aws.ToString(data.AuthorizationToken), aws.ToString(data.ProxyEndpoint))
	if err != nil {
		return RegistryAuth{}, time.Time{}, a.explain(doing, err)
	}
	return auth, aws.ToTime(data.ExpiresAt), nil
}

// decodeToken takes "user:password" out of the token, and the host out of the endpoint. Its errors do not hold the token.
func decodeToken(token, endpoint string) (RegistryAuth, error) {
	decoded, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return RegistryAuth{}, errors.New("what came is not valid base64")
	}
	user, password, found := strings.Cut(string(decoded), ":")
	if !found || user == "" || password == "" {
		return RegistryAuth{}, errors.New("what came is not of the form user:password")
	}
	host := endpoint
	if u, err := url.Parse(endpoint); err == nil && u.Host != "" {
		host = u.Host
	}
	if host == "" {
		return RegistryAuth{}, errors.New("it came without a registry endpoint")
	}
	return RegistryAuth{Username: user, Password: Secret(password), ServerAddress: host}, nil
}

// tokenCache holds a registry token in memory and renews it.
type tokenCache struct {
	fetch func(context.Context) (RegistryAuth, time.Time, error)
	now   func() time.Time

	turn     chan struct{} // a mutex that a cancelled caller need not wait for; guards what follows
	auth     RegistryAuth
	renewAt  time.Time
	end      time.Time
	renewals atomic.Int64 // read without the turn, too
}

func newTokenCache(fetch func(context.Context) (RegistryAuth, time.Time, error), now func() time.Time) *tokenCache {
	return &tokenCache{fetch: fetch, now: now, turn: make(chan struct{}, 1)}
}

func (c *tokenCache) get(ctx context.Context) (RegistryAuth, error) {
	if err := c.lock(ctx); err != nil {
		return RegistryAuth{}, err
	}
	defer c.unlock()
	if c.now().Before(c.renewAt) {
		return c.auth, nil
	}
	if err := c.refresh(ctx); err != nil {
		if !c.now().Before(c.end) {
			return RegistryAuth{}, err
		}
		c.renewAt = c.now().Add(renewalPause)
	}
	return c.auth, nil
}

func (c *tokenCache) renew(ctx context.Context) error {
	before := c.renewals.Load()
	if err := c.lock(ctx); err != nil {
		return err
	}
	defer c.unlock()
	if c.renewals.Load() != before {
		return nil
	}
	return c.refresh(ctx)
}

func (c *tokenCache) refresh(ctx context.Context) error {
	auth, end, err := c.fetch(ctx)
	if err != nil {
		return err
	}
	now := c.now()
	life := end.Sub(now)
	if life <= 0 {
		life = unknownLife
	}
	c.auth, c.end, c.renewAt = auth, now.Add(life), now.Add(life-min(renewalMargin, life/10))
	c.renewals.Add(1)
	return nil
}

func (c *tokenCache) lock(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *tokenCache) unlock() { <-c.turn }

// awsErrorClass is what kind of trouble an awsError is.
type awsErrorClass string

const (
	otherTrouble   awsErrorClass = "other"
	interrupted    awsErrorClass = "interrupted"
	noCredentials  awsErrorClass = "no credentials"
	badCredentials awsErrorClass = "credentials refused"
	accessDenied   awsErrorClass = "access denied"
	wrongRegistry  awsErrorClass = "wrong registry"
	throttled      awsErrorClass = "throttled"
	noConnection   awsErrorClass = "no connection"
)

// awsError is a call to AWS that failed for good: what was to be done, what came of it, and what to do about it.
type awsError struct {
	Class  awsErrorClass
	doing  string
	remedy string
	err    error
}

func (e *awsError) Error() string {
	text := "cannot " + e.doing + ": " + redact.URLs(cause(e.err))
	if e.remedy != "" {
		text += "\n  " + e.remedy
	}
	return text
}

func (e *awsError) Unwrap() error { return e.err }

// explain wraps an error of the SDK.
func (a *amazon) explain(doing string, err error) error {
	class := a.classify(err)
	return &awsError{Class: class, doing: doing, remedy: a.remedy(class, err), err: err}
}

// refusals are the codes that STS and ECR answer with, each service with its own spelling.
var refusals = map[string]awsErrorClass{
	"AccessDenied":                 accessDenied,
	"AccessDeniedException":        accessDenied,
	"UnauthorizedOperation":        accessDenied,
	"ExpiredToken":                 badCredentials,
	"ExpiredTokenException":        badCredentials,
	"IDPCommunicationError":        badCredentials,
	"IDPRejectedClaim":             badCredentials,
	"IncompleteSignature":          badCredentials,
	"IncompleteSignatureException": badCredentials,
	"InvalidClientTokenId":         badCredentials,
	"InvalidIdentityToken":         badCredentials,
	"InvalidSignatureException":    badCredentials,
	"MissingAuthenticationToken":   badCredentials,
	"RequestExpired":               badCredentials,
	"SignatureDoesNotMatch":        badCredentials,
	"UnrecognizedClientException":  badCredentials,
}

func (a *amazon) classify(err error) awsErrorClass {
	var canceled interface{ CanceledError() bool }
	var api smithy.APIError
	var sending *smithyhttp.RequestSendError
	switch service, _ := failedCall(err); {
	case errors.As(err, &canceled), errors.Is(err, context.Canceled):
		return interrupted
	case service == "ec2imds":
		return noCredentials // the machine's role is the chain's last resort: there was nothing before it
	case errors.As(err, &api):
		return a.classifyAnswer(api.ErrorCode(), deniedAction(err))
	case errors.As(err, &sending):
		return noConnection
	}
	return otherTrouble
}

func (a *amazon) classifyAnswer(code, action string) awsErrorClass {
	if _, ok := retry.DefaultThrottleErrorCodes[code]; ok {
		return throttled
	}
	class := cmp.Or(refusals[code], otherTrouble)
	if class == accessDenied && a.foreign() && decidedByRegistry(action) {
		return wrongRegistry
	}
	return class
}

// foreign says whether the registry is known to be another account's.
func (a *amazon) foreign() bool {
	caller := a.caller.Load()
	return caller != nil && caller.Account != a.accountID
}

// decidedByRegistry tells the actions of which the registry has a say from those that are the caller's account's own.
func decidedByRegistry(action string) bool {
	return strings.HasPrefix(action, "ecr:") && action != "ecr:GetAuthorizationToken"
}

// failedCall is the innermost call: where credentials are fetched for a call, it is theirs that failed.
func failedCall(err error) (service, operation string) {
	for {
		var call *smithy.OperationError
		if !errors.As(err, &call) {
			return service, operation
		}
		service, operation, err = call.ServiceID, call.OperationName, call.Err
	}
}

// unknownCode is what the SDK makes of an answer that is not AWS's, such as a proxy's.
const unknownCode = "UnknownError"

// cause is the answer in AWS's words where there is one, and else the whole chain of errors.
func cause(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() == unknownCode {
		return err.Error()
	}
	text := api.ErrorCode() + ": " + api.ErrorMessage()
	var response *awshttp.ResponseError
	if errors.As(err, &response) && response.ServiceRequestID() != "" {
		text += " (request " + response.ServiceRequestID() + ")"
	}
	return text
}

func (a *amazon) remedy(class awsErrorClass, err error) string {
	switch class {
	case noCredentials:
		return "AWS credentials were looked for in AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY" + keysSet() + ", AWS_ROLE_ARN with " +
			"AWS_WEB_IDENTITY_TOKEN or AWS_WEB_IDENTITY_TOKEN_FILE, the AWS_PROFILE, and the machine's own role. In GitLab, set " +
			"the two keys in Settings > CI/CD > Variables (a protected variable reaches protected branches only), or have the " +
			"job's id_tokens: write AWS_WEB_IDENTITY_TOKEN"
	case badCredentials:
		return credentialsRemedy(err)
	case accessDenied:
		return a.permissionRemedy(err)
	case wrongRegistry:
		account := a.caller.Load().Account
		return fmt.Sprintf("AWS_ACCOUNT_ID is %s, but the credentials belong to account %s: set AWS_ACCOUNT_ID to %s, or have the "+
			"repository policies of %s allow %s", a.accountID, account, account, a.accountID, deniedAction(err))
	case throttled:
		return "AWS has turned it down at every attempt: run again, with a lower MIGRATE_CONCURRENCY or less beside it on this account"
	case noConnection:
		return fmt.Sprintf("%s must be reachable from the job: check the region (%s), AWS_ENDPOINT_URL if it is set, and the "+
			"runner's network", endpointOf(err), a.region)
	}
	return ""
}

// keysSet tells half a pair of keys, which the SDK passes over in silence.
func keysSet() string {
	id, key := os.Getenv("AWS_ACCESS_KEY_ID") != "", os.Getenv("AWS_SECRET_ACCESS_KEY") != ""
	switch {
	case id && !key:
		return " (which is missing)"
	case key && !id:
		return " (the first of which is missing)"
	}
	return ""
}

func credentialsRemedy(err error) string {
	if _, operation := failedCall(err); operation == assumeWithToken {
		return "check AWS_ROLE_ARN, and AWS_WEB_IDENTITY_TOKEN with the aud: that the role's identity provider expects; an ID token " +
			"lives no longer than its job"
	}
	return "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN, which temporary keys need and lasting ones " +
		"must not have; keys of China and GovCloud work in their own regions only"
}

const assumeWithToken = "AssumeRoleWithWebIdentity"

func (a *amazon) permissionRemedy(err error) string {
	action := deniedAction(err)
	if action == "sts:"+assumeWithToken {
		return "the trust policy of the role in AWS_ROLE_ARN must allow " + action + " to GitLab's identity provider, for this project's sub and aud"
	}
	return "the IAM policy of these credentials must allow " + action + ", as the one in the README does"
}

var actionPattern = regexp.MustCompile(`to perform: ([a-z-]+:[A-Za-z]+)`)

// deniedAction is the IAM action that AWS names, or else the one of the call.
func deniedAction(err error) string {
	if named := actionPattern.FindStringSubmatch(err.Error()); named != nil {
		return named[1]
	}
	service, operation := failedCall(err)
	return strings.ToLower(service) + ":" + operation
}

func endpointOf(err error) string {
	var failed *url.Error
	if !errors.As(err, &failed) {
		return "AWS"
	}
	target, parseErr := url.Parse(failed.URL)
	if parseErr != nil {
		return "AWS"
	}
	return target.Scheme + "://" + target.Host
}
