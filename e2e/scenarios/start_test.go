package scenarios

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/aws"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/proxy"
)

const otherAccount = "210987654321"

// Each cause that ends an entire run has its exit code, and a message with the cause and a remedy.
func TestNothingCanBeDone(t *testing.T) {
	for _, test := range []struct {
		name    string
		options aws.Options
		prepare func(*scene)
		changes []string
		exit    int
		says    []string
	}{
		{
			name: "registry of another account", changes: []string{"AWS_ACCOUNT_ID=" + otherAccount}, exit: 1,
			says: []string{"AWS_ACCOUNT_ID is " + otherAccount, "credentials belong to account 123456789012", "ecr:DescribeRepositories"},
		},
		{
			name: "identity of another account", options: aws.Options{IdentityAccountID: otherAccount}, exit: 1,
			says: []string{"AWS_ACCOUNT_ID is 123456789012", "credentials belong to account " + otherAccount},
		},
		{
			name: "secret key refused", changes: []string{"AWS_SECRET_ACCESS_KEY=" + strings.Repeat("wrong", 8)}, exit: 1,
			says: []string{"SignatureDoesNotMatch", "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"},
		},
		{
			name: "no AWS credentials", changes: []string{"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY="}, exit: 1,
			says: []string{"AWS credentials were looked for", "Settings > CI/CD > Variables"},
		},
		{
			name: "AWS out of reach", changes: []string{"AWS_ENDPOINT_URL=http://127.0.0.1:1"}, exit: 1,
			says: []string{"http://127.0.0.1:1 must be reachable", "AWS_ENDPOINT_URL", "eu-central-1"},
		},
		{
			name: "job token refused", changes: []string{"CI_REGISTRY_PASSWORD=glcbt-64_of-an-ended-job"}, exit: 1,
			says: []string{"refuses the login of gitlab-ci-token", "expire with the job", "write_registry"},
		},
		{
			name: "no permission for a token", exit: 1, prepare: func(s *scene) { s.AWS.Deny("GetAuthorizationToken") },
			says: []string{"AccessDeniedException", "must allow ecr:GetAuthorizationToken"},
		},
		{
			name: "no permission to list repositories", exit: 1, prepare: func(s *scene) { s.AWS.Deny("DescribeRepositories") },
			says: []string{"AccessDeniedException", "must allow ecr:DescribeRepositories"},
		},
		{
			name: "no permission to list images", exit: 1, prepare: func(s *scene) { s.AWS.Deny("DescribeImages") },
			says: []string{"AccessDeniedException", "must allow ecr:DescribeImages"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startScene(t, engine.Containerd, world.Options{AWS: test.options})
			s.fillWith(t, "docker-manifest")
			if test.prepare != nil {
				test.prepare(s)
			}
			outcome := s.run(t, test.changes...)
			expectExit(t, outcome, test.exit)
			expectOutput(t, outcome.Stderr, test.says...)
			expectUntouched(t, s)
		})
	}
}

// expectUntouched checks that no image was read from ECR and nothing was written to GitLab.
func expectUntouched(t *testing.T, s *scene) {
	t.Helper()
	if n := s.AWS.Calls()["BatchGetImage"]; n > 0 {
		t.Errorf("%d calls of BatchGetImage", n)
	}
	if n := s.AWS.BytesOut(); n > 0 {
		t.Errorf("%d bytes were read at ECR", n)
	}
	if n := s.GitLab.BytesIn(); n > 0 {
		t.Errorf("%d bytes were sent to GitLab", n)
	}
}

// All missing variables are reported at once, before any call.
func TestMissingVariables(t *testing.T) {
	s := startScene(t, engine.Containerd, world.Options{})
	missing := []string{"AWS_ACCOUNT_ID", "AWS_DEFAULT_REGION", "CI_REGISTRY", "CI_REGISTRY_IMAGE", "CI_REGISTRY_USER", "CI_REGISTRY_PASSWORD"}
	var changes []string
	for _, name := range missing {
		changes = append(changes, name+"=")
	}
	outcome := s.run(t, changes...)
	expectExit(t, outcome, 2)
	for _, name := range missing {
		expectOutput(t, outcome.Stderr, "- "+name+": missing")
	}
	if calls := s.AWS.Calls(); len(calls) > 0 {
		t.Errorf("AWS was called: %v", calls)
	}
}

