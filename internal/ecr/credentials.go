package ecr

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
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
	// sessionMargin is how long before its end a role's session is renewed. It is less than the shortest session.
	sessionMargin = 5 * time.Minute
)

// Login is what the job has to log in to AWS with. The SDK reads all but the region and WebIdentityToken by itself.
type Login struct {
	Region           string
	RoleARN          string        // to assume with a web identity token
	WebIdentityToken redact.Secret // the job's own
	WebIdentityFile  string        // of another token
	AccessKeyID      redact.Secret
	SecretAccessKey  redact.Secret
	SessionToken     redact.Secret // of a temporary access key
}

// HasAccessKey reports whether there is an access key, which takes precedence over all else.
func (l Login) HasAccessKey() bool { return l.AccessKeyID != "" && l.SecretAccessKey != "" }

// usesToken reports whether a web identity token counts: after access keys, and before profiles and machine roles, as in
// the SDK's own chain.
func (l Login) usesToken() bool {
	return !l.HasAccessKey() && l.RoleARN != "" && (l.WebIdentityFile != "" || l.WebIdentityToken != "")
}

// usesJobToken reports whether it is the job's own.
func (l Login) usesJobToken() bool { return l.usesToken() && l.WebIdentityFile == "" }

// Load finds the AWS credentials, and has the redactor know what they consist of; that they are good is known with the
// first call.
func Load(ctx context.Context, login Login, hide *redact.Redactor) (aws.Config, error) {
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
	if login.usesToken() && !env.Credentials.HasKeys() { // which have other names, too
		loaded.Credentials = aws.NewCredentialsCache(newRoleSession(loaded, login, env.RoleSessionName, hide), func(o *aws.CredentialsCacheOptions) {
			o.ExpiryWindow = sessionMargin
		})
	}
	loaded.Credentials = learned(hide, loaded.Credentials)
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

// NewRetryer has no quota of retries across calls, the SDK's default: several listings that are throttled at a time
// would use it up and fail. The attempts of each call are bounded all the same.
func NewRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = ListAttempts
		o.RateLimiter = ratelimit.None
	})
}
