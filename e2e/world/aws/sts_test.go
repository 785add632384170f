package aws

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/opencontainers/go-digest"
)

func TestGetCallerIdentity(t *testing.T) {
	tests := []struct {
		name        string
		opts        Options
		wantAccount string
	}{
		{"own account", Options{}, "123456789012"},
		{"account of choice", Options{AccountID: "111122223333"}, "111122223333"},
		{"identity of another account", Options{AccountID: "111122223333", IdentityAccountID: "444455556666"}, "444455556666"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, tt.opts)
			out, err := sts.NewFromConfig(load(t, s.Env())).GetCallerIdentity(t.Context(), nil)
			check(t, err)
			equal(t, "account", *out.Account, tt.wantAccount)
			equal(t, "ARN", *out.Arn, "arn:aws:iam::"+tt.wantAccount+":user/gitlab-ci")
			if !strings.HasPrefix(*out.UserId, "AIDA") {
				t.Errorf("user id %q", *out.UserId)
			}
			equal(t, "calls", s.Calls(), map[string]int{"GetCallerIdentity": 1})
		})
	}
}

// TestRefusedCredentials signs with invalid credentials. STS and ECR have their own codes for each case.
func TestRefusedCredentials(t *testing.T) {
	tests := []struct {
		name    string
		env     []string
		wantSTS string
		wantECR string
	}{
		{"unknown key", []string{"AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE"}, "InvalidClientTokenId", "UnrecognizedClientException"},
		{"wrong secret", []string{"AWS_SECRET_ACCESS_KEY=wrong"}, "SignatureDoesNotMatch", "InvalidSignatureException"},
		{"session token of a long-term key", []string{"AWS_SESSION_TOKEN=made-up"}, "InvalidClientTokenId", "UnrecognizedClientException"},
	}
	s := start(t, Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := load(t, append(s.Env(), tt.env...))
			_, err := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), nil)
			checkCode(t, err, tt.wantSTS, "")
			_, err = ecr.NewFromConfig(cfg).DescribeRepositories(t.Context(), nil)
			checkCode(t, err, tt.wantECR, "")
		})
	}
}

func TestUnsignedRequests(t *testing.T) {
	s := start(t, Options{})
	resp, err := http.PostForm(s.Endpoint, url.Values{"Action": {"GetCallerIdentity"}})
	check(t, err)
	check(t, resp.Body.Close())
	equal(t, "STS", resp.StatusCode, http.StatusForbidden)

	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Endpoint, strings.NewReader("{}"))
	check(t, err)
	req.Header.Set("X-Amz-Target", targetPrefix+"DescribeRepositories")
	resp, err = http.DefaultClient.Do(req)
	check(t, err)
	check(t, resp.Body.Close())
	equal(t, "ECR", resp.StatusCode, http.StatusBadRequest)
}

// TestTamperedRequest changes the body of a request after signing.
func TestTamperedRequest(t *testing.T) {
	s := start(t, Options{Wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.NoBody
			next.ServeHTTP(w, r)
		})
	}})
	_, err := ecrClient(t, s).DescribeRepositories(t.Context(), nil)
	checkCode(t, err, "InvalidSignatureException", "does not match")
}

// TestOtherService sends ECR a request with a valid signature for STS.
func TestOtherService(t *testing.T) {
	s := start(t, Options{})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Endpoint, strings.NewReader("{}"))
	check(t, err)
	req.Header.Set("X-Amz-Target", targetPrefix+"DescribeRepositories")
	for service, want := range map[string]int{"sts": http.StatusBadRequest, "ecr": http.StatusOK} {
		signed := req.Clone(t.Context())
		signed.Body = io.NopCloser(strings.NewReader("{}"))
		credentials := sdk.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey}
		hash := strings.TrimPrefix(digest.FromString("{}").String(), "sha256:")
		check(t, v4.NewSigner().SignHTTP(t.Context(), credentials, signed, hash, service, s.Region, time.Now()))
		resp, err := http.DefaultClient.Do(signed)
		check(t, err)
		check(t, resp.Body.Close())
		equal(t, service, resp.StatusCode, want)
	}
}

func TestWrongRegion(t *testing.T) {
	s := start(t, Options{Region: "eu-west-1"})
	_, err := ecr.NewFromConfig(load(t, append(s.Env(), "AWS_DEFAULT_REGION=us-east-1"))).DescribeRepositories(t.Context(), nil)
	checkCode(t, err, "InvalidSignatureException", "valid region")
}

