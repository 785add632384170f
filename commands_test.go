package main

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/docker/docker/api/types/registry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layerAnswers are ECR's responses for a layer that can be pulled. Its URL, which is as good as a password, points to a
// bucket that responds with the status.
func layerAnswers(t *testing.T, status int) map[string]http.HandlerFunc {
	t.Helper()
	bucket := closingServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "<Error><Code>AccessDenied</Code><Message>no</Message><Resource>%s</Resource></Error>", r.URL)
	}))
	return map[string]http.HandlerFunc{
		"BatchCheckLayerAvailability": ecrAnswer(http.StatusOK, map[string]any{"layers": []any{}}),
		"GetDownloadUrlForLayer":      ecrAnswer(http.StatusOK, map[string]any{"downloadUrl": bucket.URL + "/layer?X-Amz-Signature=" + secrets["the ECR token"]}),
	}
}

// expectNothingMoved checks the requests to the engine.
func (w *world) expectNothingMoved(t *testing.T) {
	t.Helper()
	for _, call := range []string{pullPath, pushPath, loadPath, tagPath} {
		if asked := w.daemon.asked(call); len(asked) > 0 {
			t.Errorf("%d times %s", len(asked), call)
		}
	}
}

func TestPlan(t *testing.T) {
	another := jsonAnswer(http.StatusOK, registry.DistributionInspect{Descriptor: ocispec.Descriptor{Digest: digest.FromString("another")}})
	there := jsonAnswer(http.StatusOK, registry.DistributionInspect{Descriptor: ocispec.Descriptor{Digest: digest.FromString(aManifest(1))}})
	tests := []struct {
		name           string
		args           []string
		env            map[string]string
		changes        map[string]http.HandlerFunc
		bucket         int // the bucket's status; 0: the layer
		code           int
		stdout, stderr []string
	}{
		{
			name: "all to do", args: []string{"--within", "3h"}, code: exitDone,
			stdout: []string{
				"ECR: 1 tags of 1 images in 1 repositories\n", "Plan of a migration to registry.example.com/group/project", "        1  tags in ECR", "0  are at GitLab already",
				"1  to copy, of 1 images", "to pull from ECR", "more in GitLab's storage", "MIGRATE_DISK allows 15 GB", "20 MB per second", "1s  one job",
				"Within 3h0m0s, including the time that a run reserves to end cleanly: one job", "layers are accessible", "S3: this job can read ECR's layers from 127.0.0.1:", "; whether the engine can is unknown until it pulls",
				"GitLab: the login works",
			},
		},
		{name: "another rate", args: []string{"--rate=5MB"}, code: exitDone, stdout: []string{"each job moves 5.0 MB per second"}},
		{
			name: "all there", changes: map[string]http.HandlerFunc{resolvePath: there}, code: exitDone,
			stdout: []string{"1  are at GitLab already", "0  to copy", "0 B  to pull"},
		},
		{
			name: "an older image of ECR there", code: exitDone, changes: map[string]http.HandlerFunc{
				resolvePath: another, "GET /distribution/" + sourceHost + "/team/app@" + digest.FromString("another").String() + "/json": another,
			},
			stdout: []string{"1  to copy", "1  of them replace another image"},
		},
		{
			name: "another image there", code: exitDone, changes: map[string]http.HandlerFunc{
				resolvePath: another,
				"GET /distribution/" + sourceHost + "/team/app@" + digest.FromString("another").String() + "/json": problem(http.StatusNotFound, "manifest unknown"),
			},
			stdout: []string{"1  to copy", "1  of them may be somebody else's", "team/app:1.2\n    sha256:", "MIGRATE_CONFLICT=overwrite"},
		},
		{
			name: "nothing chosen", env: map[string]string{"MIGRATE_TAGS": "v*"}, code: exitDone,
			stdout: []string{"Selected: 1 of 1 repositories, and 0 of their 1 tags\n", `        MIGRATE_TAGS: nothing matches "v*"`, "0  to copy"},
		},
		{
			name: "not the share of a job alone", env: map[string]string{"CI_NODE_INDEX": "1", "CI_NODE_TOTAL": "2"}, code: exitDone,
			stdout: []string{"1  to copy"},
		},
		{
			name: "another name", code: exitDone, env: map[string]string{"MIGRATE_RENAME": `team/(.*) => ../apps/\1`},
			changes: map[string]http.HandlerFunc{
				"GET /distribution/registry.example.com/group/apps/app:1.2/json": problem(http.StatusNotFound, "manifest unknown"),
			},
			stdout: []string{"1  to copy, of 1 images\n", "        1  repositories are renamed:\n           team/app -> registry.example.com/group/apps/app\n"},
		},
		{
			name: "a name that GitLab does not take", code: exitIncomplete,
			changes: map[string]http.HandlerFunc{"DescribeRepositories": ecrAnswer(http.StatusOK, map[string]any{"repositories": []any{map[string]string{
				"repositoryName": "a/b/c/d", "repositoryUri": sourceHost + "/a/b/c/d",
			}}})},
			stdout: []string{"1  are refused", "Would not be migrated:", "a/b/c/d:1.2", "set MIGRATE_NAME_SEPARATOR"},
		},
		{
			name: "no permission for layers", code: exitIncomplete,
			changes: map[string]http.HandlerFunc{
				"GetDownloadUrlForLayer":      ecrError("AccessDeniedException", "no"),
				"BatchCheckLayerAvailability": ecrError("AccessDeniedException", "no"),
			},
			stdout: []string{
				"Permissions:", "ecr:BatchCheckLayerAvailability fails for 1 repositories: team/app", "must allow ecr:BatchCheckLayerAvailability",
				"ecr:GetDownloadUrlForLayer fails for", "cannot get a layer of team/app: AccessDeniedException", "must allow ecr:GetDownloadUrlForLayer",
			},
		},
		{
			name: "no permission at the bucket", code: exitIncomplete, bucket: http.StatusForbidden,
			stdout: []string{
				"Permissions:", "  S3: s3:GetObject fails for 1 repositories: team/app\n    cannot read a layer from 127.0.0.1:",
				": 403 Forbidden: AccessDenied: no\n", "the S3 endpoint policy must allow s3:GetObject on arn:aws:s3:::prod-REGION-starport-layer-bucket/*",
			},
		},
		{
			name: "no permission for manifests", code: exitIncomplete, changes: map[string]http.HandlerFunc{"BatchGetImage": ecrError("AccessDeniedException", "no")},
			stdout: []string{"1  could not be planned", "Would not be migrated:", "team/app:1.2", "must allow ecr:BatchGetImage"},
		},
		{
			name: "no permission to read at GitLab", code: exitIncomplete,
			changes: map[string]http.HandlerFunc{resolvePath: problem(http.StatusForbidden, "denied: requested access to the resource is denied")},
			stdout:  []string{"1  could not be planned", "team/app:1.2", "denied: requested access", "GitLab denies reading"},
		},
		{
			name: "no permission to list", code: exitFailed,
			changes: map[string]http.HandlerFunc{"DescribeRepositories": ecrError("AccessDeniedException", "no")},
			stderr:  []string{"cannot list the repositories", "must allow ecr:DescribeRepositories"},
		},
		{
			name: "no login", code: exitFailed, changes: map[string]http.HandlerFunc{authPath: problem(http.StatusUnauthorized, "unauthorized: access denied")},
			stderr: []string{"refuses the login"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			changes := layerAnswers(t, cmp.Or(test.bucket, http.StatusPartialContent))
			maps.Copy(changes, test.changes)
			w := newWorld(t, changes)
			maps.Copy(w.env, test.env)
			code, stdout, stderr := w.runAtOnce(t, append([]string{"plan"}, test.args...)...)
			if code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			if test.stdout != nil {
				assertParts(t, "stdout", stdout, test.stdout...)
			}
			assertParts(t, "stderr", stderr, test.stderr...)
			w.expectNothingMoved(t)
		})
	}
}