// A registry that rejects AWS's own token ends the run before anything is listed.
func TestRegistryTokenRefused(t *testing.T) {
	s := startScene(t, engine.Containerd, world.Options{})
	s.fillWith(t, "docker-manifest")
	outcome := s.run(t, s.through(t, func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
		if proxy.CallOf(r).Verb == proxy.Login {
			s.AWS.ExpireTokens()
		}
		engine.ServeHTTP(w, r)
	}))
	expectExit(t, outcome, 1)
	expectOutput(t, outcome.Stderr, "the ECR registry "+s.AWS.RegistryHost+" refuses the login", "AWS_ACCOUNT_ID and the region")
	if n := s.AWS.Calls()["DescribeRepositories"]; n > 0 {
		t.Errorf("the registry was listed %d times", n)
	}
}

func TestNothingToDo(t *testing.T) {
	t.Run("empty registry", func(t *testing.T) {
		s := startScene(t, engine.Containerd, world.Options{})
		outcome := s.run(t)
		expectExit(t, outcome, 0)
		expectOutput(t, outcome.Stdout, "ECR: 0 tags of 0 images in 0 repositories")
		expectOutput(t, outcome.Stdout, "Nothing was migrated, because ECR has no tag to migrate here.")
	})
	t.Run("repository without tags", func(t *testing.T) {
		s := startScene(t, engine.Containerd, world.Options{})
		shapes := s.fillWith(t, "docker-manifest", "oci-manifest")
		if err := s.AWS.Untag(shapes[0].Repository, shapes[0].Tags[0]); err != nil {
			t.Fatal(err)
		}
		if _, err := s.AWS.CreateRepository("never/pushed"); err != nil {
			t.Fatal(err)
		}
		outcome := s.run(t)
		expectExit(t, outcome, 0)
		expectOutput(t, outcome.Stdout, "no tags in: never/pushed, shapes/docker-manifest")
		s.expectArrived(t, outcome.Stdout, shapes[1])
	})
}

// A job with an ID token needs no keys.
func TestWebIdentity(t *testing.T) {
	s := startScene(t, engine.Containerd, world.Options{AWS: aws.Options{WebIdentityToken: "eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl"}})
	shapes := s.fillWith(t, "docker-manifest")
	outcome := run(t, s.EnvWith(s.AWS.WebIdentityEnv()))
	expectExit(t, outcome, 0)
	expectOutput(t, outcome.Stdout, "AWS: account 123456789012, arn:aws:sts::123456789012:assumed-role/gitlab-ci/ecr2gitlab")
	s.expectArrived(t, outcome.Stdout, shapes...)
	s.expectNoSecrets(t, outcome)
	if kinds := s.secrets.Kinds(); !slices.Contains(kinds, "SessionToken") || !slices.Contains(kinds, "SecretAccessKey") {
		t.Errorf("the role's credentials were not looked for, only %q", kinds)
	}
}

func TestWebIdentityRefused(t *testing.T) {
	s := startScene(t, engine.Containerd, world.Options{AWS: aws.Options{WebIdentityToken: "eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl"}})
	outcome := run(t, append(s.EnvWith(s.AWS.WebIdentityEnv()), "AWS_WEB_IDENTITY_TOKEN=eyJhbGciOiJSUzI1NiJ9.e30.of-another-issuer"))
	expectExit(t, outcome, 1)
	expectOutput(t, outcome.Stderr, "InvalidIdentityToken", "check AWS_ROLE_ARN, and AWS_WEB_IDENTITY_TOKEN")
	if strings.Contains(outcome.Stderr+outcome.Stdout, "of-another-issuer") {
		t.Error("the output shows the token")
	}
}

// An identity of another account can migrate if the registry's policy allows it, and is told what it needs.
func TestAllowedIdentityOfAnotherAccount(t *testing.T) {
	s := startScene(t, engine.Containerd, world.Options{AWS: aws.Options{IdentityAccountID: otherAccount, CrossAccount: true}})
	shapes := s.fillWith(t, "docker-manifest")
	outcome := s.run(t)
	expectExit(t, outcome, 0)
	expectOutput(t, outcome.Stdout, "AWS: account "+otherAccount, "does not belong to the account whose registry is migrated, 123456789012")
	s.expectArrived(t, outcome.Stdout, shapes...)
}