func TestWebIdentity(t *testing.T) {
	clock := newClock()
	s := start(t, Options{WebIdentityToken: "id-token", Now: clock.Now})
	out, err := sts.NewFromConfig(load(t, webIdentityFile(t, s, "id-token"))).GetCallerIdentity(t.Context(), nil)
	check(t, err)
	if want := "arn:aws:sts::123456789012:assumed-role/gitlab-ci/"; !strings.HasPrefix(*out.Arn, want) {
		t.Errorf("ARN %q, want %s…", *out.Arn, want)
	}
	equal(t, "calls", s.Calls(), map[string]int{"AssumeRoleWithWebIdentity": 1, "GetCallerIdentity": 1})
}

func TestWebIdentityRefused(t *testing.T) {
	tests := []struct {
		name     string
		options  Options
		token    string
		env      []string
		wantCode string
	}{
		{"wrong token", Options{WebIdentityToken: "id-token"}, "stale", nil, "InvalidIdentityToken"},
		{"no provider", Options{}, "id-token", nil, "InvalidIdentityToken"},
		{"wrong role", Options{WebIdentityToken: "id-token"}, "id-token", []string{"AWS_ROLE_ARN=arn:aws:iam::123456789012:role/other"}, "AccessDenied"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, tt.options)
			cfg := load(t, append(webIdentityFile(t, s, tt.token), tt.env...))
			_, err := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), nil)
			checkCode(t, err, tt.wantCode, "")
		})
	}
}

// TestSessionDuration requests sessions of several lengths, from roles with several maximums.
func TestSessionDuration(t *testing.T) {
	const exceeds = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
	tests := []struct {
		longest time.Duration
		seconds int32 // requested; 0: none
		want    time.Duration
		says    string
	}{
		{0, 0, time.Hour, ""},
		{0, 900, 15 * time.Minute, ""},
		{0, 3600, time.Hour, ""},
		{0, 3601, 0, exceeds},
		{6 * time.Hour, 0, time.Hour, ""},
		{6 * time.Hour, 21600, 6 * time.Hour, ""},
		{6 * time.Hour, 43200, 0, exceeds},
		{12 * time.Hour, 43200, 12 * time.Hour, ""},
		{12 * time.Hour, 43201, 0, "Value '43201' at 'durationSeconds' failed to satisfy constraint: Member must have value less than or equal to 43200"},
		{0, 899, 0, "Value '899' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%d of %s", tt.seconds, tt.longest), func(t *testing.T) {
			clock := newClock()
			s := start(t, Options{WebIdentityToken: "id-token", MaxSession: tt.longest, Now: clock.Now})
			input := &sts.AssumeRoleWithWebIdentityInput{RoleArn: &s.RoleARN, RoleSessionName: sdk.String("test"), WebIdentityToken: sdk.String("id-token")}
			if tt.seconds > 0 {
				input.DurationSeconds = &tt.seconds
			}
			out, err := sts.NewFromConfig(load(t, s.Env())).AssumeRoleWithWebIdentity(t.Context(), input)
			if tt.says != "" {
				checkCode(t, err, "ValidationError", tt.says)
				return
			}
			check(t, err)
			equal(t, "expiry", out.Credentials.Expiration.UTC(), clock.Now().Add(tt.want).Truncate(time.Second).UTC())
		})
	}
}

// TestTemporaryCredentialsExpire keeps using the same credentials after their hour.
func TestTemporaryCredentialsExpire(t *testing.T) {
	clock := newClock()
	s := start(t, Options{WebIdentityToken: "id-token", Now: clock.Now})
	creds, err := load(t, webIdentityFile(t, s, "id-token")).Credentials.Retrieve(t.Context())
	check(t, err)
	equal(t, "expiry", creds.Expires.UTC(), clock.Now().Add(time.Hour).Truncate(time.Second).UTC())

	cfg := load(t, append(s.Env(), "AWS_ACCESS_KEY_ID="+creds.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY="+creds.SecretAccessKey, "AWS_SESSION_TOKEN="+creds.SessionToken))
	_, err = ecr.NewFromConfig(cfg).DescribeRepositories(t.Context(), nil)
	check(t, err)
	clock.advance(time.Hour)
	_, err = ecr.NewFromConfig(cfg).DescribeRepositories(t.Context(), nil)
	checkCode(t, err, "ExpiredTokenException", "expired")
	_, err = sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), nil)
	checkCode(t, err, "ExpiredToken", "expired")
}

// webIdentityFile is WebIdentityEnv with the token in a file, as the SDK expects it.
func webIdentityFile(t *testing.T, s *Server, token string) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	check(t, os.WriteFile(file, []byte(token), 0o600))
	return append(s.WebIdentityEnv(), "AWS_WEB_IDENTITY_TOKEN_FILE="+file)
}
