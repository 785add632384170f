package testkit

import (
	"strings"
	"testing"
)

// ExpectError fails the test unless the error says all of the words; no words stand for no error.
func ExpectError(t *testing.T, err error, words ...string) {
	t.Helper()
	if len(words) == 0 {
		if err != nil {
			t.Errorf("error %v", err)
		}
		return
	}
	if err == nil {
		t.Errorf("no error, want one that says %q", words)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
}

// Saying makes a list of one message for expectError, or an empty one.
func Saying(words string) []string {
	if words == "" {
		return nil
	}
	return []string{words}
}
