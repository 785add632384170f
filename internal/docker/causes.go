// Package docker has the tools for calling a Docker Engine: finding it, reading its message streams, and telling the
// causes of its errors apart.
package docker

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
)

// Causes of an engine's errors, for errors.Is.
var (
	// ErrNotFound: the reference does not exist, at the registry or in the engine.
	ErrNotFound = errors.New("not found")
	// ErrDenied: the registry refuses the credentials, or what they ask for.
	ErrDenied = errors.New("denied")
	// ErrUnauthenticated is an ErrDenied: the registry has seen no valid token, which a token service in trouble brings
	// about as well as the token's end.
	ErrUnauthenticated = fmt.Errorf("%w: authentication required", ErrDenied)
	// ErrNoSpace: the engine's disk is full.
	ErrNoSpace = errors.New("no space left on the engine's disk")
	// ErrInvalid: the registry or the engine does not take what it is given.
	ErrInvalid = errors.New("invalid")
	// ErrNotUnpacked: the engine has all of what it pulled, and cannot unpack it.
	ErrNotUnpacked = errors.New("not unpacked")
	// ErrThrottled: the registry wants fewer requests.
	ErrThrottled = errors.New("throttled")
	// ErrUnavailable: the registry has trouble of its own, or the connection to it.
	ErrUnavailable = errors.New("unavailable")
	// ErrBrokenOff: the engine's answer ended early.
	ErrBrokenOff = errors.New("broken off")
	// ErrStalled: nothing has moved for too long.
	ErrStalled = errors.New("no progress")
	// ErrEngineGone: the engine does not answer.
	ErrEngineGone = errors.New("the engine is gone")
)

// failure keeps the engine's words and the cause that they stand for, or nil.
type failure struct {
	error
	cause error
}

// Error returns the engine's words without the query of any URL: an engine quotes the signed URL of a layer whole.
func (f failure) Error() string { return redact.URLs(f.error.Error()) }

// Unwrap returns the cause, or else the engine's own error.
func (f failure) Unwrap() error {
	if f.cause == nil {
		return f.error
	}
	return f.cause
}

// Failure is an error with these words and this cause.
func Failure(words string, cause error) error { return failure{errors.New(words), cause} }

// Lost is for a connection to the engine that fails, unless it is the context that has ended.
func Lost(err, cause error) error {
	if isEnd(err) {
		return err
	}
	return failure{err, cause}
}

// isEnd tells the end of the context, which is not the engine's doing.
func isEnd(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// The words for the causes. Those of one word are told from parts of names, such as an image called access-denied.
var (
	deniedWords          = regexp.MustCompile(`(?i)(^|[\s"'(\[>])((access)?denied|unauthorized|forbidden|not authorized|no basic auth credentials)\b`)
	unauthenticatedWords = regexp.MustCompile(`(?i)(^|[\s"'(\[>])unauthorized: authentication required`)
	notFoundWords        = regexp.MustCompile(`(?i)manifest unknown|name unknown|not found|does not exist locally`)
	noSpaceWords         = regexp.MustCompile(`(?i)no space left on device|disk quota exceeded`)
	throttledWords       = regexp.MustCompile(`(?i)\btoo ?many ?requests\b`)
	// unavailableWords are of registries (the status), of networks, and of answers that ended early.
	unavailableWords = regexp.MustCompile(`(?i)\b50[0-4] [a-z]|status[^\n]{0,80}: 5[0-9]{2}\b|HTTP 5[0-9]{2}\b|\bEOF\b|\btime(d )?out\b|deadline exceeded|` +
		`connection (reset|refused|closed)|broken pipe|closed network connection|no such host|server misbehaving|` +
		`temporary failure|unreachable|no route to host|short read|blob upload (unknown|invalid)|\bunavailable\b`)
	invalidWords = regexp.MustCompile(`(?i)\b(manifest|name|tag|digest) invalid\b|blob unknown|\bunsupported\b|not supported|no longer supported`)
	// ownContent is what the engine misses itself, of something that the registry has.
	ownContent = regexp.MustCompile(`(?i)content digest sha256:[0-9a-f]+: not found`)
)

var (
	// notUnpacked begins how the containerd store ends the pull of what it cannot unpack, after all of it has come.
	notUnpacked = regexp.MustCompile(`^failed to unpack image on snapshotter \S+: `)
	// blobPulled is the same for a blob pulled by its digest: it is there, under that reference.
	blobPulled = regexp.MustCompile(notUnpacked.String() + `unexpected media type application/octet-stream\b`)
)

// IsBlob reports whether the error is how the engine ends the pull of a blob by its digest, all of which has come.
func IsBlob(err error) bool { return err != nil && blobPulled.MatchString(err.Error()) }

// Classify tells the causes apart that the migration treats differently. In a stream, and in what the engine passes on
// of a registry, words are all there is to go by; they go before the status, which may be the engine's own.
func Classify(err error) error {
	if known := new(failure); err == nil || isEnd(err) || errors.As(err, known) {
		return err
	}
	return failure{err, causeOf(err)}
}

// causeOf is the cause that an error stands for, or nil.
func causeOf(err error) error {
	switch words := err.Error(); {
	case client.IsErrConnectionFailed(err):
		return ErrEngineGone
	case noSpaceWords.MatchString(words):
		return ErrNoSpace
	case throttledWords.MatchString(words), cerrdefs.IsResourceExhausted(err):
		return ErrThrottled
	case notUnpacked.MatchString(words):
		return ErrNotUnpacked
	case unauthenticatedWords.MatchString(words):
		return ErrUnauthenticated
	case deniedWords.MatchString(words), cerrdefs.IsUnauthorized(err), cerrdefs.IsPermissionDenied(err):
		return ErrDenied
	case ownContent.MatchString(words):
		return nil
	case invalidWords.MatchString(words):
		return ErrInvalid
	case notFoundWords.MatchString(words):
		return ErrNotFound
	case unavailableWords.MatchString(words), cerrdefs.IsUnavailable(err):
		return ErrUnavailable
	case cerrdefs.IsNotFound(err):
		return ErrNotFound
	}
	return nil
}
