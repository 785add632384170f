package ecr

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
)

const (
	// ListAttempts is enough for ECR's throttling of a large account's listing: it lets up within seconds, and the
	// SDK waits up to 20 s between two attempts.
	ListAttempts = 10
	// IdentityAttempts is small: the first call of a run should not take minutes to say that a name does not resolve.
	IdentityAttempts = 3
	// callTimeout bounds one attempt, of which the longest is a hundred manifests.
	callTimeout = 2 * time.Minute
)

// Login is what the job says of how to log in to AWS, beside what the SDK reads by itself.
type Login struct {
	Region           string
	RoleARN          string        // to assume with the token
	WebIdentityToken redact.Secret // empty: there is none
}

// Load finds the AWS credentials; that they are good is known with the first call.
func Load(ctx context.Context, login Login) (aws.Config, error) {
	loaded, err := awsconfig.LoadDefaultConfig(ctx,
		awsconfig.WithRegion(login.Region),
		awsconfig.WithRetryer(NewRetryer),
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
	if login.useWebIdentity(env) {
		loaded.Credentials = aws.NewCredentialsCache(login.webIdentity(loaded, env.RoleSessionName))
	}
	return loaded, nil
}

// Learned has the redactor know the credentials that AWS is asked with.
func Learned(hide *redact.Redactor, provider aws.CredentialsProvider) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		credentials, err := provider.Retrieve(ctx)
		hide.Learn(credentials.SecretAccessKey, credentials.SessionToken)
		return credentials, err
	})
}

// NewRetryer has no quota of retries across calls, the SDK's default: several listings that are throttled at a time
// would use it up and fail. The attempts of each call are bounded all the same.
func NewRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = ListAttempts
		o.RateLimiter = ratelimit.None
	})
}

// useWebIdentity puts the token at the place in the SDK's chain that the token's file has: after access keys, before
// profiles and machine roles.
func (l Login) useWebIdentity(env awsconfig.EnvConfig) bool {
	return l.WebIdentityToken != "" && !env.Credentials.HasKeys() && env.WebIdentityTokenFilePath == ""
}

func (l Login) webIdentity(loaded aws.Config, session string) aws.CredentialsProvider {
	client := sts.NewFromConfig(loaded, func(o *sts.Options) { o.RetryMaxAttempts = IdentityAttempts })
	return stscreds.NewWebIdentityRoleProvider(client, l.RoleARN, IdentityToken{l.WebIdentityToken},
		func(o *stscreds.WebIdentityRoleOptions) {
			o.RoleSessionName = "ecr2gitlab"
			if session != "" {
				o.RoleSessionName = session
			}
		})
}

// IdentityToken is the token that the SDK otherwise reads from a file.
type IdentityToken struct{ redact.Secret }

// GetIdentityToken returns the token to the SDK.
func (t IdentityToken) GetIdentityToken() ([]byte, error) { return []byte(t.Secret), nil }
