package aws

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"time"
)

const (
	targetHeader = "X-Amz-Target"
	targetPrefix = "AmazonEC2ContainerRegistry_V20150921."

	signatureMismatch = "The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
)

// ecrService implements the JSON 1.1 protocol: the action is in a header, and bodies are JSON.
type ecrService struct {
	keys         *keyring
	now          func() time.Time
	region       string
	registryHost string
	scheme       string
	account      *account
	tokens       *tokens
	policy       *policy
	bucket       *bucket
	pages        *pager
}

// call is one authenticated request.
type call struct {
	*ecrService
	identity   *identity
	registryID string // the caller's own account, unless the request specifies another
}

// operation handles a JSON request and returns the value to send as JSON.
type operation func(c call, body []byte) (any, error)

var operations = map[string]operation{
	"GetAuthorizationToken":       decode(call.getAuthorizationToken),
	"DescribeRepositories":        decode(call.describeRepositories),
	"DescribeImages":              decode(call.describeImages),
	"ListImages":                  decode(call.listImages),
	"BatchGetImage":               decode(call.batchGetImage),
	"BatchCheckLayerAvailability": decode(call.batchCheckLayerAvailability),
	"GetDownloadUrlForLayer":      decode(call.getDownloadURLForLayer),
}

func decode[In, Out any](f func(call, In) (Out, error)) operation {
	return func(c call, body []byte) (any, error) {
		var in In
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, serializationError(err)
		}
		return f(c, in)
	}
}

func serializationError(err error) error { return fail("SerializationException", "%v", err) }

// target is the part of a request that nearly all actions have in common: registry and repository.
type target struct {
	RegistryID     string `json:"registryId"`
	RepositoryName string `json:"repositoryName"`
}

func (s *ecrService) action(r *http.Request, _ []byte) string {
	return strings.TrimPrefix(r.Header.Get(targetHeader), targetPrefix)
}

func (s *ecrService) serve(w http.ResponseWriter, r *http.Request, body []byte) error {
	id, sig, err := s.keys.authenticate(r, body, "ecr", s.now())
	if err != nil {
		return ecrAuthError(err)
	}
	if sig.region != s.region {
		return fail("InvalidSignatureException", "Credential should be scoped to a valid region.")
	}
	c, err := s.newCall(id, s.action(r, body), body)
	if err != nil {
		return err
	}
	out, err := operations[s.action(r, body)](c, body)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

func (s *ecrService) writeError(w http.ResponseWriter, err error) { writeJSONError(w, err) }

func (s *ecrService) throttled() error { return fail("ThrottlingException", "Rate exceeded") }

func ecrAuthError(err error) error {
	switch {
	case errors.Is(err, errUnknownKey):
		return fail("UnrecognizedClientException", "The security token included in the request is invalid.")
	case errors.Is(err, errExpiredKey):
		return fail("ExpiredTokenException", "The security token included in the request is expired")
	case errors.Is(err, errBadSignature):
		return fail("InvalidSignatureException", signatureMismatch)
	}
	return fail("MissingAuthenticationTokenException", "Missing Authentication Token")
}

var (
	registryIDRule = regexp.MustCompile(`^` + registryIDPattern + `$`)
	repositoryRule = regexp.MustCompile(`^` + repositoryPattern + `$`)
)

const (
	registryIDPattern = `[0-9]{12}`
	repositoryPattern = `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*`
)

// newCall checks what all actions have in common: valid names, and the permission for the call.
func (s *ecrService) newCall(id *identity, action string, body []byte) (call, error) {
	var about target
	if err := json.Unmarshal(body, &about); err != nil {
		return call{}, serializationError(err)
	}
	c := call{s, id, id.accountID}
	if about.RegistryID != "" {
		c.registryID = about.RegistryID
	}
	if !registryIDRule.MatchString(c.registryID) {
		return call{}, mustMatch("registryId", registryIDPattern)
	}
	if about.RepositoryName != "" {
		if err := checkRepositoryName(about.RepositoryName); err != nil {
			return call{}, err
		}
	}
	return c, s.policy.check(id, action, c.registryID, about.RepositoryName)
}

func checkRepositoryName(name string) error {
	switch {
	case len(name) < 2:
		return invalid("repositoryName", "must have length greater than or equal to 2")
	case len(name) > 256:
		return invalid("repositoryName", "must have length less than or equal to 256")
	case !repositoryRule.MatchString(name):
		return mustMatch("repositoryName", repositoryPattern)
	}
	return nil
}

// repository returns the repository that the call names.
func (c call) repository(name string) (*repository, error) {
	if name == "" {
		return nil, invalid("repositoryName", "must not be null")
	}
	repo, ok := c.account.find(c.registryID, name)
	if !ok {
		return nil, c.account.noRepository(c.registryID, name)
	}
	return repo, nil
}

type authorizationToken struct {
	AuthorizationToken string  `json:"authorizationToken"`
	ExpiresAt          float64 `json:"expiresAt"`
	ProxyEndpoint      string  `json:"proxyEndpoint"`
}

type authorizationData struct {
	AuthorizationData []authorizationToken `json:"authorizationData"`
}

func (c call) getAuthorizationToken(struct{}) (authorizationData, error) {
	token, expires := c.tokens.issue(c.identity)
	return authorizationData{[]authorizationToken{{
		AuthorizationToken: base64.StdEncoding.EncodeToString([]byte(tokenUser + ":" + token)),
		ExpiresAt:          epoch(expires),
		ProxyEndpoint:      c.scheme + "://" + c.registryHost,
	}}}, nil
}

// epoch is a time in the format of JSON 1.1: seconds, to the millisecond.
func epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