// A plan does not change the report of earlier runs, but takes it into account.
func TestPlanReadsTheReport(t *testing.T) {
	w := classicWorld(t)
	maps.Copy(w.amazon.answers, layerAnswers(t, http.StatusPartialContent))
	dir := t.TempDir()
	w.env["MIGRATE_REPORT_DIR"] = dir
	if code, stdout, stderr := w.runAtOnce(t); code != exitDone {
		t.Fatalf("exit code %d:\n%s%s", code, stdout, stderr)
	}
	before := reportOf(t, dir)
	code, stdout, _ := w.runAtOnce(t, "plan")
	assertParts(t, "stdout", stdout, "1  are at GitLab already", "0  to copy")
	if after := reportOf(t, dir); code != exitDone || after.Ended != before.Ended || after.Counts["changed"] != 1 {
		t.Errorf("exit code %d, and the report has become %+v", code, after)
	}
	w.env["MIGRATE_REPORT_DIR"] = t.TempDir()
	_, stdout, _ = w.runAtOnce(t, "plan")
	assertParts(t, "stdout", stdout, "0  are at GitLab already", "1  to copy", "1  of them may be somebody else's at GitLab: see below")
	if names, err := filepath.Glob(filepath.Join(w.env["MIGRATE_REPORT_DIR"], "*")); err != nil || len(names) > 0 {
		t.Errorf("it has written %q (%v)", names, err)
	}
}

