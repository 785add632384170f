// Package docker has the tools for calling a Docker Engine: finding it, reading its message streams, and classifying its
// errors.
package docker

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
)

// Causes of an engine's errors, for errors.Is. Where GitLab's registry, or something on the way to a registry, refuses
// for a reason that has a remedy, the error is a *Refusal, too.
var (
	// ErrNotFound: the reference does not exist in the registry or in the engine.
	ErrNotFound = errors.New("not found")
	// ErrDenied: the registry rejects the credentials, or they do not grant the access.
	ErrDenied = errors.New("denied")
	// ErrUnauthenticated is an ErrDenied: the registry received no valid token, either because it has expired or because
	// the token service is in trouble.
	ErrUnauthenticated = fmt.Errorf("%w: authentication required", ErrDenied)
	// ErrRefused: a rule of the registry, or the manifest's content, excludes this image, tag, repository or media type. Others
	// may be accepted.
	ErrRefused = errors.New("refused")
	// ErrBlocked: a proxy in front of the registry, or the storage behind it, rejects the engine's requests, whatever the
	// credentials.
	ErrBlocked = errors.New("blocked")
	// ErrClosed: no push or pull can succeed until someone changes the registry or the engine.
	ErrClosed = errors.New("closed")
	// ErrNoSpace: the engine's disk is full.
	ErrNoSpace = errors.New("no space left on the engine's disk")
	// ErrInvalid: the registry or the engine does not accept the content.
	ErrInvalid = errors.New("invalid")
	// ErrNotUnpacked: the engine has pulled everything and cannot unpack it.
	ErrNotUnpacked = errors.New("not unpacked")
	// ErrBlob is an ErrNotUnpacked: the engine has pulled a blob by its digest, which is no image. The blob has arrived and
	// has the reference.
	ErrBlob = fmt.Errorf("%w: a blob", ErrNotUnpacked)
	// ErrThrottled: the registry limits the rate of requests.
	ErrThrottled = errors.New("throttled")
	// ErrUnavailable: the registry, or the connection to it, fails temporarily.
	ErrUnavailable = errors.New("unavailable")
	// ErrUnreachable is an ErrUnavailable: the engine, or its proxy, cannot connect to the registry or the storage behind it.
	ErrUnreachable = fmt.Errorf("%w: no connection", ErrUnavailable)
	// ErrBrokenOff: the engine's answer ended early.
	ErrBrokenOff = errors.New("broken off")
	// ErrStalled: the call made no progress for too long.
	ErrStalled = errors.New("no progress")
	// ErrEngineGone: the engine does not answer.
	ErrEngineGone = errors.New("the engine is gone")
)

// failure is an error with the engine's words and its cause, or nil if the cause is unknown.
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

// Lost gives the error of a lost connection its cause, unless the context has ended.
func Lost(err, cause error) error {
	if isEnd(err) {
		return err
	}
	return failure{err, cause}
}

// isEnd reports whether the error means that the context has ended, for which the engine is not responsible.
func isEnd(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// Classify gives an error of the engine its cause, if it is known, and keeps the engine's words.
func Classify(err error) error { return classify(err, signs) }

// ClassifyPush is Classify for a push, which reads its layers and manifests from the engine itself.
func ClassifyPush(err error) error { return classify(err, pushSigns) }

func classify(err error, signs []sign) error {
	if err == nil || isEnd(err) || errors.As(err, new(failure)) || errors.As(err, new(*Refusal)) {
		return err
	}
	e := read(err)
	for _, s := range signs {
		match, fits := s.match(e)
		switch {
		case fits && s.kind != "":
			return e.refusal(s, match)
		case fits:
			return failure{err, s.cause}
		}
	}
	return failure{err, nil}
}

// Gist returns what failures of one cause have in common: their words without URLs, names and digests.
func Gist(err error) string { return digests.ReplaceAllString(read(err).plain, "") }

var digests = regexp.MustCompile(`\b(sha256|sha512):[0-9a-f]+\b`)
