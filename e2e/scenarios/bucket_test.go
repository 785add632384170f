package scenarios

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/aws"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/faults"
)

// When a read from ECR's bucket fails, engines quote its signed URL. No part of the signature appears in the program's
// output, which names the bucket even if the engine does not.
func TestSignedURLsStayHidden(t *testing.T) {
	t.Parallel()
	soon := []string{"MIGRATE_DEADLINE=20s"} // it would retry for minutes
	for _, test := range []struct {
		name    string
		prepare func(s *scene)
		fault   func() *faults.Fault
		exit    int
		env     []string
	}{
		{name: "refusing", prepare: func(s *scene) { s.AWS.DenyBucket(true) }, exit: 3},
		{name: "expired", prepare: func(s *scene) { s.AWS.ExpireURLs(true) }, exit: 3},
		{name: "cutting", fault: func() *faults.Fault { return faults.CutReads(forEver, 0) }, exit: 4, env: soon},
		{name: "failing", fault: func() *faults.Fault {
			return faults.Bucket(http.StatusInternalServerError, "InternalError", "We encountered an internal error. Please try again.", forEver)
		}, exit: 4, env: soon},
	} {
		for _, kind := range engine.Kinds() {
			t.Run(fmt.Sprintf("%s/%s", test.name, kind), func(t *testing.T) {
				t.Parallel() // it mostly waits
				options := world.Options{}
				if test.fault != nil {
					options.AWS.Wrap = test.fault().Wrap
				}
				s := startScene(t, kind, options)
				s.fillWith(t, "docker-manifest")
				if test.prepare != nil {
					test.prepare(s)
				}
				reports := t.TempDir()
				outcome := s.run(t, slices.Concat(test.env, []string{"MIGRATE_REPORT_DIR=" + reports})...)
				expectExit(t, outcome, test.exit)
				written := outcome.Stdout + outcome.Stderr
				if test.exit == 3 {
					expectOutput(t, written, strings.Split(s.AWS.BucketHost, ":")[0])
				}
				s.expectNoSignature(t, written+readAll(t, reports))
				expectNothingLeft(t, s.Engine)
			})
		}
	}
}

// forEver is the number of times that a permanent fault strikes.
const forEver = 1 << 30

// Engines do quote signed URLs; otherwise the test above would prove nothing.
func TestTheEngineQuotesSignedURLs(t *testing.T) {
	s := startScene(t, engine.Containerd, world.Options{})
	s.fillWith(t, "docker-manifest")
	s.AWS.DenyBucket(true)
	said := s.pull(t, "shapes/docker-manifest:1.0")
	for _, kind := range []string{"X-Amz-Signature", "X-Amz-Security-Token", "X-Amz-Credential"} {
		if !slices.Contains(s.secrets.Shown(said), kind) {
			t.Errorf("no %s in %q", kind, said)
		}
	}
}

// expectNoSignature searches for parts of the bucket's signed URLs, and checks that there were any.
func (s *scene) expectNoSignature(t *testing.T, written string) {
	t.Helper()
	for _, kind := range []string{"X-Amz-Signature", "X-Amz-Security-Token", "X-Amz-Credential"} {
		if !slices.Contains(s.secrets.Kinds(), kind) {
			t.Errorf("no %s has passed by", kind)
		}
	}
	if shown := s.secrets.Shown(written); len(shown) > 0 {
		t.Errorf("what is written shows %q", shown)
	}
	if part := signedPart.FindString(written); part != "" {
		t.Errorf("a part of a signed URL is written: %s", part)
	}
}

// signedPart matches a query parameter, but not the element of the same name in S3's XML.
var signedPart = regexp.MustCompile(`(?i)x-amz-[a-z-]+(=|%3d|\\u003d)`)

// readAll returns the content of the four reports in the folder.
func readAll(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) < 4 {
		t.Fatalf("report.json, report.html, junit.xml and references.csv are wanted, and %q are there (%v)", files, err)
	}
	var all strings.Builder
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(content)
	}
	return all.String()
}

// Engines that pull a blob by digest ask the registry for it first. Images arrive complete, whatever the response.
func TestBlobsAskedFor(t *testing.T) {
	t.Parallel()
	for _, status := range []int{
		http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusTemporaryRedirect,
	} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			asked := faults.Answered(func(r *http.Request) bool {
				return r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/blobs/sha256:")
			}, status)
			s := startScene(t, engine.Containerd, world.Options{AWS: aws.Options{HeadBlobs: status, Wrap: asked.Wrap}})
			shapes := s.fillWith(t, "docker-manifest", "oci-index", "shared-one", "shared-two")
			outcome := s.run(t)
			expectExit(t, outcome, 0)
			s.expectArrived(t, outcome.Stdout, shapes...)
			expectNothingLeft(t, s.Engine)
			if asked.Struck() == 0 {
				t.Errorf("the engine has asked for no blob")
			}
		})
	}
}

// A plan reports whether the job can read the bucket, which neither ECR nor IAM policies determine. It tries again after an
// error that passes.
func TestPlanReadsTheBucket(t *testing.T) {
	passing := faults.Bucket(http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.", 1)
	s := startScene(t, engine.Containerd, world.Options{AWS: aws.Options{Wrap: passing.Wrap}})
	s.fillWith(t, "docker-manifest")
	const bucket = "prod-eu-central-1-starport-layer-bucket"
	outcome := s.command(t, []string{"plan"})
	expectExit(t, outcome, 0)
	if n := s.AWS.BucketRequests(); n != 1 || passing.Struck() != 1 {
		t.Errorf("%d requests to the bucket after %d errors", n, passing.Struck())
	}
	s.AWS.DenyBucket(true)
	outcome = s.command(t, []string{"plan"})
	expectOutput(t, outcome.Stdout+outcome.Stderr, bucket+".s3.eu-central-1.amazonaws.com", "s3:GetObject", "AccessDenied: Access Denied")
	s.expectNoSignature(t, outcome.Stdout+outcome.Stderr)
}
