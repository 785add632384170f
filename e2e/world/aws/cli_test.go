package aws

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// cli runs the AWS CLI and returns its standard output, or an error with its standard error.
func cli(t *testing.T, s *Server, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("aws")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("no AWS CLI: apt-get install awscli")
		}
		t.Skip("no AWS CLI: apt-get install awscli")
	}
	setEnv(t, append(s.Env(), "AWS_PAGER="))
	// Debian 12's CLI does not support AWS_ENDPOINT_URL.
	cmd := exec.CommandContext(t.Context(), path, append(args, "--endpoint-url", s.Endpoint)...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}

func TestCLICallerIdentity(t *testing.T) {
	s := start(t, Options{AccountID: "111122223333"})
	out, err := cli(t, s, "sts", "get-caller-identity", "--output", "json")
	check(t, err)
	var identity struct{ Account, Arn, UserID string }
	check(t, json.Unmarshal([]byte(out), &identity))
	equal(t, "account", identity.Account, "111122223333")
	equal(t, "ARN", identity.Arn, "arn:aws:iam::111122223333:user/gitlab-ci")

	s.SecretAccessKey = "wrong"
	_, err = cli(t, s, "sts", "get-caller-identity")
	if err == nil || !strings.Contains(err.Error(), "(SignatureDoesNotMatch)") {
		t.Errorf("with a wrong secret: %v", err)
	}
}

// TestCLIPages lists as the tutorial's script does, with the CLI's own paging on top of ECR's.
func TestCLIPages(t *testing.T) {
	s := start(t, Options{})
	var want []string
	create(t, s, "team/app", "other")
	for i := range 5 {
		tag := fmt.Sprintf("v%d", i)
		pushImage(t, s, "team/app", tag)
		want = append(want, tag)
	}
	repos, err := cli(t, s, "ecr", "describe-repositories", "--page-size", "1", "--query", "repositories[].repositoryName", "--output", "json")
	check(t, err)
	equal(t, "repositories", decodeStrings(t, repos), []string{"other", "team/app"})

	describe := []string{"ecr", "describe-images", "--repository-name", "team/app", "--filter", "tagStatus=TAGGED", "--output", "json", "--page-size", "2"}
	tags, err := cli(t, s, append(describe, "--query", "imageDetails[].imageTags[]")...)
	check(t, err)
	equal(t, "tags", slices.Sorted(slices.Values(decodeStrings(t, tags))), want)
	equal(t, "pages", s.Calls()["DescribeImages"], 3)

	var got []string
	for token, more := "", true; more; {
		args := append(describe, "--max-items", "3")
		if token != "" {
			args = append(args, "--starting-token", token)
		}
		var page struct {
			ImageDetails []struct{ ImageTags []string }
			NextToken    string
		}
		out, err := cli(t, s, args...)
		check(t, err)
		check(t, json.Unmarshal([]byte(out), &page))
		for _, d := range page.ImageDetails {
			got = append(got, d.ImageTags...)
		}
		token, more = page.NextToken, page.NextToken != ""
	}
	equal(t, "tags, three at a time", slices.Sorted(slices.Values(got)), want)
}

func TestCLILoginPassword(t *testing.T) {
	s := start(t, Options{})
	create(t, s, "app")
	pushImage(t, s, "app", "v1")
	password, err := cli(t, s, "ecr", "get-login-password")
	check(t, err)
	_, err = remote.Get(ref(t, s, "app:v1"), as(authn.AuthConfig{Username: "AWS", Password: password}))
	checkStatus(t, err, 0, "")
	_, err = remote.Get(ref(t, s, "app:v1"), as(authn.AuthConfig{Username: "AWS", Password: password + "x"}))
	checkStatus(t, err, http.StatusUnauthorized, "")
}

func TestCLIErrors(t *testing.T) {
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"describe-images", "--repository-name", "nowhere"}, "(RepositoryNotFoundException) when calling the DescribeImages operation: The repository with name 'nowhere'"},
		{[]string{"create-repository", "--repository-name", "new"}, "(AccessDeniedException) when calling the CreateRepository operation: User: arn:aws:iam::"},
	}
	s := start(t, Options{})
	for _, tt := range tests {
		_, err := cli(t, s, append([]string{"ecr"}, tt.args...)...)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("aws ecr %v: %v, want …%s…", tt.args, err, tt.want)
		}
	}
}

func decodeStrings(t *testing.T, s string) (all []string) {
	t.Helper()
	check(t, json.Unmarshal([]byte(s), &all))
	return all
}
