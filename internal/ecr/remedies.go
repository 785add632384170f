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
		return "AWS throttled every attempt: run again when fewer clients use this account's API"
	case NoConnection:
		return fmt.Sprintf("%s must be reachable from the job: check the region (%s), AWS_ENDPOINT_URL if it is set, and the "+
			"runner's network", endpointOf(err), e.Login.Region)
	}
	return ""
}

// keysSet says which half of an access key is missing, because the SDK silently ignores the other half.
func (l Login) keysSet() string {
	id, key := l.AccessKeyID != "", l.SecretAccessKey != ""
	switch {
	case id && !key:
		return " (which is not set)"
	case key && !id:
		return " (the former is not set)"
	}
	return ""
}

func (e *Explainer) credentialsRemedy(err error) string {
	if assumedRole(err) {
		if e.Login.WebIdentityFile != "" {
			return e.Login.fileRemedy()
		}
		return "check AWS_ROLE_ARN, and AWS_WEB_IDENTITY_TOKEN with the aud: that the role's identity provider expects; an ID token " +
			"expires when its job ends"
	}
	return "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN, which temporary keys require and long-term " +
		"keys must not have; keys for China and GovCloud work only in their own regions"
}

// fileRemedy names the token file, which Amazon EKS sets in the pods of a runner with an IAM role (IRSA).
func (l Login) fileRemedy() string {
	text := "the token comes from AWS_WEB_IDENTITY_TOKEN_FILE (" + l.WebIdentityFile + "), which is set in the pod of a runner with an " +
		"IAM role of its own"
	if l.WebIdentityToken != "" {
		return text + ", and takes precedence over the job's own AWS_WEB_IDENTITY_TOKEN: set AWS_WEB_IDENTITY_TOKEN_FILE to \"\" in the " +
			"job's variables to use the job's own token"
	}
	return text + ": AWS_ROLE_ARN must be a role that trusts this token"
}

func (e *Explainer) expiredRemedy(err error) string {
	switch {
	case e.Login.usesJobToken():
		return "the job's ID token (AWS_WEB_IDENTITY_TOKEN) has expired, so the role's session cannot be renewed: a new job gets a new " +
			"token, and continues from here"
	case assumedRole(err) && e.Login.WebIdentityFile != "":
		return e.Login.fileRemedy()
	case e.Login.HasAccessKey():
		return "the session of AWS_SESSION_TOKEN has expired: set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN to new " +
			"keys and run again; that run continues from here. With AWS_ROLE_ARN and the job's ID token, sessions are renewed automatically"
	}
	return "log in to AWS again and run again; that run continues from here"
}

// assumedRole reports whether the failed call was to exchange a web identity token for a role's credentials.
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
	return "the IAM policy of these credentials must allow " + action + ": the complete policy is in docs/pipeline.md"
}

var actionPattern = regexp.MustCompile(`to perform: ([a-z-]+:[A-Za-z]+)`)

// deniedAction returns the IAM action that AWS names, or else the one for the call.
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

// imageRemedies maps the failure codes of images that ECR lists but cannot deliver to remedies (Amazon ECR API
// Reference, ImageFailure).
var imageRemedies = map[types.ImageFailureCode]string{
	types.ImageFailureCodeKmsError: "the repository's KMS key must be enabled, and ECR's grant on it must not be revoked or retired",
	types.ImageFailureCodeImageInaccessible: "the image is archived, or not yet replicated to this region: restore it " +
		"(aws ecr update-image-storage-class --target-storage-class STANDARD) or wait, and run again",
	types.ImageFailureCodeUpstreamAccessDenied:    "the image comes from an upstream registry: check the credentials of the pull through cache rule",
	types.ImageFailureCodeUpstreamTooManyRequests: "the image comes from an upstream registry that limits requests: run again later",
	types.ImageFailureCodeUpstreamUnavailable:     "the image comes from an upstream registry: run again when it is available",
}

// ImageFailure returns ECR's reason for not delivering an image, and on a second line the remedy.
func ImageFailure(code types.ImageFailureCode, reason string) error {
	text := string(code) + ": " + reason
	if remedy := imageRemedies[code]; remedy != "" {
		text += "\n  " + remedy
	}
	return errors.New(text)
}
