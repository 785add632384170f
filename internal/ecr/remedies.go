package ecr

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

func (e *Explainer) remedy(class Class, err error) string {
	switch class {
	case NoCredentials:
		return "AWS credentials were looked for in AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY" + e.Login.keysSet() + ", AWS_ROLE_ARN with " +
			"AWS_WEB_IDENTITY_TOKEN or AWS_WEB_IDENTITY_TOKEN_FILE, the AWS_PROFILE, and the machine's own role. In GitLab, set " +
			"the two keys in Settings > CI/CD > Variables (a protected variable reaches protected branches only), or have the " +
			"job's id_tokens: write AWS_WEB_IDENTITY_TOKEN"
	case BadCredentials:
		return e.credentialsRemedy(err)
	case Expired:
		return e.expiredRemedy(err)
	case AccessDenied:
		return e.permissionRemedy(err)
	case WrongRegistry:
		account := *e.caller.Load()
		return fmt.Sprintf("AWS_ACCOUNT_ID is %s, but the credentials belong to account %s: set AWS_ACCOUNT_ID to %s, or have the "+
			"repository policies of %s allow %s", e.Account, account, account, e.Account, deniedAction(err))
	case Throttled:
		return "AWS has turned it down at every attempt: run again, with a lower MIGRATE_CONCURRENCY or less beside it on this account"
	case NoConnection:
		return fmt.Sprintf("%s must be reachable from the job: check the region (%s), AWS_ENDPOINT_URL if it is set, and the "+
			"runner's network", endpointOf(err), e.Login.Region)
	}
	return ""
}

// keysSet tells half a pair of keys, which the SDK passes over in silence.
func (l Login) keysSet() string {
	id, key := l.AccessKeyID != "", l.SecretAccessKey != ""
	switch {
	case id && !key:
		return " (which is missing)"
	case key && !id:
		return " (the first of which is missing)"
	}
	return ""
}

func (e *Explainer) credentialsRemedy(err error) string {
	if assumedRole(err) {
		if e.Login.WebIdentityFile != "" {
			return e.Login.fileRemedy()
		}
		return "check AWS_ROLE_ARN, and AWS_WEB_IDENTITY_TOKEN with the aud: that the role's identity provider expects; an ID token " +
			"lives no longer than its job"
	}
	return "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN, which temporary keys need and lasting ones " +
		"must not have; keys of China and GovCloud work in their own regions only"
}

// fileRemedy names the token's file, which Kubernetes puts into the pods of runners that have a role of their own.
func (l Login) fileRemedy() string {
	text := "the token is that of AWS_WEB_IDENTITY_TOKEN_FILE (" + l.WebIdentityFile + "), which a runner's pod has for the runner's " +
		"own role"
	if l.WebIdentityToken != "" {
		return text + ", and takes precedence over the job's own AWS_WEB_IDENTITY_TOKEN: set AWS_WEB_IDENTITY_TOKEN_FILE to \"\" in the " +
			"job's variables: to use the job's own"
	}
	return text + ": AWS_ROLE_ARN must be the role that trusts it"
}

func (e *Explainer) expiredRemedy(err error) string {
	switch {
	case e.Login.usesJobToken():
		return "the job's ID token (AWS_WEB_IDENTITY_TOKEN) has expired, so the session of its role cannot be renewed: a new job has a new " +
			"token, and goes on from there"
	case assumedRole(err) && e.Login.WebIdentityFile != "":
		return e.Login.fileRemedy()
	case e.Login.HasAccessKey():
		return "the session of AWS_SESSION_TOKEN has ended: set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN to new keys, " +
			"and run again, which goes on from there. With AWS_ROLE_ARN and the job's ID token, the program renews its session by itself"
	}
	return "log in to AWS again, and run again, which goes on from there"
}

// assumedRole reports whether the call that failed was to exchange a web identity token for a role's credentials.
func assumedRole(err error) bool {
	_, operation := failedCall(err)
	return operation == assumeWithToken
}

const assumeWithToken = "AssumeRoleWithWebIdentity"

func (e *Explainer) permissionRemedy(err error) string {
	action := deniedAction(err)
	switch {
	case assumedRole(err) && e.Login.WebIdentityFile != "":
		return e.Login.fileRemedy()
	case action == "sts:"+assumeWithToken:
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

// imageRemedies are what helps with an image that ECR lists and cannot give out, by the code of its failure
// (Amazon ECR API Reference, ImageFailure).
var imageRemedies = map[types.ImageFailureCode]string{
	types.ImageFailureCodeKmsError: "the KMS key of the repository must be enabled, and ECR's grant on it must not have been revoked or retired",
	types.ImageFailureCodeImageInaccessible: "the image is archived, or not replicated to this region yet: restore it " +
		"(aws ecr update-image-storage-class --target-storage-class STANDARD) or wait, then run again",
	types.ImageFailureCodeUpstreamAccessDenied:    "a pull through cache rule gets it from elsewhere: check the rule's credentials",
	types.ImageFailureCodeUpstreamTooManyRequests: "a pull through cache rule gets it from elsewhere, where there is a limit: run again later",
	types.ImageFailureCodeUpstreamUnavailable:     "a pull through cache rule gets it from elsewhere: run again when that is available",
}

// ImageFailure is why ECR does not give out one image, in its own words, and on a second line what helps.
func ImageFailure(code types.ImageFailureCode, reason string) error {
	text := string(code) + ": " + reason
	if remedy := imageRemedies[code]; remedy != "" {
		text += "\n  " + remedy
	}
	return errors.New(text)
}
