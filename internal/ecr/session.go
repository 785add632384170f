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

// A role's maximum session is one to twelve hours. Only iam:GetRole, a permission of its own, reveals it.
const (
	shortestSession = 1 // hours
	longestSession  = 12
)

// roleSession exchanges a web identity token for credentials of its role, with the longest session that the role
// allows, in whole hours. It is not safe for concurrent use; callers use it through a cache.
type roleSession struct {
	client stscreds.AssumeRoleWithWebIdentityAPIClient
	role   string
	token  identityToken
	name   string
	hours  int // length of the last session; 0: there was none
}

func newRoleSession(loaded aws.Config, login Login, name string, hide *redact.Redactor) *roleSession {
	return &roleSession{
		client: sts.NewFromConfig(loaded, func(o *sts.Options) { o.RetryMaxAttempts = IdentityAttempts }),
		role:   login.RoleARN, token: identityToken{login, hide}, name: cmp.Or(name, "ecr2gitlab"),
	}
}

// Retrieve returns new credentials.
func (s *roleSession) Retrieve(ctx context.Context) (aws.Credentials, error) {
	hours := cmp.Or(s.hours, longestSession)
	credentials, err := s.assume(ctx, hours)
	switch refusal := refusedLength(err); {
	case refusal == tooLong && hours > shortestSession:
		return s.search(ctx, hours)
	case refusal == perhapsTooLong && hours > shortestSession:
		hours = shortestSession
		credentials, err = s.assume(ctx, hours)
	}
	if err == nil {
		s.hours = hours
	}
	return credentials, err
}

// search finds the longest session below the refused one, by halving.
func (s *roleSession) search(ctx context.Context, refused int) (longest aws.Credentials, err error) {
	allowed := 0
	for refused-allowed > 1 {
		hours := (allowed + refused) / 2
		credentials, err := s.assume(ctx, hours)
		switch {
		case err == nil:
			longest, allowed = credentials, hours
		case refusedLength(err) == tooLong && hours > shortestSession:
			refused = hours
		case allowed > 0:
			return longest, nil // the next session is searched for again
		default:
			return aws.Credentials{}, err
		}
	}
	s.hours = allowed
	return longest, nil
}

func (s *roleSession) assume(ctx context.Context, hours int) (aws.Credentials, error) {
	return stscreds.NewWebIdentityRoleProvider(s.client, s.role, s.token, func(o *stscreds.WebIdentityRoleOptions) {
		o.RoleSessionName, o.Duration = s.name, time.Duration(hours)*time.Hour
	}).Retrieve(ctx)
}

// lengthRefusal says whether an error is about the length of a session.
type lengthRefusal int

const (
	otherwise      lengthRefusal = iota // it is not, or there is none
	perhapsTooLong                      // a condition of the trust policy (sts:DurationSeconds) may be the cause
	tooLong                             // for the role
)

func refusedLength(err error) lengthRefusal {
	var api smithy.APIError
	switch {
	case !errors.As(err, &api):
		return otherwise
	case api.ErrorCode() == "ValidationError" && strings.Contains(api.ErrorMessage(), "DurationSeconds"):
		return tooLong
	case refusals[api.ErrorCode()] == AccessDenied:
		return perhapsTooLong
	}
	return otherwise
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
