package ecr

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
)

// sessionLengths are those that the console offers for a role, the longest first. A session can be as long as the
// role's maximum, which only iam:GetRole, a permission of its own, reveals.
var sessionLengths = []time.Duration{12 * time.Hour, 8 * time.Hour, 4 * time.Hour, 2 * time.Hour, time.Hour}

// roleSession exchanges a web identity token for credentials of its role, with the longest session that the role
// allows. It is not safe for concurrent use; callers use it through a cache.
type roleSession struct {
	client  stscreds.AssumeRoleWithWebIdentityAPIClient
	role    string
	token   identityToken
	name    string
	lengths []time.Duration // not yet rejected
}

func newRoleSession(loaded aws.Config, login Login, name string, hide *redact.Redactor) *roleSession {
	return &roleSession{
		client: sts.NewFromConfig(loaded, func(o *sts.Options) { o.RetryMaxAttempts = IdentityAttempts }),
		role:   login.RoleARN, token: identityToken{login, hide}, name: cmp.Or(name, "ecr2gitlab"), lengths: sessionLengths,
	}
}

// Retrieve returns new credentials.
func (s *roleSession) Retrieve(ctx context.Context) (aws.Credentials, error) {
	for {
		provider := stscreds.NewWebIdentityRoleProvider(s.client, s.role, s.token, func(o *stscreds.WebIdentityRoleOptions) {
			o.RoleSessionName, o.Duration = s.name, s.lengths[0]
		})
		credentials, err := provider.Retrieve(ctx)
		shorter := s.shorter(err)
		if err == nil || len(shorter) == 0 {
			return credentials, err
		}
		s.lengths = shorter
	}
}

// shorter returns the lengths to try after a rejection: those below the rejected one, or only the shortest if a
// condition of the trust policy (sts:DurationSeconds) may be the cause.
func (s *roleSession) shorter(err error) []time.Duration {
	var api smithy.APIError
	switch {
	case !errors.As(err, &api):
		return nil
	case api.ErrorCode() == "ValidationError" && strings.Contains(api.ErrorMessage(), "DurationSeconds"):
		return s.lengths[1:]
	case refusals[api.ErrorCode()] == AccessDenied && len(s.lengths) > 1:
		return s.lengths[len(s.lengths)-1:]
	}
	return nil
}

// identityToken is read again for each session, because Kubernetes renews its file.
type identityToken struct {
	login Login
	hide  *redact.Redactor
}

// GetIdentityToken returns the token to the SDK.
func (t identityToken) GetIdentityToken() ([]byte, error) {
	if t.login.WebIdentityFile == "" {
		return []byte(t.login.WebIdentityToken), nil
	}
	token, err := stscreds.IdentityTokenFile(t.login.WebIdentityFile).GetIdentityToken()
	t.hide.Learn(string(token))
	return token, err
}
