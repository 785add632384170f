package aws

import (
	"encoding/xml"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	sessionLifetime  = time.Hour // of a request without DurationSeconds, and the default maximum of a role
	shortestLifetime = 900       // seconds
	longestLifetime  = 43200
)

// stsService implements the query protocol: requests are forms, and responses XML.
type stsService struct {
	keys    *keyring
	now     func() time.Time
	token   string // exchanged for the role's credentials; empty: no token is accepted
	roleARN string
	longest time.Duration // session of the role
}

func (s *stsService) action(_ *http.Request, body []byte) string {
	return parseForm(body).Get("Action")
}

// parseForm keeps what it can parse of a malformed form: missing parameters are reported by name.
func parseForm(body []byte) url.Values {
	form, _ := url.ParseQuery(string(body))
	return form
}

func (s *stsService) serve(w http.ResponseWriter, r *http.Request, body []byte) error {
	form := parseForm(body)
	switch action := form.Get("Action"); action {
	case "GetCallerIdentity":
		return s.getCallerIdentity(w, r, body)
	case "AssumeRoleWithWebIdentity":
		return s.assumeRoleWithWebIdentity(w, form)
	default:
		return &apiError{http.StatusBadRequest, "InvalidAction", "Could not find operation " + action + " for version " + form.Get("Version")}
	}
}

func (s *stsService) writeError(w http.ResponseWriter, err error) { writeXMLError(w, err) }

func (s *stsService) throttled() error {
	return &apiError{http.StatusBadRequest, "Throttling", "Rate exceeded"}
}

type callerIdentity struct {
	XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ GetCallerIdentityResponse"`
	ARN       string   `xml:"GetCallerIdentityResult>Arn"`
	UserID    string   `xml:"GetCallerIdentityResult>UserId"`
	Account   string   `xml:"GetCallerIdentityResult>Account"`
	RequestID string   `xml:"ResponseMetadata>RequestId"`
}

func (s *stsService) getCallerIdentity(w http.ResponseWriter, r *http.Request, body []byte) error {
	id, _, err := s.keys.authenticate(r, body, "sts", s.now())
	if err != nil {
		return stsAuthError(err)
	}
	writeXML(w, http.StatusOK, callerIdentity{
		ARN: id.arn, UserID: id.userID, Account: id.accountID, RequestID: w.Header().Get(requestIDHeader),
	})
	return nil
}

func stsAuthError(err error) error {
	code, message := "MissingAuthenticationToken", "Request is missing Authentication Token"
	switch {
	case errors.Is(err, errUnknownKey):
		code, message = "InvalidClientTokenId", "The security token included in the request is invalid."
	case errors.Is(err, errExpiredKey):
		code, message = "ExpiredToken", "The security token included in the request is expired"
	case errors.Is(err, errBadSignature):
		code, message = "SignatureDoesNotMatch", signatureMismatch
	}
	return &apiError{http.StatusForbidden, code, message}
}

type assumedRole struct {
	XMLName         xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ AssumeRoleWithWebIdentityResponse"`
	Subject         string   `xml:"AssumeRoleWithWebIdentityResult>SubjectFromWebIdentityToken"`
	Audience        string   `xml:"AssumeRoleWithWebIdentityResult>Audience"`
	ARN             string   `xml:"AssumeRoleWithWebIdentityResult>AssumedRoleUser>Arn"`
	AssumedRoleID   string   `xml:"AssumeRoleWithWebIdentityResult>AssumedRoleUser>AssumedRoleId"`
	SessionToken    string   `xml:"AssumeRoleWithWebIdentityResult>Credentials>SessionToken"`
	SecretAccessKey string   `xml:"AssumeRoleWithWebIdentityResult>Credentials>SecretAccessKey"`
	Expiration      string   `xml:"AssumeRoleWithWebIdentityResult>Credentials>Expiration"`
	AccessKeyID     string   `xml:"AssumeRoleWithWebIdentityResult>Credentials>AccessKeyId"`
	Provider        string   `xml:"AssumeRoleWithWebIdentityResult>Provider"`
	RequestID       string   `xml:"ResponseMetadata>RequestId"`
}

func (s *stsService) assumeRoleWithWebIdentity(w http.ResponseWriter, form url.Values) error {
	lifetime, err := s.checkAssumeRole(form)
	if err != nil {
		return err
	}
	id := s.keys.addSession(s.roleARN, form.Get("RoleSessionName"), s.now().Add(lifetime))
	writeXML(w, http.StatusOK, assumedRole{
		Subject:         "project_path:group/project:ref_type:branch:ref:main",
		Audience:        "https://gitlab.com",
		ARN:             id.arn,
		AssumedRoleID:   id.userID,
		SessionToken:    id.sessionToken,
		SecretAccessKey: id.secret,
		Expiration:      id.expires.UTC().Format(time.RFC3339),
		AccessKeyID:     id.accessKeyID,
		Provider:        "arn:aws:iam::" + id.accountID + ":oidc-provider/gitlab.com",
		RequestID:       w.Header().Get(requestIDHeader),
	})
	return nil
}

func (s *stsService) checkAssumeRole(form url.Values) (lifetime time.Duration, err error) {
	for _, name := range []string{"RoleArn", "RoleSessionName", "WebIdentityToken"} {
		if form.Get(name) == "" {
			return 0, fail("ValidationError", "1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", lowerFirst(name))
		}
	}
	if s.token == "" || form.Get("WebIdentityToken") != s.token {
		return 0, fail("InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements")
	}
	if form.Get("RoleArn") != s.roleARN {
		return 0, &apiError{http.StatusForbidden, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"}
	}
	return s.parseLifetime(form.Get("DurationSeconds"))
}

func (s *stsService) parseLifetime(seconds string) (time.Duration, error) {
	if seconds == "" {
		return sessionLifetime, nil
	}
	const outOfRange = "1 validation error detected: Value '%s' at 'durationSeconds' failed to satisfy constraint: Member must have value %s than or equal to %d"
	n, err := strconv.Atoi(seconds)
	switch {
	case err != nil || n < shortestLifetime:
		return 0, fail("ValidationError", outOfRange, seconds, "greater", shortestLifetime)
	case n > longestLifetime:
		return 0, fail("ValidationError", outOfRange, seconds, "less", longestLifetime)
	case time.Duration(n)*time.Second > s.longest:
		return 0, fail("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	return time.Duration(n) * time.Second, nil
}

func lowerFirst(s string) string { return string(s[0]|0x20) + s[1:] }
