package ecr

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
)

// Class is the kind of problem that an Error reports.
type Class string

// The classes.
const (
	OtherTrouble   Class = "other"
	Interrupted    Class = "interrupted"
	NoCredentials  Class = "no credentials"
	BadCredentials Class = "credentials refused"
	Expired        Class = "credentials expired"
	AccessDenied   Class = "access denied"
	WrongRegistry  Class = "wrong registry"
	Throttled      Class = "throttled"
	NoConnection   Class = "no connection"
)

// Error is a call to AWS that has finally failed: what the call was for, what happened, and a remedy.
type Error struct {
	Class  Class
	NewJob bool // a new job has new credentials, and can continue
	doing  string
	remedy string
	err    error
}

// Error returns what cannot be done and why, and on a second line the remedy.
func (e *Error) Error() string {
	text := "cannot " + e.doing + ": " + redact.URLs(cause(e.err))
	if e.remedy != "" {
		text += "\n  " + e.remedy
	}
	return text
}

// Unwrap returns the SDK's error.
func (e *Error) Unwrap() error { return e.err }

// EndsRun reports whether all further calls to AWS will fail: the credentials have expired or no longer exist.
func (e *Error) EndsRun() bool {
	_, operation := failedCall(e.err)
	return e.Class == Expired || e.Class == BadCredentials && operation != assumeWithToken // which may be temporary
}

// Explainer explains AWS errors in terms of the migration of one registry.
type Explainer struct {
	Account string // owner of the registry
	Login   Login

	caller atomic.Pointer[string]
}

// Caller sets the account that the credentials belong to, once it is known.
func (e *Explainer) Caller(account string) { e.caller.Store(&account) }

// NewError returns an Error for a failure outside the SDK.
func NewError(doing string, err error, remedy string) *Error {
	return &Error{Class: OtherTrouble, doing: doing, remedy: remedy, err: err}
}

// Explain wraps an error of the SDK.
func (e *Explainer) Explain(doing string, err error) error {
	class := e.classify(err)
	newJob := class == Expired && e.Login.usesJobToken()
	return &Error{Class: class, NewJob: newJob, doing: doing, remedy: e.remedy(class, err), err: err}
}

// refusals maps the error codes of STS and ECR to classes. Each service has its own spelling.
var refusals = map[string]Class{
	"AccessDenied":                 AccessDenied,
	"AccessDeniedException":        AccessDenied,
	"UnauthorizedOperation":        AccessDenied,
	"ExpiredToken":                 Expired,
	"ExpiredTokenException":        Expired,
	"IDPCommunicationError":        BadCredentials,
	"IDPRejectedClaim":             BadCredentials,
	"IncompleteSignature":          BadCredentials,
	"IncompleteSignatureException": BadCredentials,
	"InvalidClientTokenId":         BadCredentials,
	"InvalidIdentityToken":         BadCredentials,
	"InvalidSignatureException":    BadCredentials,
	"MissingAuthenticationToken":   BadCredentials,
	"RequestExpired":               BadCredentials,
	"SignatureDoesNotMatch":        BadCredentials,
	"UnrecognizedClientException":  BadCredentials,
}

func (e *Explainer) classify(err error) Class {
	var canceled interface{ CanceledError() bool }
	var api smithy.APIError
	var sending *smithyhttp.RequestSendError
	switch service, _ := failedCall(err); {
	case errors.As(err, &canceled), errors.Is(err, context.Canceled):
		return Interrupted
	case service == "ec2imds":
		return NoCredentials // the machine's role is last in the chain, so there were no other credentials
	case errors.As(err, &api):
		return e.classifyAnswer(api.ErrorCode(), deniedAction(err))
	case errors.As(err, &sending):
		return NoConnection
	}
	return OtherTrouble
}

func (e *Explainer) classifyAnswer(code, action string) Class {
	if _, ok := retry.DefaultThrottleErrorCodes[code]; ok {
		return Throttled
	}
	class := cmp.Or(refusals[code], OtherTrouble)
	if class == AccessDenied && e.foreign() && decidedByRegistry(action) {
		return WrongRegistry
	}
	return class
}

// foreign reports whether the registry is known to belong to another account.
func (e *Explainer) foreign() bool {
	caller := e.caller.Load()
	return caller != nil && *caller != e.Account
}

// decidedByRegistry reports whether the registry's policy affects the action, as opposed to only the caller's own
// account.
func decidedByRegistry(action string) bool {
	return strings.HasPrefix(action, "ecr:") && action != "ecr:GetAuthorizationToken"
}

// failedCall returns the innermost failed call, which may be the one that fetches credentials for another.
func failedCall(err error) (service, operation string) {
	for {
		var call *smithy.OperationError
		if !errors.As(err, &call) {
			return service, operation
		}
		service, operation, err = call.ServiceID, call.OperationName, call.Err
	}
}

// unknownCode is the SDK's code for a response that is not from AWS, such as a proxy's.
const unknownCode = "UnknownError"

// cause returns AWS's own message if there is one, or else the whole error chain.
func cause(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() == unknownCode {
		return err.Error()
	}
	text := api.ErrorCode() + ": " + api.ErrorMessage()
	var response *awshttp.ResponseError
	if errors.As(err, &response) && response.ServiceRequestID() != "" {
		text += " (request " + response.ServiceRequestID() + ")"
	}
	return text
}
