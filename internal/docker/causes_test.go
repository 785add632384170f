package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
)

const imageHash = "sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"

// causes are the errors that callers tell apart, and the one among ours that looks most like success.
var causes = map[string]error{
	"denied": ErrDenied, "not found": ErrNotFound, "truncated": ErrBrokenOff,
	"full":      ErrNoSpace,
	"cancelled": context.Canceled,
	"invalid":   ErrInvalid, "not unpacked": ErrNotUnpacked, "throttled": ErrThrottled,
	"unavailable": ErrUnavailable, "stalled": ErrStalled, "engine gone": ErrEngineGone,
}

// assertFailure wants an error with these words and, of all causes, this one alone: "" is none of them.
func assertFailure(t *testing.T, err error, words, cause string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if !strings.Contains(err.Error(), words) {
		t.Errorf("got %q, want %q in it", err, words)
	}
	for name, target := range causes {
		if errors.Is(err, target) != (name == cause) {
			t.Errorf("%q is %s: %t, want %s alone", err, name, errors.Is(err, target), cause)
		}
	}
}

// The words of real engines (20.10, and 29's code) for what registries and networks do to them.
func TestCausesByWords(t *testing.T) {
	for _, test := range []struct{ words, cause string }{
		{"failed to resolve reference \"h/app@sha256:0\": unexpected status from HEAD request to http://h/v2/app/manifests/sha256:0: 503 Service Unavailable", "unavailable"},
		{"failed to copy: httpReadSeeker: failed open: unexpected status from GET request to http://h/v2/app/blobs/sha256:0: 500 Internal Server Error", "unavailable"},
		{"failed to copy: read tcp 10.0.0.2:43118->10.0.0.3:443: read: connection reset by peer", "unavailable"},
		{"short read: expected 4194304 bytes but got 1048576: unexpected EOF", "unavailable"},
		{"received unexpected HTTP status: 503 Service Unavailable", "unavailable"},
		{"error parsing HTTP 502 response body: invalid character '<' looking for beginning of value: \"<html>\"", "unavailable"},
		{"Get \"https://h/v2/\": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)", "unavailable"},
		{"Get \"https://h/v2/\": dial tcp: lookup h on 10.0.0.1:53: server misbehaving", "unavailable"},
		{"Get \"https://h/v2/\": net/http: TLS handshake timeout", "unavailable"},
		{"failed to do request: Put \"http://h/v2/app/blobs/uploads/1\": write: broken pipe", "unavailable"},
		{"Head \"http://h/v2/app/blobs/sha256:0\": EOF", "unavailable"},
		{"blob upload unknown", "unavailable"},
		{"unexpected status from GET request to http://h/v2/app/manifests/1: 429 Too Many Requests", "throttled"},
		{"toomanyrequests: Rate exceeded", "throttled"},
		{"manifest invalid: manifest invalid", "invalid"},
		{"blob unknown: blob unknown to registry", "invalid"},
		{"unsupported: the operation is unsupported", "invalid"},
		{"An image does not exist locally with the tag: registry.example.com/group/project/app", "not found"},
		{"unauthorized: authentication required", "denied"},
		{"mount callback failed on /tmp/containerd-mount1: write /usr/lib/x: no space left on device", "full"},
		{"something that nobody has seen", ""},
		{"content digest sha256:" + strings.Repeat("0", 64) + ": not found", ""},
	} {
		t.Run(test.words, func(t *testing.T) { assertFailure(t, Classify(errors.New(test.words)), test.words, test.cause) })
	}
}

// A registry that has seen no valid token is told from one that refuses the credentials, or what they ask for.
func TestUnauthenticated(t *testing.T) {
	for words, want := range map[string]bool{
		"unauthorized: authentication required":                      true,
		"failed to authorize: unauthorized: authentication required": true,
		"unauthorized: HTTP Basic: Access denied":                    false,
		"denied: requested access to the resource is denied":         false,
		"pull of not-unauthorized: authentication required/team/app": false,
	} {
		err := Classify(errors.New(words))
		if errors.Is(err, ErrUnauthenticated) != want || want && !errors.Is(err, ErrDenied) {
			t.Errorf("%q: %#v", words, err)
		}
	}
}

func TestClassifyKeepsTheEnginesOwn(t *testing.T) {
	if err := Classify(nil); err != nil {
		t.Errorf("nothing became %v", err)
	}
	for _, err := range []error{context.Canceled, context.DeadlineExceeded} {
		wrapped := fmt.Errorf("denied: not found: %w", err)
		if got := Classify(wrapped); got != wrapped { //nolint:errorlint // the very same
			t.Errorf("%v became %v", wrapped, got)
		}
	}
	if err := Classify(cerrdefs.ErrNotFound.WithMessage("gone")); err.Error() != "gone" || !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func FuzzClassify(f *testing.F) {
	for i, words := range []string{
		"denied: requested access to the resource is denied", "no space left on device: not found", "access-denied:1.2",
		"content digest " + imageHash + ": not found", "manifest unknown", "401 Unauthorized", "",
	} {
		f.Add(words, uint8(i))
	}
	statuses := []error{nil, cerrdefs.ErrNotFound, cerrdefs.ErrPermissionDenied, cerrdefs.ErrUnauthenticated, cerrdefs.ErrInternal}
	known := []error{ErrNotFound, ErrDenied, ErrNoSpace}
	f.Fuzz(func(t *testing.T, words string, status uint8) {
		err := errors.New(words)
		if of := statuses[int(status)%len(statuses)]; of != nil {
			err = errors.Join(err, of)
		}
		got := Classify(err)
		if got.Error() != err.Error() {
			t.Errorf("%q became %q", err, got)
		}
		of := slices.DeleteFunc(slices.Clone(known), func(cause error) bool { return !errors.Is(got, cause) })
		if len(of) > 1 {
			t.Errorf("%q is all of %v", err, of)
		}
		if noSpaceWords.MatchString(words) && !errors.Is(got, ErrNoSpace) {
			t.Errorf("%q is %v", err, of)
		}
	})
}
