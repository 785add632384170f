package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	cerrdefs "github.com/containerd/errdefs"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
)

const imageHash = "sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"

// causes are the errors that callers tell apart, and the one among ours that looks most like success.
var causes = map[string]error{
	"denied": ErrDenied, "not found": ErrNotFound, "truncated": ErrBrokenOff,
	"full":      ErrNoSpace,
	"cancelled": context.Canceled,
	"invalid":   ErrInvalid, "not unpacked": ErrNotUnpacked, "throttled": ErrThrottled,
	"refused": ErrRefused, "blocked": ErrBlocked, "closed": ErrClosed,
	"unavailable": ErrUnavailable, "stalled": ErrStalled, "engine gone": ErrEngineGone,
	"blob": ErrBlob, "unreachable": ErrUnreachable, "unauthenticated": ErrUnauthenticated,
}

// assertFailure wants an error with these words and, of all causes, this one and what it is a case of: "" is none of them.
func assertFailure(t *testing.T, err error, words, cause string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if !strings.Contains(err.Error(), words) {
		t.Errorf("got %q, want %q in it", err, words)
	}
	for name, target := range causes {
		if errors.Is(err, target) != errors.Is(causes[cause], target) {
			t.Errorf("%q is %s: %t, want %s alone", err, name, errors.Is(err, target), cause)
		}
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
		if got.Error() != redact.URLs(err.Error()) {
			t.Errorf("%q became %q", err, got)
		}
		of := slices.DeleteFunc(slices.Clone(known), func(cause error) bool { return !errors.Is(got, cause) })
		if len(of) > 1 {
			t.Errorf("%q is all of %v", err, of)
		}
		if strings.Contains(words, "no space left on device") && !errors.Is(got, ErrNoSpace) {
			t.Errorf("%q is %v", err, of)
		}
	})
}
