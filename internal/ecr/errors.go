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

// Class is what kind of trouble an Error is.
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

// Error is a call to AWS that failed for good: what was to be done, what came of it, and what to do about it.
type Error struct {
	Class  Class
	NewJob bool // a new job has new credentials, and can go on
	doing  string
	remedy string
	err    error
}

// Error says what cannot be done, why, and on a second line what helps.
func (e *Error) Error() string {
	text := "cannot " + e.doing + ": " + redact.URLs(cause(e.err))
	if e.remedy != "" {
		text += "\n  " + e.remedy
	}
	return text
}

// Unwrap returns the SDK's error.
func (e *Error) Unwrap() error { return e.err }

// EndsRun reports whether nothing more can be had of AWS: the credentials have expired or do not exist any more.
func (e *Error) EndsRun() bool {
	_, operation := failedCall(e.err)
	return e.Class == Expired || e.Class == BadCredentials && operation != assumeWithToken // which asks others, too
}

// Explainer knows what errors of AWS mean to the migration of one registry.
type Explainer struct {
	Account string // whose registry it is
	Login   Login

	caller atomic.Pointer[string]
}

// Caller tells the explainer which account the credentials belong to, once that is known.
func (e *Explainer) Caller(account string) { e.caller.Store(&account) }

// NewError is an Error of what the SDK cannot be blamed for.
func NewError(doing string, err error, remedy string) *Error {
	return &Error{Class: OtherTrouble, doing: doing, remedy: remedy, err: err}
}

// Explain wraps an error of the SDK.
func (e *Explainer) Explain(doing string, err error) error {
	class := e.classify(err)
	newJob := class == Expired && e.Login.usesJobToken()
	return &Error{Class: class, NewJob: newJob, doing: doing, remedy: e.remedy(class, err), err: err}
}

// refusals are the codes that STS and ECR answer with, each service with its own spelling.
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
		return NoCredentials // the machine's role is the chain's last resort: there was nothing before it
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

// foreign says whether the registry is known to be another account's.
func (e *Explainer) foreign() bool {
	caller := e.caller.Load()
	return caller != nil && *caller != e.Account
}

// decidedByRegistry tells the actions of which the registry has a say from those that are the caller's account's own.
func decidedByRegistry(action string) bool {
	return strings.HasPrefix(action, "ecr:") && action != "ecr:GetAuthorizationToken"
}

// failedCall is the innermost call: where credentials are fetched for a call, it is theirs that failed.
func failedCall(err error) (service, operation string) {
	for {
		var call *smithy.OperationError
		if !errors.As(err, &call) {
			return service, operation
		}
		service, operation, err = call.ServiceID, call.OperationName, call.Err
	}
}

// unknownCode is what the SDK makes of an answer that is not AWS's, such as a proxy's.
const unknownCode = "UnknownError"

// cause is the answer in AWS's words where there is one, and else the whole chain of errors.
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