func TestVerify(t *testing.T) {
	pulled := targetRepo + "@" + digest.FromString(aManifest(1)).String()
	w := newWorld(t, map[string]http.HandlerFunc{"DELETE /images/" + pulled: jsonAnswer(http.StatusOK, []any{})})
	dir := t.TempDir()
	w.env["MIGRATE_REPORT_DIR"] = dir
	code, stdout, stderr := w.runAtOnce(t, "verify")
	assertParts(t, "stdout before", stdout, "Verify: 1 tags are compared", "missing       team/app:1.2", "0 of 1 tags are at", "1  missing", "GitLab does not have it")
	if r := reportOf(t, dir); code != exitIncomplete || stderr != "" || r.Counts["missing"] != 1 || !r.Finished {
		t.Errorf("before: exit code %d, report %+v, stderr %s", code, r, stderr)
	}
	w.expectNothingMoved(t)

	if code, stdout, stderr := w.runAtOnce(t); code != exitDone {
		t.Fatalf("exit code %d:\n%s%s", code, stdout, stderr)
	}
	pulls := len(w.daemon.asked(pullPath))
	code, stdout, _ = w.runAtOnce(t, "verify")
	assertParts(t, "stdout after", stdout, "exact         team/app:1.2", "1 of 1 tags are at", "1  exact")
	if r := reportOf(t, dir); code != exitDone || r.Counts["exact"] != 1 || len(w.daemon.asked(pullPath)) != pulls {
		t.Errorf("after: exit code %d, report %+v", code, r)
	}

	code, stdout, _ = w.runAtOnce(t, "verify", "--pull", "3")
	assertParts(t, "stdout with a pull", stdout, "pulled        team/app:1.2", "exact         team/app:1.2", "1 of 1 tags", "1  pulled")
	asked := w.daemon.asked(pullPath)
	if code != exitDone || len(asked) != pulls+1 || len(w.daemon.asked(pushPath)) != 1 {
		t.Fatalf("exit code %d, %d pulls", code, len(asked)-pulls)
	}
	last := asked[len(asked)-1]
	if got := last.query.Get("fromImage") + "@" + last.query.Get("tag"); got != pulled || decodeAuth(t, last).ServerAddress != targetHost {
		t.Errorf("pulled %s with the credentials for %s", got, decodeAuth(t, last).ServerAddress)
	}
	if removed := w.daemon.asked("DELETE /images/" + pulled); len(removed) != 1 {
		t.Errorf("removed %d times", len(removed))
	}
}

// Only the report knows the digest that the classic store has created.
func TestVerifyGoesByTheReport(t *testing.T) {
	w := classicWorld(t)
	w.env["MIGRATE_REPORT_DIR"] = t.TempDir()
	if code, stdout, stderr := w.runAtOnce(t); code != exitDone {
		t.Fatalf("exit code %d:\n%s%s", code, stdout, stderr)
	}
	for range 2 { // it keeps the pair
		code, stdout, _ := w.runAtOnce(t, "verify")
		assertParts(t, "stdout", stdout, "changed       team/app:1.2", "1 of 1 tags", "Digests that differ, ECR -> GitLab:")
		if code != exitDone {
			t.Errorf("exit code %d", code)
		}
	}
	w.env["MIGRATE_REPORT_DIR"] = ""
	code, stdout, _ := w.runAtOnce(t, "verify")
	assertParts(t, "stdout without the report", stdout, "conflict      team/app:1.2", "0 of 1 tags", "GitLab has another image under this tag")
	if code != exitIncomplete {
		t.Errorf("exit code %d", code)
	}
}

// Tags that were not selected are not taken for deleted: a later run of everything still knows them.
func TestChosenRunKeepsTheReport(t *testing.T) {
	w := classicWorld(t)
	w.env["MIGRATE_REPORT_DIR"] = t.TempDir()
	for _, run := range []struct{ tags, outcome string }{{"", "changed"}, {"v*", ""}, {"", "present"}} {
		w.env["MIGRATE_TAGS"] = run.tags
		code, stdout, stderr := w.runAtOnce(t)
		r := reportOf(t, w.env["MIGRATE_REPORT_DIR"])
		if code != exitDone || run.outcome != "" && r.Counts[run.outcome] != 1 {
			t.Errorf("exit code %d, want one %s:\n%s%s", code, run.outcome, stdout, stderr)
		}
	}
	if pushes := w.daemon.asked(pushPath); len(pushes) != 1 {
		t.Errorf("%d pushes", len(pushes))
	}
}
