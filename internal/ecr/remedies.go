package ecr

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
)

func (e *Explainer) remedy(class Class, err error) string {
	switch class {
	case NoCredentials:
		return "AWS credentials were looked for in AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY" + keysSet() + ", AWS_ROLE_ARN with " +
			"AWS_WEB_IDENTITY_TOKEN or AWS_WEB_IDENTITY_TOKEN_FILE, the AWS_PROFILE, and the machine's own role. In GitLab, set " +
			"the two keys in Settings > CI/CD > Variables (a protected variable reaches protected branches only), or have the " +
			"job's id_tokens: write AWS_WEB_IDENTITY_TOKEN"
	case BadCredentials:
		return credentialsRemedy(err)
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
			"runner's network", endpointOf(err), e.Region)
	}
	return ""
}

// keysSet tells half a pair of keys, which the SDK passes over in silence.
func keysSet() string {
	id, key := os.Getenv("AWS_ACCESS_KEY_ID") != "", os.Getenv("AWS_SECRET_ACCESS_KEY") != ""
	switch {
	case id && !key:
		return " (which is missing)"
	case key && !id:
		return " (the first of which is missing)"
	}
	return ""
}

func credentialsRemedy(err error) string {
	if _, operation := failedCall(err); operation == assumeWithToken {
		return "check AWS_ROLE_ARN, and AWS_WEB_IDENTITY_TOKEN with the aud: that the role's identity provider expects; an ID token " +
			"lives no longer than its job"
	}
	return "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN, which temporary keys need and lasting ones " +
		"must not have; keys of China and GovCloud work in their own regions only"
}

const assumeWithToken = "AssumeRoleWithWebIdentity"

func (e *Explainer) permissionRemedy(err error) string {
	action := deniedAction(err)
	if action == "sts:"+assumeWithToken {
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
