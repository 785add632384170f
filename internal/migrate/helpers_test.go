package migrate

import (
	"fmt"
	"strings"
	"testing"
)

// expectError fails the test unless the error says all of the words; no words stand for no error.
func expectError(t *testing.T, err error, words ...string) {
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

// saying makes a list of one message for expectError, or an empty one.
func saying(words string) []string {
	if words == "" {
		return nil
	}
	return []string{words}
}

// outcomes lists results as "name outcome".
func outcomes(results []Result) []string {
	list := make([]string, len(results))
	for i, r := range results {
		name := r.Name()
		if r.Referrers > 0 {
			name = fmt.Sprintf("%d referrers of %s", r.Referrers, r.Subject)
		}
		list[i] = fmt.Sprintf("%s: %s", name, r.Outcome)
	}
	return list
}

// surveyed plans all that the source has, for an engine with the containerd store unless change says otherwise.
func surveyed(t *testing.T, source Source, change func(*planner)) (survey, *planner) {
	t.Helper()
	p := &planner{source: source, store: ContainerdStore, namer: Namer{Base: targetBase}, catalog: newCatalog()}
	if change != nil {
		change(p)
	}
	found, err := p.survey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return found, p
}
