package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/interrupt"
)

// documentOf reads standard output, which has to be one JSON document and nothing else.
func documentOf(t *testing.T, stdout string) map[string]any {
	t.Helper()
	var document map[string]any
	decoder := json.NewDecoder(strings.NewReader(stdout))
	if err := decoder.Decode(&document); err != nil {
		t.Fatalf("%v in\n%s", err, stdout)
	}
	if _, err := decoder.Token(); err != io.EOF {
		t.Errorf("something follows the document (%v):\n%s", err, stdout)
	}
	return document
}

// onlyOf returns the only element of the document's list.
func onlyOf(t *testing.T, document map[string]any, list string) map[string]any {
	t.Helper()
	all, _ := document[list].([]any)
	if len(all) != 1 {
		t.Fatalf("%s has %d elements: %v", list, len(all), document[list])
	}
	return all[0].(map[string]any)
}

func TestPlanAsJSON(t *testing.T) {
	changes := layerAnswers(t, http.StatusPartialContent)
	w := newWorld(t, changes)
	w.env["GITLAB_CI"] = "true" // the log has sections
	code, stdout, stderr := w.runAtOnce(t, "plan", "--format", "json", "--within", "3h")
	document := documentOf(t, stdout)
	for field, want := range map[string]any{
		"version": 1., "target": "registry.example.com/group/project", "store": "containerd", "listedTags": 1., "pendingTags": 1., "presentTags": 0.,
	} {
		if document[field] != want {
			t.Errorf("%s is %v, want %v", field, document[field], want)
		}
	}
	within, _ := document["within"].(map[string]any)
	if code != exitDone || within["seconds"] != 3.*60*60 || within["jobs"] != 1. {
		t.Errorf("exit code %d, within %v", code, within)
	}
	assertParts(t, "stderr", stderr, "AWS: account", "Plan of a migration to registry.example.com/group/project", "1  to copy")
}

// What a plan finds to be wrong is in its document, without the secrets that others have quoted.
func TestPlanAsJSONNamesTroubles(t *testing.T) {
	changes := layerAnswers(t, http.StatusForbidden)
	maps.Copy(changes, map[string]http.HandlerFunc{
		resolvePath: problem(http.StatusForbidden, "denied: "+secrets["CI_REGISTRY_PASSWORD"]+" at https://u:p@host.example/path?X-Amz-Signature=0123abcd"),
	})
	w := newWorld(t, changes)
	code, stdout, _ := w.runAtOnce(t, "plan", "--format=json")
	document := documentOf(t, stdout)
	entry := onlyOf(t, document, "notMigrated")
	if code != exitIncomplete || entry["tag"] != "1.2" || !strings.Contains(entry["remedy"].(string), "GitLab denies reading") ||
		!strings.Contains(entry["error"].(string), "[hidden] at https://host.example/path") {
		t.Errorf("exit code %d, %v", code, entry)
	}
	denied := onlyOf(t, document, "denied")
	if denied["action"] != "s3:GetObject" || !strings.Contains(denied["error"].(string), "the S3 endpoint policy must allow") {
		t.Errorf("denied: %v", denied)
	}
	for _, part := range []string{"X-Amz-", "0123abcd", "u:p@"} {
		if strings.Contains(stdout, part) {
			t.Errorf("it shows %s:\n%s", part, stdout)
		}
	}
}

func TestVerifyAsJSON(t *testing.T) {
	w := newWorld(t, nil)
	code, stdout, stderr := w.runAtOnce(t, "verify", "--format", "json")
	document := documentOf(t, stdout)
	if tag := onlyOf(t, document, "tags"); code != exitIncomplete || tag["outcome"] != "missing" || document["finished"] != true {
		t.Errorf("before: exit code %d, %v", code, document)
	}
	assertParts(t, "stderr", stderr, "Verify: 1 tags are compared", "0 of 1 tags are at")
	if code, stdout, stderr := w.runAtOnce(t); code != exitDone {
		t.Fatalf("exit code %d:\n%s%s", code, stdout, stderr)
	}
	code, stdout, _ = w.runAtOnce(t, "verify", "--format", "json")
	document = documentOf(t, stdout)
	counts, _ := document["counts"].(map[string]any)
	if tags, _ := document["tags"].([]any); code != exitDone || counts["exact"] != 1. || len(tags) != 0 {
		t.Errorf("after: exit code %d, %v", code, document)
	}
}

// A verification that ends early says so in its document.
func TestInterruptedVerificationAsJSON(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	w := newWorld(t, map[string]http.HandlerFunc{resolvePath: func(_ http.ResponseWriter, r *http.Request) {
		cancel(interrupt.Error{Signal: syscall.SIGTERM})
		<-r.Context().Done()
	}})
	code, stdout, stderr := w.run(ctx, t, "verify", "--format", "json")
	document := documentOf(t, stdout)
	said, _ := document["error"].(string)
	if code != 128+int(syscall.SIGTERM) || document["finished"] != false || !strings.Contains(said, "interrupted by SIGTERM") {
		t.Errorf("exit code %d, %v\n%s", code, document, stderr)
	}
}

// Where there is no result, standard output has nothing at all.
func TestNoResultIsNoJSON(t *testing.T) {
	for _, command := range []string{"plan", "verify"} {
		w := newWorld(t, map[string]http.HandlerFunc{"DescribeRepositories": ecrError("AccessDeniedException", "no")})
		code, stdout, stderr := w.runAtOnce(t, command, "--format", "json")
		if code != exitFailed || stdout != "" {
			t.Errorf("%s: exit code %d:\n%s", command, code, stdout)
		}
		assertParts(t, "stderr", stderr, "cannot list the repositories", "must allow ecr:DescribeRepositories")
	}
}

// A document that nobody could read whole is a failure, whatever it would have said.
func TestJSONThatCannotBeWritten(t *testing.T) {
	for _, command := range []string{"plan", "verify"} {
		w := newWorld(t, layerAnswers(t, http.StatusPartialContent))
		awsEnv(t, "", w.env)
		var stderr strings.Builder
		code := run(t.Context(), []string{command, "--format", "json"}, processEnv(), fullDisk{}, &stderr)
		if code != exitFailed {
			t.Errorf("%s: exit code %d", command, code)
		}
		assertParts(t, "stderr", stderr.String(), "ecr2gitlab: the result cannot be written to standard output: no space left on device")
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }
