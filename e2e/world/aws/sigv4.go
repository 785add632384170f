package aws

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// The ways in which a signed request can be invalid. STS and ECR have their own codes for each.
var (
	errNotSigned    = errors.New("not signed")
	errUnknownKey   = errors.New("unknown access key or session token")
	errExpiredKey   = errors.New("expired credentials")
	errBadSignature = errors.New("bad signature")
)

// signature is a parsed Authorization header of Signature Version 4.
type signature struct {
	accessKeyID string
	region      string
	service     string
	headers     []string // the signed ones, in lower case
	value       string   // hex
}

var authorization = regexp.MustCompile(
	`^AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$`)

func parseSignature(r *http.Request) (signature, error) {
	m := authorization.FindStringSubmatch(r.Header.Get("Authorization"))
	if m == nil {
		return signature{}, errNotSigned
	}
	return signature{accessKeyID: m[1], region: m[2], service: m[3], headers: strings.Split(m[4], ";"), value: m[5]}, nil
}

// authenticate returns the identity that signed the request for the service.
func (k *keyring) authenticate(r *http.Request, body []byte, service string, now time.Time) (*identity, signature, error) {
	sig, err := parseSignature(r)
	if err != nil {
		return nil, sig, err
	}
	id, ok := k.find(sig.accessKeyID)
	switch {
	case !ok, r.Header.Get("X-Amz-Security-Token") != id.sessionToken:
		return nil, sig, errUnknownKey
	case sig.service != service, !sig.matches(r, body, id):
		return nil, sig, errBadSignature
	case !id.expires.IsZero() && !now.Before(id.expires):
		return nil, sig, errExpiredKey
	}
	return id, sig, nil
}

// matches signs the request again, with the identity's secret and the same headers, and compares the signatures.
func (sig signature) matches(r *http.Request, body []byte, id *identity) bool {
	signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return false
	}
	again := sig.unsigned(r)
	hash := sha256.Sum256(body)
	credentials := sdk.Credentials{AccessKeyID: id.accessKeyID, SecretAccessKey: id.secret}
	err = v4.NewSigner().SignHTTP(context.Background(), credentials, again, hex.EncodeToString(hash[:]), sig.service, sig.region, signed)
	if err != nil {
		return false
	}
	want, err := parseSignature(again)
	return err == nil && subtle.ConstantTimeCompare([]byte(want.value), []byte(sig.value)) == 1
}

// unsigned returns the request before it was signed, with only the signed headers.
func (sig signature) unsigned(r *http.Request) *http.Request {
	u := &http.Request{Method: r.Method, Host: r.Host, URL: &url.URL{Path: r.URL.Path, RawQuery: r.URL.RawQuery}, Header: http.Header{}}
	for _, name := range sig.headers {
		if name == "content-length" {
			u.ContentLength = r.ContentLength
		}
		if values := r.Header.Values(name); values != nil {
			u.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	return u
}
