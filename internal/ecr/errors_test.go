package ecr

import (
	"errors"
	"testing"

	"github.com/aws/smithy-go"
)

// failed returns an SDK error from a call, possibly from fetching the credentials for another call.
func failed(code string, calls ...string) error {
	var err error = &smithy.GenericAPIError{Code: code, Message: "no"}
	for _, operation := range calls {
		service := "ECR"
		if operation == assumeWithToken {
			service = "STS"
		}
		err = &smithy.OperationError{ServiceID: service, OperationName: operation, Err: err}
	}
	return err
}

// Only an error that will also affect later calls ends a run.
func TestWhatEndsARun(t *testing.T) {
	jobToken := Login{RoleARN: "arn:aws:iam::123456789012:role/r", WebIdentityToken: "e.y.J"}
	podsToken := Login{RoleARN: "arn:aws:iam::123456789012:role/r", WebIdentityToken: "e.y.J", WebIdentityFile: "/token"}
	keys := Login{AccessKeyID: "AKIA", SecretAccessKey: "secret", SessionToken: "session", WebIdentityToken: "e.y.J", RoleARN: "arn:aws:iam::123456789012:role/r"}
	for _, test := range []struct {
		name         string
		login        Login
		err          error
		ends, newJob bool
	}{
		{"a session of static keys", keys, failed("ExpiredTokenException", "BatchGetImage"), true, false},
		{"keys that are deactivated", keys, failed("UnrecognizedClientException", "BatchGetImage"), true, false},
		{"the job's ID token", jobToken, failed("ExpiredTokenException", assumeWithToken, "BatchGetImage"), true, true},
		{"a pod's token", podsToken, failed("ExpiredTokenException", assumeWithToken, "BatchGetImage"), true, false},
		{"an identity provider that STS does not reach", jobToken, failed("IDPCommunicationError", assumeWithToken, "BatchGetImage"), false, false},
		{"a policy", keys, failed("AccessDeniedException", "BatchGetImage"), false, false},
		{"throttling", keys, failed("ThrottlingException", "BatchGetImage"), false, false},
		{"a repository that is gone", keys, failed("RepositoryNotFoundException", "BatchGetImage"), false, false},
	} {
		var got *Error
		err := (&Explainer{Account: "123456789012", Login: test.login}).Explain("get manifests", test.err)
		if !errors.As(err, &got) || got.EndsRun() != test.ends || got.NewJob != test.newJob {
			t.Errorf("%s: ends the run: %t, a new job helps: %t (%v)", test.name, got.EndsRun(), got.NewJob, err)
		}
	}
}
