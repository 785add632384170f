package bench

import (
	"context"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/aws"
)

func TestLineWatcher(t *testing.T) {
	tests := map[string]struct {
		writes []string
		found  int
	}{
		"one line":       {[]string{"Plan: 3 to copy\n"}, 1},
		"in pieces":      {[]string{"one\nPl", "an: 3 to", " copy\nthree\n"}, 1},
		"twice":          {[]string{"Plan: 3\nPlan: 4\n"}, 1},
		"not at the end": {[]string{"no Plan: 3\n"}, 0},
		"not yet whole":  {[]string{"Plan: 3"}, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			found := 0
			w := &lineWatcher{prefix: "Plan:", found: func() { found++ }}
			for _, text := range tt.writes {
				if n, err := w.Write([]byte(text)); n != len(text) || err != nil {
					t.Errorf("wrote %d, %v", n, err)
				}
			}
			if found != tt.found || w.text.String() != strings.Join(tt.writes, "") {
				t.Errorf("found %d times in %q, want %d", found, w.text.String(), tt.found)
			}
		})
	}
}

func TestPlanOnly(t *testing.T) {
	program := func(script string) func(context.Context, []string, ...string) *exec.Cmd {
		return func(ctx context.Context, _ []string, _ ...string) *exec.Cmd { return command(ctx, "sh", "-c", script) }
	}
	sample, err := planOnly(t.Context(), program("trap 'kill $!; exit 143' TERM; sleep 60 & sleep 0.1; echo 'Plan: 3 to copy'; wait"), nil)
	if err != nil || sample.Planned < 0.1 || sample.Planned > 10 || sample.PeakMemory == 0 {
		t.Errorf("got %v, %v", sample, err)
	}
	if _, err := planOnly(t.Context(), program("echo no engine; exit 1"), nil); err == nil || !strings.Contains(err.Error(), "no engine") {
		t.Errorf("error %v of a program that ends before its plan", err)
	}
}

// TestSimulate reads the first repositories of the account as a client would.
func TestSimulate(t *testing.T) {
	server, err := aws.Start(t.Context(), aws.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close() //nolint:errcheck // nothing was stored
	const repositories = 10
	if err := simulate(server, repositories); err != nil {
		t.Fatal(err)
	}
	client := ecrClient(server)
	tags, indexes := 0, 0
	listed, err := client.DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, repository := range listed.Repositories {
		images, err := client.DescribeImages(t.Context(), &ecr.DescribeImagesInput{
			RepositoryName: repository.RepositoryName,
			Filter:         &types.DescribeImagesFilter{TagStatus: types.TagStatusTagged},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, image := range images.ImageDetails {
			tags += len(image.ImageTags)
			indexes += checkSimulated(t, client, awssdk.ToString(repository.RepositoryName), awssdk.ToString(image.ImageDigest))
		}
	}
	if tags != repositories*scaleImages || indexes != tags/5 {
		t.Errorf("%d tags, %d of them on indexes, want %d and a fifth of them", tags, indexes, repositories*scaleImages)
	}
}

// checkSimulated reads an image with its children and returns 1 for an index.
func checkSimulated(t *testing.T, client *ecr.Client, repository, digest string) int {
	t.Helper()
	out, err := client.BatchGetImage(t.Context(), &ecr.BatchGetImageInput{
		RepositoryName: &repository, ImageIds: []types.ImageIdentifier{{ImageDigest: &digest}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Images) != 1 {
		t.Fatalf("%s@%s: %d images", repository, digest, len(out.Images))
	}
	var m struct {
		Layers, Manifests []ocispec.Descriptor
		Config            ocispec.Descriptor
	}
	if err := json.Unmarshal([]byte(awssdk.ToString(out.Images[0].ImageManifest)), &m); err != nil {
		t.Fatal(err)
	}
	for _, child := range m.Manifests {
		checkSimulated(t, client, repository, child.Digest.String())
	}
	switch {
	case len(m.Manifests) == 4 && len(m.Layers) == 0:
		return 1
	case len(m.Manifests) > 0 || len(m.Layers) != 2 && (len(m.Layers) < 8 || len(m.Layers) > 12):
		t.Errorf("%s@%s has %d children and %d layers", repository, digest, len(m.Manifests), len(m.Layers))
	}
	return 0
}

func ecrClient(server *aws.Server) *ecr.Client {
	return ecr.New(ecr.Options{
		Region:       server.Region,
		BaseEndpoint: awssdk.String(server.Endpoint),
		Credentials: awssdk.CredentialsProviderFunc(func(context.Context) (awssdk.Credentials, error) {
			return awssdk.Credentials{AccessKeyID: server.AccessKeyID, SecretAccessKey: server.SecretAccessKey}, nil
		}),
	})
}
