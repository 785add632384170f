package scenarios

import (
	"maps"
	"strings"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

// A plan predicts what a migration then does, and copies nothing.
func TestPlan(t *testing.T) {
	t.Parallel()
	s := startScene(t, engine.Containerd, world.Options{})
	shapes := s.fillWith(t, "docker-manifest", "oci-index", "shared-one", "shared-two", "twelve-tags", "referred-image")
	before := s.command(t, []string{"plan", "--within", "1h"})
	expectExit(t, before, 0)
	expectOutput(t, before.Stdout, "Plan of a migration to "+s.GitLab.Image, "17  tags in ECR, of 6 images in 6 repositories",
		" 0  are at GitLab already", "17  to copy, of 6 images", "2  signatures, SBOMs and other referrers", "one job", "Within 1h0m0s",
		"layers are accessible")
	if out, in := s.AWS.BlobBytesOut(), s.GitLab.BytesIn(); out > 6 || in > 0 { // the first byte of a layer of each repository
		t.Errorf("%d bytes have left ECR, and %d have reached GitLab", out, in)
	}
	expectNothingLeft(t, s.Engine)

	outcome := s.run(t)
	expectExit(t, outcome, 0)
	s.expectArrived(t, outcome.Stdout, shapes...)
	after := s.command(t, []string{"plan"})
	expectExit(t, after, 0)
	expectOutput(t, after.Stdout, "17  are at GitLab already", " 0  to copy, of 0 images", "0 B  to pull from ECR")
}

// A plan shows what the engine's store cannot carry.
func TestPlanForTheClassicStore(t *testing.T) {
	s := startScene(t, engine.Classic, world.Options{})
	s.fillWith(t, "docker-manifest", "oci-index", "zstd")
	outcome := s.command(t, []string{"plan"})
	expectExit(t, outcome, 3)
	expectOutput(t, outcome.Stdout, "1  to copy, of 1 images", "2  are refused", "would flatten this index", "cannot read a layer of type")
	expectNothingLeft(t, s.Engine)
}

// Each action that the policy lacks is reported, without a pull.
func TestPlanNamesWhatThePolicyLacks(t *testing.T) {
	for action, code := range map[string]int{
		"GetAuthorizationToken": 1, "DescribeRepositories": 1, "DescribeImages": 1, "BatchGetImage": 3,
		"BatchCheckLayerAvailability": 3, "GetDownloadUrlForLayer": 3,
	} {
		t.Run(action, func(t *testing.T) {
			s := startScene(t, engine.Containerd, world.Options{})
			s.fillWith(t, "docker-manifest")
			s.AWS.Deny(action)
			outcome := s.command(t, []string{"plan"})
			expectExit(t, outcome, code)
			expectOutput(t, outcome.Stdout+outcome.Stderr, "must allow ecr:"+action)
		})
	}
}

// A verification finds everything that is present, pulls some of it, and reports what is missing.
func TestVerify(t *testing.T) {
	t.Parallel()
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := startScene(t, kind, world.Options{})
			names, good := []string{"docker-manifest", "oci-manifest", "shared-one", "twelve-tags"}, "changed"
			if kind == engine.Containerd {
				names, good = append(names, "not-for-host", "attested-platforms", "windows", "charts/webshop", "referred-index"), "exact"
			}
			shapes := s.fillWith(t, names...)
			report := "MIGRATE_REPORT_DIR=" + t.TempDir()
			expectExit(t, s.command(t, []string{"verify"}, report), 3)
			expectExit(t, s.run(t, report), 0)
			sent := s.GitLab.Uploads()

			outcome := s.command(t, []string{"verify", "--pull", "50"}, report)
			expectExit(t, outcome, 0)
			for _, shape := range shapes {
				for _, tag := range shape.Tags {
					expectLine(t, outcome.Stdout, good, shape.Repository+":"+tag)
				}
			}
			if pulled := strings.Count(outcome.Stdout, "  pulled  "); pulled != len(shapes)+1 { // and in the summary
				t.Errorf("%d lines of pulls for %d images:\n%s", pulled, len(shapes), outcome.Stdout)
			}
			expectNothingLeft(t, s.Engine)
			if !maps.Equal(sent, s.GitLab.Uploads()) {
				t.Error("something was pushed")
			}

			putAtTarget(t, s, shapes[0].Repository, "1.0", shapes[1].Object)
			if err := s.AWS.Tag(shapes[1].Repository, "new", digestOf(t, shapes[1].Object)); err != nil {
				t.Fatal(err)
			}
			if err := s.AWS.Untag(shapes[3].Repository, shapes[3].Tags[0]); err != nil {
				t.Fatal(err)
			}
			outcome = s.command(t, []string{"verify"}, report)
			expectExit(t, outcome, 3)
			expectLine(t, outcome.Stdout, "extra", shapes[3].Repository+":"+shapes[3].Tags[0])
			expectLine(t, outcome.Stdout, "conflict", shapes[0].Repository+":1.0")
			expectLine(t, outcome.Stdout, "missing", shapes[1].Repository+":new")
			expectLine(t, outcome.Stdout, good, shapes[1].Repository+":1.0")
			expectOutput(t, outcome.Stdout, "GitLab has another image under this tag", "GitLab does not have it")
		})
	}
}

// Tags that this engine could not have copied are compared, too.
func TestVerifyOnAnotherEngine(t *testing.T) {
	t.Parallel()
	s := startScene(t, engine.Containerd, world.Options{})
	shapes := s.fillWith(t, "docker-manifest", "oci-index", "zstd")
	expectExit(t, s.run(t), 0)
	other := borrowEngine(t, engine.Classic)
	if err := s.TrustedBy(other); err != nil {
		t.Fatal(err)
	}
	outcome := s.command(t, []string{"verify", "--pull", "50"}, "DOCKER_HOST="+other.Host)
	expectExit(t, outcome, 0)
	for _, shape := range shapes {
		expectLine(t, outcome.Stdout, "exact", shape.Repository+":1.0")
	}
	expectOutput(t, outcome.Stdout, "1  pulled")
	expectNothingLeft(t, other)
}
