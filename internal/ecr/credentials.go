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
	// ListAttempts is enough for listing a large account despite throttling: ECR's throttling eases within seconds, and
	// the SDK waits up to 20 s between attempts.
	ListAttempts = 10
	// IdentityAttempts is low so that the first call of a run does not take minutes to report that a name does not
	// resolve.
	IdentityAttempts = 3
	// callTimeout limits one attempt; the longest returns a hundred manifests.
	callTimeout = 2 * time.Minute
	// sessionMargin is how long before its expiry a role's session is renewed. It is less than the shortest session.
	sessionMargin = 5 * time.Minute
)

// Login holds the job's means to log in to AWS. The SDK itself reads everything except the region and WebIdentityToken.
type Login struct {
	Region           string
	RoleARN          string        // to assume with a web identity token
	WebIdentityToken redact.Secret // the job's own
	WebIdentityFile  string        // of another token; takes precedence
	AccessKeyID      redact.Secret
	SecretAccessKey  redact.Secret
	SessionToken     redact.Secret // of a temporary access key
}

// HasAccessKey reports whether an access key is set, which takes precedence over everything else.
func (l Login) HasAccessKey() bool { return l.AccessKeyID != "" && l.SecretAccessKey != "" }

// usesToken reports whether a web identity token is used: after access keys, and before profiles and machine roles, as
// in the SDK's own credential chain.
func (l Login) usesToken() bool {
	return !l.HasAccessKey() && l.RoleARN != "" && (l.WebIdentityFile != "" || l.WebIdentityToken != "")
}

// usesJobToken reports whether the web identity token is the job's own.
func (l Login) usesJobToken() bool { return l.usesToken() && l.WebIdentityFile == "" }

// Load finds the AWS credentials, and lets the redactor learn them. It does not check them: the first call does.
func Load(ctx context.Context, login Login, hide *redact.Redactor) (aws.Config, error) {
	loaded, err := awsconfig.LoadDefaultConfig(ctx,
		awsconfig.WithRegion(login.Region),
		awsconfig.WithRetryer(NewRetryer),
		awsconfig.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(callTimeout)),
		awsconfig.WithLogger(logging.Nop{}), // otherwise warnings go to stderr unescaped
	)
	if err != nil {
		return aws.Config{}, err
	}
	env, err := awsconfig.NewEnvConfig()
	if err != nil {
		return aws.Config{}, err
	}
	if login.usesToken() && !env.Credentials.HasKeys() { // the SDK reads other names, too
		loaded.Credentials = aws.NewCredentialsCache(newRoleSession(loaded, login, env.RoleSessionName, hide), func(o *aws.CredentialsCacheOptions) {
			o.ExpiryWindow = sessionMargin
		})
	}
	loaded.Credentials = learned(hide, loaded.Credentials)
	return loaded, nil
}

// learned lets the redactor learn the credentials that the provider returns.
func learned(hide *redact.Redactor, provider aws.CredentialsProvider) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		credentials, err := provider.Retrieve(ctx)
		hide.Learn(credentials.SecretAccessKey, credentials.SessionToken)
		return credentials, err
	})
}

// lostBody is the code of AWS's answer to a request that it cannot parse. The SDK sends none like that, so the body was lost
// on the way, as when HTTP/2 ends a connection and the request is repeated on another without its body.
const lostBody = "SerializationException"

// NewRetryer returns a retryer without the SDK's default retry quota across calls, which several throttled listings at
// a time would exhaust. The attempts of each call are still limited.
func NewRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = ListAttempts
		o.Retryables = append(o.Retryables, retry.RetryableErrorCode{Codes: map[string]struct{}{lostBody: {}}})
		o.RateLimiter = ratelimit.None
	})
}
