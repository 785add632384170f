package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/smithy-go"
	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/ecr"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
)

const account = "123456789012"

var app = image.Repository{Name: "team/app", URI: "registry.example/team/app"}

// fakeECR responds with its functions; a call that a test does not expect panics.
type fakeECR struct {
	describeRepositories  func(*awsecr.DescribeRepositoriesInput) (*awsecr.DescribeRepositoriesOutput, error)
	describeImages        func(*awsecr.DescribeImagesInput) (*awsecr.DescribeImagesOutput, error)
	batchGetImage         func(*awsecr.BatchGetImageInput) (*awsecr.BatchGetImageOutput, error)
	checkLayer            func(*awsecr.BatchCheckLayerAvailabilityInput) (*awsecr.BatchCheckLayerAvailabilityOutput, error)
	getLayer              func(*awsecr.GetDownloadUrlForLayerInput) (*awsecr.GetDownloadUrlForLayerOutput, error)
	getAuthorizationToken func(context.Context, *awsecr.GetAuthorizationTokenInput) (*awsecr.GetAuthorizationTokenOutput, error)
}

func (f *fakeECR) DescribeRepositories(_ context.Context, in *awsecr.DescribeRepositoriesInput, _ ...func(*awsecr.Options)) (*awsecr.DescribeRepositoriesOutput, error) {
	return f.describeRepositories(in)
}

func (f *fakeECR) DescribeImages(_ context.Context, in *awsecr.DescribeImagesInput, _ ...func(*awsecr.Options)) (*awsecr.DescribeImagesOutput, error) {
	return f.describeImages(in)
}

func (f *fakeECR) BatchGetImage(_ context.Context, in *awsecr.BatchGetImageInput, _ ...func(*awsecr.Options)) (*awsecr.BatchGetImageOutput, error) {
	return f.batchGetImage(in)
}

func (f *fakeECR) BatchCheckLayerAvailability(
	_ context.Context, in *awsecr.BatchCheckLayerAvailabilityInput, _ ...func(*awsecr.Options),
) (*awsecr.BatchCheckLayerAvailabilityOutput, error) {
	return f.checkLayer(in)
}

func (f *fakeECR) GetDownloadUrlForLayer( //nolint:staticcheck // the AWS SDK's name
	_ context.Context, in *awsecr.GetDownloadUrlForLayerInput, _ ...func(*awsecr.Options),
) (*awsecr.GetDownloadUrlForLayerOutput, error) {
	return f.getLayer(in)
}

func (f *fakeECR) GetAuthorizationToken(ctx context.Context, in *awsecr.GetAuthorizationTokenInput, _ ...func(*awsecr.Options)) (*awsecr.GetAuthorizationTokenOutput, error) {
	return f.getAuthorizationToken(ctx, in)
}

func amazonOver(registry registryAPI) *amazon {
	return newAmazonOver(nil, registry, Config{AccountID: account, Region: "eu-west-1"}, time.Now)
}

// page returns the items after the token's position, and the token of the next page.
func page[T any](items []T, token *string, size int) ([]T, *string) {
	start := 0
	if token != nil {
		if _, err := fmt.Sscanf(*token, "from %d", &start); err != nil {
			panic(err)
		}
	}
	end := min(start+size, len(items))
	if end == len(items) {
		return items[start:], nil
	}
	return items[start:end], aws.String(fmt.Sprintf("from %d", end))
}

func TestRepositories(t *testing.T) {
	for _, count := range []int{0, 1, 3, 4} {
		var all []types.Repository
		var want []image.Repository
		for i := range count {
			name := fmt.Sprintf("team/%d", count-i) // the registry does not sort by name
			all = append(all, types.Repository{RepositoryName: &name, RepositoryUri: aws.String("registry.example/" + name)})
			want = append(want, image.Repository{Name: name, URI: "registry.example/" + name})
		}
		a := amazonOver(&fakeECR{describeRepositories: func(in *awsecr.DescribeRepositoriesInput) (*awsecr.DescribeRepositoriesOutput, error) {
			if aws.ToString(in.RegistryId) != account || aws.ToInt32(in.MaxResults) != 1000 {
				t.Errorf("asked with %+v", in)
			}
			items, next := page(all, in.NextToken, 3)
			return &awsecr.DescribeRepositoriesOutput{Repositories: items, NextToken: next}, nil
		}})
		got, err := a.Repositories(t.Context())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%d repositories: got %v, %v", count, got, err)
		}
	}
}

func TestRepositoriesFailsWithAnyPage(t *testing.T) {
	a := amazonOver(&fakeECR{describeRepositories: func(in *awsecr.DescribeRepositoriesInput) (*awsecr.DescribeRepositoriesOutput, error) {
		if in.NextToken != nil {
			return nil, errors.New("broken")
		}
		return &awsecr.DescribeRepositoriesOutput{Repositories: make([]types.Repository, 1), NextToken: aws.String("x")}, nil
	}})
	got, err := a.Repositories(t.Context())
	if want := "cannot list the repositories of the ECR registry 123456789012: broken"; err == nil || err.Error() != want || got != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestImages(t *testing.T) {
	pushed := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	one, two, three, four := digest.FromString("1"), digest.FromString("2"), digest.FromString("3"), digest.FromString("4")
	listed := []types.ImageDetail{
		{
			ImageDigest: aws.String(one.String()), ImageTags: []string{"v2", "latest", "v10"}, ImagePushedAt: &pushed,
			ImageManifestMediaType: aws.String("application/vnd.oci.image.index.v1+json"), ImageSizeInBytes: aws.Int64(1 << 40),
			ArtifactMediaType: aws.String("application/vnd.oci.image.config.v1+json"), ImageStatus: types.ImageStatusActive,
		},
		{ImageDigest: aws.String(digest.FromString("child").String())},
		{ImageDigest: aws.String(two.String()), SubjectManifestDigest: aws.String(one.String())},
		{ImageDigest: aws.String(three.String()), ImageTags: []string{"old"}, ImageStatus: types.ImageStatusArchived},
		{ImageDigest: aws.String(four.String()), ImageTags: []string{"restored"}, ImageStatus: types.ImageStatusActivating},
		{ImageDigest: aws.String(one.String()), ImageTags: []string{"latest", "just-pushed"}},
	}
	want := []image.Image{
		{
			Repository: app, Digest: one, Tags: []string{"just-pushed", "latest", "v10", "v2"}, PushedAt: pushed,
			MediaType: "application/vnd.oci.image.index.v1+json", ArtifactType: "application/vnd.oci.image.config.v1+json", Size: 1 << 40,
		},
		{Repository: app, Digest: two, Subject: one},
		{Repository: app, Digest: three, Tags: []string{"old"}, Archived: true},
		{Repository: app, Digest: four, Tags: []string{"restored"}, Archived: true},
	}
	for _, size := range []int{1, 2, 100} {
		a := amazonOver(&fakeECR{describeImages: func(in *awsecr.DescribeImagesInput) (*awsecr.DescribeImagesOutput, error) {
			if aws.ToString(in.RegistryId) != account || aws.ToString(in.RepositoryName) != app.Name || aws.ToInt32(in.MaxResults) != 1000 ||
				*in.Filter != (types.DescribeImagesFilter{ImageStatus: types.ImageStatusFilterAny}) {
				t.Errorf("asked with %+v", in)
			}
			items, next := page(listed, in.NextToken, size)
			return &awsecr.DescribeImagesOutput{ImageDetails: items, NextToken: next}, nil
		}})
		got, err := a.Images(t.Context(), app)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("pages of %d: got\n%+v, %v\nwant\n%+v", size, got, err, want)
		}
	}
}

// aManifest returns a manifest that differs for each number.
func aManifest(i int) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[{"digest":"%s","size":%d}]}`, imageHash, i)
}

func TestManifestsAsksForAHundredAtATime(t *testing.T) {
	texts := map[string]string{}
	var wanted []digest.Digest
	for i := range 250 {
		d := digest.FromString(aManifest(i))
		texts[d.String()] = aManifest(i)
		wanted = append(wanted, d, d)
	}
	var batches []int
	a := amazonOver(&fakeECR{batchGetImage: func(in *awsecr.BatchGetImageInput) (*awsecr.BatchGetImageOutput, error) {
		if aws.ToString(in.RegistryId) != account || aws.ToString(in.RepositoryName) != app.Name || !slices.Equal(in.AcceptedMediaTypes, manifestTypes) {
			t.Errorf("asked with %+v", in)
		}
		batches = append(batches, len(in.ImageIds))
		output := &awsecr.BatchGetImageOutput{}
		for _, id := range in.ImageIds {
			output.Images = append(output.Images, types.Image{ImageId: &id, ImageManifest: aws.String(texts[*id.ImageDigest])})
		}
		return output, nil
	}})
	got, failed := a.Manifests(t.Context(), app, wanted)
	if len(failed) > 0 || len(got) != 250 || !slices.Equal(batches, []int{100, 100, 50}) {
		t.Fatalf("got %d manifests in batches of %v, %v", len(got), batches, failed)
	}
	for d, manifest := range got {
		if string(manifest.Raw) != texts[d.String()] || manifest.Digest != d || manifest.MediaType != "application/vnd.oci.image.manifest.v1+json" {
			t.Errorf("%s is %+v", d, manifest)
		}
	}
}

func TestManifestsReportsEachFailure(t *testing.T) {
	good, big := aManifest(1), strings.Repeat(" ", maxManifest+1)
	tests := []struct {
		name   string
		digest digest.Digest
		image  *types.Image
		fails  *types.ImageFailure
		want   string // of its error; empty: it exists
	}{
		{name: "good", digest: digest.FromString(good), image: &types.Image{ImageManifest: &good}},
		{name: "altered", digest: digest.FromString("x"), image: &types.Image{ImageManifest: &good}, want: "manifest text does not match its digest: it has " + digest.FromString(good).String()},
		{name: "empty", digest: digest.FromString("y"), image: &types.Image{}, want: "manifest text does not match"},
		{name: "too large", digest: digest.FromString(big), image: &types.Image{ImageManifest: &big}, want: "manifest of 4194305 bytes is larger than the 4194304"},
		{
			name: "schema 1", digest: digest.FromString("schema 1"), want: "the image has a manifest of Docker's schema 1",
			image: &types.Image{ImageManifest: aws.String("{}"), ImageManifestMediaType: aws.String("application/vnd.docker.distribution.manifest.v1+json")},
		},
		{name: "no JSON", digest: digest.FromString("<html>"), image: &types.Image{ImageManifest: aws.String("<html>")}, want: "manifest is not valid JSON"},
		{name: "refused", digest: digest.FromString("z"), fails: &types.ImageFailure{FailureCode: "ImageNotFound", FailureReason: aws.String("Requested image not found")}, want: "ImageNotFound: Requested image not found"},
		{
			name: "without its key", digest: digest.FromString("kms"), want: "KmsError: the key is disabled\n  the repository's KMS key must be enabled",
			fails: &types.ImageFailure{FailureCode: types.ImageFailureCodeKmsError, FailureReason: aws.String("the key is disabled")},
		},
		{
			name: "archived meanwhile", digest: digest.FromString("archived"), want: "ImageInaccessible: no\n  the image is archived, or not yet replicated",
			fails: &types.ImageFailure{FailureCode: types.ImageFailureCodeImageInaccessible, FailureReason: aws.String("no")},
		},
		{
			name: "denied upstream", digest: digest.FromString("upstream"), want: "UpstreamAccessDenied: no\n  the image comes from an upstream registry",
			fails: &types.ImageFailure{FailureCode: types.ImageFailureCodeUpstreamAccessDenied, FailureReason: aws.String("no")},
		},
		{name: "passed over", digest: digest.FromString("silence"), want: "ECR did not return it"},
	}
	a := amazonOver(&fakeECR{batchGetImage: func(*awsecr.BatchGetImageInput) (*awsecr.BatchGetImageOutput, error) {
		output := &awsecr.BatchGetImageOutput{Failures: []types.ImageFailure{{}}} // about nothing in particular
		for _, test := range tests {
			id := &types.ImageIdentifier{ImageDigest: aws.String(test.digest.String())}
			if test.image != nil {
				test.image.ImageId = id
				output.Images = append(output.Images, *test.image)
			}
			if test.fails != nil {
				test.fails.ImageId = id
				output.Failures = append(output.Failures, *test.fails)
			}
		}
		return output, nil
	}})
	var digests []digest.Digest
	for _, test := range tests {
		digests = append(digests, test.digest)
	}
	got, failed := a.Manifests(t.Context(), app, digests)
	if len(got) != 1 || len(failed) != len(tests)-1 {
		t.Errorf("got %d manifests and %d errors", len(got), len(failed))
	}
	for _, test := range tests {
		if _, there := got[test.digest]; there != (test.want == "") {
			t.Errorf("%s: in the answer: %t", test.name, there)
		}
		if err := failed[test.digest]; (err != nil) != (test.want != "") || err != nil && !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: got %v", test.name, err)
		}
	}
}

func TestManifestsKeepsWhatItHasWhenACallFails(t *testing.T) {
	calls := 0
	a := amazonOver(&fakeECR{batchGetImage: func(in *awsecr.BatchGetImageInput) (*awsecr.BatchGetImageOutput, error) {
		if calls++; calls == 2 {
			return nil, errors.New("broken")
		}
		output := &awsecr.BatchGetImageOutput{}
		for i := range 300 {
			text := aManifest(i)
			id := types.ImageIdentifier{ImageDigest: aws.String(digest.FromString(text).String())}
			if slices.ContainsFunc(in.ImageIds, func(asked types.ImageIdentifier) bool { return *asked.ImageDigest == *id.ImageDigest }) {
				output.Images = append(output.Images, types.Image{ImageId: &id, ImageManifest: &text})
			}
		}
		return output, nil
	}})
	var digests []digest.Digest
	for i := range 300 {
		digests = append(digests, digest.FromString(aManifest(i)))
	}
	got, failed := a.Manifests(t.Context(), app, digests)
	if len(got) != 100 || len(failed) != 200 || calls != 2 {
		t.Errorf("got %d manifests and %d errors in %d calls", len(got), len(failed), calls)
	}
	for d, err := range failed {
		if _, there := got[d]; there || err.Error() != "cannot get manifests of team/app: broken" {
			t.Errorf("%s: %v", d, err)
		}
	}
}

// tokenOutput is a response of ECR.
func tokenOutput(password string, end time.Time) *awsecr.GetAuthorizationTokenOutput {
	return &awsecr.GetAuthorizationTokenOutput{AuthorizationData: []types.AuthorizationData{{
		AuthorizationToken: aws.String(base64.StdEncoding.EncodeToString([]byte("AWS:" + password))),
		ProxyEndpoint:      aws.String("https://registry.example"),
		ExpiresAt:          &end,
	}}}
}

// TestCredentialsAreRenewed requests the token at times after the start, and checks how often it has been fetched.
func TestCredentialsAreRenewed(t *testing.T) {
	type look struct {
		at   time.Duration
		want int // the number of calls so far
	}
	tests := []struct {
		name  string
		life  time.Duration
		looks []look
	}{
		{"ECR's twelve hours", 12 * time.Hour, []look{{0, 1}, {time.Hour, 1}, {11*time.Hour + 29*time.Minute, 1}, {11*time.Hour + 31*time.Minute, 2}}},
		{"ten minutes", 10 * time.Minute, []look{{0, 1}, {8 * time.Minute, 1}, {9*time.Minute + time.Second, 2}, {17 * time.Minute, 2}}},
		{"ended when it came", -24 * time.Hour, []look{{0, 1}, {0, 1}, {4 * time.Minute, 1}, {5 * time.Minute, 2}, {5*time.Minute + time.Second, 2}}},
		{"ends at once", 0, []look{{0, 1}, {time.Minute, 1}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			start := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
			clock, calls := start, 0
			registry := &fakeECR{getAuthorizationToken: func(_ context.Context, in *awsecr.GetAuthorizationTokenInput) (*awsecr.GetAuthorizationTokenOutput, error) {
				calls++
				if !slices.Equal(in.RegistryIds, []string{account}) { //nolint:staticcheck // deprecated, as fetchToken says
					t.Errorf("asked for the registries %v", in)
				}
				return tokenOutput(fmt.Sprint("token ", calls), clock.Add(test.life)), nil
			}}
			a := newAmazonOver(nil, registry, Config{AccountID: account}, func() time.Time { return clock })
			for _, look := range test.looks {
				clock = start.Add(look.at)
				got, err := a.Credentials(t.Context())
				want := ecr.RegistryAuth{Username: "AWS", Password: Secret(fmt.Sprint("token ", look.want)), ServerAddress: "registry.example"}
				if err != nil || got != want || calls != look.want {
					t.Errorf("after %s: %d calls, %q, %v; want %d", look.at, calls, string(got.Password), err, look.want)
				}
			}
		})
	}
}

func TestCredentialsSurviveAFailedRenewal(t *testing.T) {
	clock := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	calls, broken := 0, false
	registry := &fakeECR{getAuthorizationToken: func(context.Context, *awsecr.GetAuthorizationTokenInput) (*awsecr.GetAuthorizationTokenOutput, error) {
		if calls++; broken {
			return nil, errors.New("broken")
		}
		return tokenOutput("good", clock.Add(12*time.Hour)), nil
	}}
	a := newAmazonOver(nil, registry, Config{AccountID: account}, func() time.Time { return clock })
	steps := []struct {
		after time.Duration // since the previous step
		calls int
		err   bool
	}{
		{0, 1, false},
		{11*time.Hour + 45*time.Minute, 2, false}, // about to expire: the renewal fails, the token is valid
		{30 * time.Second, 2, false},              // not again immediately
		{30 * time.Second, 3, false},
		{time.Hour, 4, true}, // expired
	}
	for i, step := range steps {
		clock = clock.Add(step.after)
		got, err := a.Credentials(t.Context())
		if calls != step.calls || (err != nil) != step.err || (err == nil) != (got.Password == "good") {
			t.Errorf("step %d: %d calls, %q, %v", i, calls, string(got.Password), err)
		}
		broken = true
	}
}

func TestFetchTokenRefusesWhatIsNone(t *testing.T) {
	secret := base64.StdEncoding.EncodeToString([]byte("glcbt-secret"))
	tests := []struct {
		data []types.AuthorizationData
		want string
	}{
		{nil, "cannot get a token for the ECR registry 123456789012: the response contains none"},
		{[]types.AuthorizationData{{AuthorizationToken: &secret}}, "cannot get a token for the ECR registry 123456789012: what came is not of the form user:password"},
	}
	for _, test := range tests {
		a := amazonOver(&fakeECR{getAuthorizationToken: func(context.Context, *awsecr.GetAuthorizationTokenInput) (*awsecr.GetAuthorizationTokenOutput, error) {
			return &awsecr.GetAuthorizationTokenOutput{AuthorizationData: test.data}, nil
		}})
		if got, err := a.Credentials(t.Context()); err == nil || err.Error() != test.want || got != (ecr.RegistryAuth{}) {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

// TestCallersShareARenewal has ten concurrent callers request the token while it is being fetched.
func TestCallersShareARenewal(t *testing.T) {
	asks := map[string]func(context.Context, *amazon) error{
		"Credentials": func(ctx context.Context, a *amazon) error { _, err := a.Credentials(ctx); return err },
		"Renew":       func(ctx context.Context, a *amazon) error { _, err := a.Renew(ctx, time.Now()); return err },
	}
	for name, ask := range asks {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int32
				answer := make(chan struct{})
				a := amazonOver(&fakeECR{getAuthorizationToken: func(context.Context, *awsecr.GetAuthorizationTokenInput) (*awsecr.GetAuthorizationTokenOutput, error) {
					calls.Add(1)
					<-answer
					return tokenOutput("good", time.Now().Add(12*time.Hour)), nil
				}})
				var callers sync.WaitGroup
				for range 10 {
					callers.Go(func() {
						if err := ask(t.Context(), a); err != nil {
							t.Error(err)
						}
					})
				}
				synctest.Wait() // all are waiting: one for the response, nine for their turn
				impatient, cancel := context.WithCancel(t.Context())
				cancel()
				if err := ask(impatient, a); !errors.Is(err, context.Canceled) {
					t.Errorf("a cancelled caller gets %v", err)
				}
				close(answer)
				callers.Wait()
				if calls.Load() != 1 {
					t.Errorf("%d calls for ten callers at a time", calls.Load())
				}
			})
		})
	}
}

// impatient retries like its Retryer, but without delay.
type impatient struct{ aws.Retryer }

func (impatient) RetryDelay(int, error) (time.Duration, error) { return 0, nil }

// awsEnv is the environment of a job with AWS at the endpoint.
func awsEnv(t *testing.T, endpoint string, changes map[string]string) {
	t.Helper()
	setEnv(t, map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "aws-secret", "AWS_ENDPOINT_URL": endpoint,
		"AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE":           filepath.Join(t.TempDir(), "config"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(t.TempDir(), "credentials"),
	})
	for name, value := range changes {
		t.Setenv(name, value)
	}
}

// realAmazon returns an amazon with the SDK's real clients, which do not wait between attempts.
func realAmazon(t *testing.T, changes ...func(*aws.Config)) *amazon {
	t.Helper()
	cfg, err := loadConfig(processEnv())
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := ecr.Load(t.Context(), cfg.login(), redact.New())
	if err != nil {
		t.Fatal(err)
	}
	loaded.Retryer = func() aws.Retryer { return impatient{ecr.NewRetryer()} }
	for _, change := range changes {
		change(&loaded)
	}
	return newAmazonFrom(loaded, cfg)
}

// standIn is an AWS that records the requests, and responds by action.
type standIn struct {
	answers map[string]http.HandlerFunc
	mu      sync.Mutex
	calls   []string // actions
	forms   []string // STS's bodies
	auths   []string // Authorization headers
}

func startStandIn(t *testing.T, answers map[string]http.HandlerFunc) (*standIn, string) {
	s := &standIn{answers: answers}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, server.URL
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	r.Body = io.NopCloser(bytes.NewReader(body)) // for responses that depend on it
	_, action, isECR := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if !isECR {
		_, action, _ = strings.Cut(string(body), "Action=")
		action, _, _ = strings.Cut(action, "&")
	}
	s.mu.Lock()
	s.calls = append(s.calls, action)
	s.forms = append(s.forms, string(body))
	s.auths = append(s.auths, r.Header.Get("Authorization"))
	s.mu.Unlock()
	if answer := s.answers[action]; answer != nil {
		answer(w, r)
		return
	}
	http.Error(w, "no answer for "+action, http.StatusNotImplemented)
}

func ecrAnswer(status int, body any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.Header().Set("X-Amzn-Requestid", "request-1")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}
}

func ecrError(code, message string) http.HandlerFunc {
	return ecrAnswer(http.StatusBadRequest, map[string]string{"__type": code, "message": message})
}

func stsAnswer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func stsError(code, message string) http.HandlerFunc {
	return stsAnswer(http.StatusForbidden, fmt.Sprintf(
		`<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>request-1</RequestId></ErrorResponse>`, code, message))
}

func callerIs(account string) http.HandlerFunc {
	return stsAnswer(http.StatusOK, fmt.Sprintf(
		`<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::%s:user/ci</Arn><UserId>AIDA</UserId><Account>%s</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`, account, account))
}

const assumed = `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>
	<AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>role-secret</SecretAccessKey><SessionToken>session</SessionToken>
	<Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`

// TestCredentialsChain checks whose key signs the call, and what is requested from STS for it.
func TestCredentialsChain(t *testing.T) {
	identity := map[string]string{
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
		"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/migration", "AWS_WEB_IDENTITY_TOKEN": "e.y.J",
	}
	named := maps.Clone(identity)
	named["AWS_ROLE_SESSION_NAME"] = "job-1"
	podsFile := maps.Clone(identity)
	podsFile["AWS_WEB_IDENTITY_TOKEN_FILE"] = filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(podsFile["AWS_WEB_IDENTITY_TOKEN_FILE"], []byte("of.the.pod"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		env     map[string]string
		key     string
		request []string // parts of the request for the role's credentials
	}{
		{"keys", nil, "AKIAEXAMPLE", nil},
		{
			"a web identity", identity, "ASIAROLE",
			[]string{"WebIdentityToken=e.y.J", "RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fmigration", "RoleSessionName=ecr2gitlab"},
		},
		{"a pod's file", podsFile, "ASIAROLE", []string{"WebIdentityToken=of.the.pod", "RoleSessionName=ecr2gitlab"}},
		{"a web identity with a name", named, "ASIAROLE", []string{"RoleSessionName=job-1"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			stand, endpoint := startStandIn(t, map[string]http.HandlerFunc{
				"GetCallerIdentity": callerIs(account), "AssumeRoleWithWebIdentity": stsAnswer(http.StatusOK, assumed),
			})
			awsEnv(t, endpoint, test.env)
			a := realAmazon(t)
			for range 2 { // the second time from the cache
				if got, err := a.CallerIdentity(t.Context()); err != nil || got != (Identity{Account: account, ARN: "arn:aws:iam::123456789012:user/ci"}) {
					t.Fatalf("got %+v, %v", got, err)
				}
			}
			want := []string{"GetCallerIdentity", "GetCallerIdentity"}
			if test.request != nil {
				want = append([]string{"AssumeRoleWithWebIdentity"}, want...)
			}
			if !slices.Equal(stand.calls, want) {
				t.Errorf("calls %v, want %v", stand.calls, want)
			}
			if last := stand.auths[len(stand.auths)-1]; !strings.Contains(last, "Credential="+test.key+"/") || !strings.Contains(last, "/eu-west-1/sts/") {
				t.Errorf("signed with %s, want %s in eu-west-1", last, test.key)
			}
			for _, part := range test.request {
				if !strings.Contains(stand.forms[0], part) {
					t.Errorf("%s is not in %s", part, stand.forms[0])
				}
			}
		})
	}
}

// assumedUntil is STS's response with credentials that expire at that time.
func assumedUntil(end time.Time) http.HandlerFunc {
	return stsAnswer(http.StatusOK, strings.Replace(assumed, "2999-01-01T00:00:00Z", end.UTC().Format(time.RFC3339), 1))
}

// answering is a transport that sends all requests to the stand-in, whatever the host.
type answering struct {
	stand *standIn
	mu    sync.Mutex
	hosts []string
}

func (a *answering) Do(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	a.hosts = append(a.hosts, r.URL.Host)
	a.mu.Unlock()
	answer := httptest.NewRecorder()
	a.stand.ServeHTTP(answer, r)
	return answer.Result(), nil
}

// TestHosts has the SDK determine its endpoints, and ECR name its registry's hosts, in each partition.
func TestHosts(t *testing.T) {
	const fips, dualStack = "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"
	tests := []struct {
		name, region string
		env          []string
		repository   string // the host of repositoryUri
		proxy        string // the host of proxyEndpoint
		asked        []string
	}{
		{
			name: "commercial", region: "eu-west-1",
			repository: "dkr.ecr.eu-west-1.amazonaws.com", proxy: "dkr.ecr.eu-west-1.amazonaws.com",
			asked: []string{"sts.eu-west-1.amazonaws.com", "api.ecr.eu-west-1.amazonaws.com"},
		},
		{
			name: "China", region: "cn-north-1",
			repository: "dkr.ecr.cn-north-1.amazonaws.com.cn", proxy: "dkr.ecr.cn-north-1.amazonaws.com.cn",
			asked: []string{"sts.cn-north-1.amazonaws.com.cn", "api.ecr.cn-north-1.amazonaws.com.cn"},
		},
		{
			name: "GovCloud", region: "us-gov-west-1",
			repository: "dkr.ecr.us-gov-west-1.amazonaws.com", proxy: "dkr.ecr.us-gov-west-1.amazonaws.com",
			asked: []string{"sts.us-gov-west-1.amazonaws.com", "api.ecr.us-gov-west-1.amazonaws.com"},
		},
		{
			name: "FIPS", region: "us-east-1", env: []string{fips},
			repository: "dkr.ecr.us-east-1.amazonaws.com", proxy: "dkr.ecr-fips.us-east-1.amazonaws.com",
			asked: []string{"sts-fips.us-east-1.amazonaws.com", "api.ecr-fips.us-east-1.amazonaws.com"},
		},
		{
			name: "dual-stack", region: "us-west-2", env: []string{dualStack},
			repository: "dkr-ecr.us-west-2.on.aws", proxy: "dkr.ecr.us-west-2.amazonaws.com",
			asked: []string{"sts.us-west-2.api.aws", "ecr.us-west-2.api.aws"},
		},
		{
			name: "FIPS and dual-stack", region: "us-west-2", env: []string{fips, dualStack},
			repository: "dkr-ecr-fips.us-west-2.on.aws", proxy: "dkr-ecr-fips.us-west-2.on.aws",
			asked: []string{"sts-fips.us-west-2.api.aws", "ecr-fips.us-west-2.api.aws"},
		},
		{
			name: "dual-stack in China", region: "cn-north-1", env: []string{dualStack},
			repository: "dkr-ecr.cn-north-1.on.amazonwebservices.com.cn", proxy: "dkr.ecr.cn-north-1.amazonaws.com.cn",
			asked: []string{"sts.cn-north-1.api.amazonwebservices.com.cn", "ecr.cn-north-1.api.amazonwebservices.com.cn"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			repositoryHost, proxyHost := account+"."+test.repository, account+"."+test.proxy
			transport := &answering{stand: &standIn{answers: map[string]http.HandlerFunc{
				"GetCallerIdentity": callerIs(account),
				"DescribeRepositories": ecrAnswer(http.StatusOK, map[string]any{"repositories": []any{map[string]string{
					"repositoryName": "team/app", "repositoryUri": repositoryHost + "/team/app",
				}}}),
				"GetAuthorizationToken": ecrAnswer(http.StatusOK, map[string]any{"authorizationData": []any{map[string]any{
					"authorizationToken": base64.StdEncoding.EncodeToString([]byte("AWS:secret")), "proxyEndpoint": "https://" + proxyHost,
				}}}),
			}}}
			env := map[string]string{"AWS_DEFAULT_REGION": test.region}
			for _, name := range test.env {
				env[name] = "true"
			}
			awsEnv(t, "", env)
			a := realAmazon(t, func(loaded *aws.Config) { loaded.HTTPClient = transport })
			if a.hosts.Has(repositoryHost) || a.hosts.Has(proxyHost) {
				t.Error("a host is known before ECR has named it")
			}
			_, err := a.CallerIdentity(t.Context())
			repositories, listErr := a.Repositories(t.Context())
			auth, authErr := a.Credentials(t.Context())
			if err := errors.Join(err, listErr, authErr); err != nil {
				t.Fatal(err)
			}
			if got := repositories[0].URI; got != repositoryHost+"/team/app" || auth.ServerAddress != proxyHost {
				t.Errorf("the repository is at %s, the token for %s", got, auth.ServerAddress)
			}
			if !a.hosts.Has(repositoryHost) || !a.hosts.Has(proxyHost) || a.hosts.Has("registry.example.com") || a.hosts.Has("") {
				t.Error("the hosts that ECR has named are not those that are known")
			}
			if got := slices.Compact(transport.hosts); !slices.Equal(got, test.asked) {
				t.Errorf("asked %v, want %v", got, test.asked)
			}
		})
	}
}

// The longest session that the role allows is requested, and once its length is known, also at every renewal.
func TestLongestSession(t *testing.T) {
	const tooLong = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
	for _, test := range []struct {
		name   string
		most   int // seconds
		denied bool
		want   []string // of three calls that each need new credentials
	}{
		{"twelve hours", 43200, false, []string{"43200", "43200", "43200"}},
		{"six hours", 21600, false, []string{"43200", "21600", "32400", "25200", "21600", "21600"}},
		{"four hours", 14400, false, []string{"43200", "21600", "10800", "14400", "18000", "14400", "14400"}},
		{"one hour, the default", 3600, false, []string{"43200", "21600", "10800", "3600", "7200", "3600", "3600"}},
		{"a condition of the trust policy", 3600, true, []string{"43200", "3600", "3600", "3600"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var asked []string
			_, endpoint := startStandIn(t, map[string]http.HandlerFunc{
				"GetCallerIdentity": callerIs(account),
				"AssumeRoleWithWebIdentity": func(w http.ResponseWriter, r *http.Request) {
					duration := r.FormValue("DurationSeconds")
					asked = append(asked, duration)
					switch seconds, _ := strconv.Atoi(duration); {
					case seconds > test.most && test.denied:
						stsError("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")(w, r)
					case seconds > test.most:
						stsError("ValidationError", tooLong)(w, r)
					default:
						assumedUntil(time.Now().Add(4*time.Minute))(w, r) // close enough to be renewed
					}
				},
			})
			awsEnv(t, endpoint, map[string]string{
				"AWS_ACCESS_KEY_ID": "", "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/migration", "AWS_WEB_IDENTITY_TOKEN": "e.y.J",
			})
			a := realAmazon(t)
			for range 3 {
				if _, err := a.CallerIdentity(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(asked, test.want) {
				t.Errorf("asked for sessions of %v seconds, want %v", asked, test.want)
			}
		})
	}
}

func TestWebIdentityComesAfterKeysAndFile(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"keys": {"AWS_WEB_IDENTITY_TOKEN": "e.y.J"},
		"file": {"AWS_ACCESS_KEY_ID": "", "AWS_WEB_IDENTITY_TOKEN": "e.y.J", "AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere/token"},
	} {
		t.Run(name, func(t *testing.T) {
			stand, endpoint := startStandIn(t, map[string]http.HandlerFunc{"GetCallerIdentity": callerIs(account)})
			env["AWS_ROLE_ARN"] = "arn:aws:iam::123456789012:role/migration"
			awsEnv(t, endpoint, env)
			_, err := realAmazon(t).CallerIdentity(t.Context())
			if slices.Contains(stand.calls, "AssumeRoleWithWebIdentity") {
				t.Error("the token was used all the same")
			}
			if usesFile := err != nil && strings.Contains(err.Error(), "/nowhere/token"); usesFile != (name == "file") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestThrottlingIsSurvived(t *testing.T) {
	for _, failures := range []int{ecr.ListAttempts - 1, ecr.ListAttempts} {
		calls := 0
		_, endpoint := startStandIn(t, map[string]http.HandlerFunc{"DescribeRepositories": func(w http.ResponseWriter, r *http.Request) {
			if calls++; calls <= failures {
				ecrError("ThrottlingException", "Rate exceeded")(w, r)
				return
			}
			ecrAnswer(http.StatusOK, map[string]any{"repositories": []any{map[string]string{"repositoryName": "a", "repositoryUri": "h/a"}}})(w, r)
		}})
		awsEnv(t, endpoint, nil)
		got, err := realAmazon(t).Repositories(t.Context())
		if failures < ecr.ListAttempts {
			if err != nil || !slices.Equal(got, []image.Repository{{Name: "a", URI: "h/a"}}) {
				t.Errorf("throttled %d times: got %v, %v", failures, got, err)
			}
			continue
		}
		assertAWSError(t, err, ecr.Throttled, "ThrottlingException: Rate exceeded (request request-1)", "AWS throttled every attempt")
	}
}

// AWS cannot parse a request whose body got lost with a connection.
func TestLostBodyIsRetried(t *testing.T) {
	err := &smithy.GenericAPIError{Code: "SerializationException", Message: "request declared a Content-Length of 869 but only wrote 0 bytes"}
	if !ecr.NewRetryer().IsErrorRetryable(err) {
		t.Error("it is not retried")
	}
	if ecr.NewRetryer().IsErrorRetryable(&smithy.GenericAPIError{Code: "InvalidParameterException"}) {
		t.Error("an invalid parameter is retried")
	}
}

// TestRetriesHaveNoQuota draws more retries than the SDK's quota of 500 tokens has, at 5 a ecr.Throttled call.
func TestRetriesHaveNoQuota(t *testing.T) {
	retryer := ecr.NewRetryer()
	for i := range 1000 {
		if _, err := retryer.GetRetryToken(t.Context(), errors.New("throttled")); err != nil {
			t.Fatalf("retry %d: %v", i, err)
		}
	}
}

func assertAWSError(t *testing.T, err error, class ecr.Class, parts ...string) {
	t.Helper()
	var failed *ecr.Error
	if !errors.As(err, &failed) {
		t.Fatalf("got %v, which is no ecr.Error", err)
	}
	if failed.Class != class {
		t.Errorf("class %q, want %q: %v", failed.Class, class, err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in\n%v", part, err)
		}
	}
	for _, secret := range []string{"aws-secret", "glcbt-secret", "e.y.J"} {
		if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, secret) {
			t.Errorf("a secret is in\n%s", text)
		}
	}
}

func TestRefusals(t *testing.T) {
	listing := func(ctx context.Context, a *amazon) error { _, err := a.Repositories(ctx); return err }
	images := func(ctx context.Context, a *amazon) error { _, err := a.Images(ctx, app); return err }
	token := func(ctx context.Context, a *amazon) error { _, err := a.Credentials(ctx); return err }
	who := func(ctx context.Context, a *amazon) error { _, err := a.CallerIdentity(ctx); return err }
	manifests := func(ctx context.Context, a *amazon) error {
		_, failed := a.Manifests(ctx, app, []digest.Digest{digest.FromString("x")})
		return failed[digest.FromString("x")]
	}
	noKeys := map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
	webIdentity := map[string]string{
		"AWS_ACCESS_KEY_ID": "", "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/migration", "AWS_WEB_IDENTITY_TOKEN": "e.y.J",
	}
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte("of.the.pod"), 0o600); err != nil {
		t.Fatal(err)
	}
	podsToken := maps.Clone(webIdentity)
	podsToken["AWS_WEB_IDENTITY_TOKEN_FILE"] = tokenFile
	podsTokenAlone := maps.Clone(podsToken)
	podsTokenAlone["AWS_WEB_IDENTITY_TOKEN"] = ""
	tests := []struct {
		name    string
		env     map[string]string
		answers map[string]http.HandlerFunc
		call    func(context.Context, *amazon) error
		class   ecr.Class
		newJob  bool
		parts   []string
		calls   int // 0: not checked
	}{
		{
			name:    "an action that the policy lacks",
			answers: map[string]http.HandlerFunc{"DescribeRepositories": ecrError("AccessDeniedException", "User: arn:aws:iam::123456789012:user/ci is not authorized to perform: ecr:DescribeRepositories on resource: *")},
			call:    listing, class: ecr.AccessDenied, calls: 1,
			parts: []string{"cannot list the repositories of the ECR registry 123456789012: AccessDeniedException: User: ", "(request request-1)", "must allow ecr:DescribeRepositories: the complete policy is in docs/pipeline.md"},
		},
		{
			name:    "an action that AWS does not name",
			answers: map[string]http.HandlerFunc{"BatchGetImage": ecrError("AccessDeniedException", "no")},
			call:    manifests, class: ecr.AccessDenied, calls: 1,
			parts: []string{"cannot get manifests of team/app: AccessDeniedException: no", "must allow ecr:BatchGetImage"},
		},
		{
			name:    "a token that the policy denies",
			answers: map[string]http.HandlerFunc{"GetAuthorizationToken": ecrError("AccessDeniedException", "no")},
			call:    token, class: ecr.AccessDenied, calls: 1,
			parts: []string{"cannot get a token for the ECR registry 123456789012", "must allow ecr:GetAuthorizationToken"},
		},
		{
			name:    "a repository deleted meanwhile",
			answers: map[string]http.HandlerFunc{"DescribeImages": ecrError("RepositoryNotFoundException", "The repository does not exist")},
			call:    images, class: ecr.OtherTrouble, calls: 1,
			parts: []string{"cannot list the images of team/app: RepositoryNotFoundException: The repository does not exist (request request-1)"},
		},
		{
			name:    "an unknown key at ECR",
			answers: map[string]http.HandlerFunc{"DescribeRepositories": ecrError("UnrecognizedClientException", "The security token included in the request is invalid.")},
			call:    listing, class: ecr.BadCredentials, calls: 1,
			parts: []string{"check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN"},
		},
		{
			name:    "an unknown key",
			answers: map[string]http.HandlerFunc{"GetCallerIdentity": stsError("InvalidClientTokenId", "The security token included in the request is invalid.")},
			call:    who, class: ecr.BadCredentials, calls: 1,
			parts: []string{"cannot find out whose AWS credentials these are: InvalidClientTokenId: The security token", "check AWS_ACCESS_KEY_ID"},
		},
		{
			name:    "a wrong secret",
			answers: map[string]http.HandlerFunc{"GetCallerIdentity": stsError("SignatureDoesNotMatch", "The request signature does not match.")},
			call:    who, class: ecr.BadCredentials, calls: 1, parts: []string{"SignatureDoesNotMatch: ", "AWS_SECRET_ACCESS_KEY"},
		},
		{
			name:    "temporary keys at their end",
			answers: map[string]http.HandlerFunc{"GetCallerIdentity": stsError("ExpiredToken", "The security token included in the request is expired")},
			call:    who, class: ecr.Expired, calls: 1, parts: []string{"ExpiredToken: ", "the session of AWS_SESSION_TOKEN has expired: set AWS_ACCESS_KEY_ID"},
		},
		{
			name: "an ID token at its end", env: webIdentity,
			answers: map[string]http.HandlerFunc{"AssumeRoleWithWebIdentity": stsError("ExpiredTokenException", "Token expired: current date/time must be before the expiration date/time")},
			call:    who, class: ecr.Expired, calls: 1, newJob: true,
			parts: []string{"ExpiredTokenException: Token expired", "the job's ID token (AWS_WEB_IDENTITY_TOKEN) has expired", "a new job gets a new token"},
		},
		{
			name: "a pod's token beside the job's", env: podsToken,
			answers: map[string]http.HandlerFunc{"AssumeRoleWithWebIdentity": stsError("InvalidIdentityToken", "No OpenIDConnect provider found in your account")},
			call:    who, class: ecr.BadCredentials,
			parts: []string{
				"InvalidIdentityToken: No OpenIDConnect provider", "the token comes from AWS_WEB_IDENTITY_TOKEN_FILE (" + tokenFile + ")",
				`takes precedence over the job's own AWS_WEB_IDENTITY_TOKEN: set AWS_WEB_IDENTITY_TOKEN_FILE to ""`,
			},
		},
		{
			name: "a pod's token that the role does not trust", env: podsToken,
			answers: map[string]http.HandlerFunc{"AssumeRoleWithWebIdentity": stsError("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")},
			call:    who, class: ecr.AccessDenied, parts: []string{tokenFile, "takes precedence"},
		},
		{
			name: "a pod's token alone", env: podsTokenAlone,
			answers: map[string]http.HandlerFunc{"AssumeRoleWithWebIdentity": stsError("ExpiredTokenException", "Token expired")},
			call:    who, class: ecr.Expired, parts: []string{tokenFile, "AWS_ROLE_ARN must be a role that trusts this token"},
		},
		{
			name: "a role that does not trust GitLab", env: webIdentity,
			answers: map[string]http.HandlerFunc{"AssumeRoleWithWebIdentity": stsError("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")},
			call:    who, class: ecr.AccessDenied, calls: 2, // once more for the shortest session
			parts: []string{"the trust policy of the role in AWS_ROLE_ARN must allow sts:AssumeRoleWithWebIdentity"},
		},
		{
			name: "an ID token for someone else", env: webIdentity,
			answers: map[string]http.HandlerFunc{"AssumeRoleWithWebIdentity": stsError("InvalidIdentityToken", "Incorrect token audience")},
			call:    who, class: ecr.BadCredentials, calls: ecr.IdentityAttempts,
			parts: []string{"InvalidIdentityToken: Incorrect token audience", "check AWS_ROLE_ARN, and AWS_WEB_IDENTITY_TOKEN with the aud:"},
		},
		{
			name: "no credentials at all", env: noKeys, call: who, class: ecr.NoCredentials,
			parts: []string{"AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY, AWS_ROLE_ARN with AWS_WEB_IDENTITY_TOKEN", "id_tokens:", "protected"},
		},
		{
			name: "half a pair of keys", env: map[string]string{"AWS_SECRET_ACCESS_KEY": ""}, call: who, class: ecr.NoCredentials,
			parts: []string{"AWS_SECRET_ACCESS_KEY (which is not set)"},
		},
		{
			name: "the other half", env: map[string]string{"AWS_ACCESS_KEY_ID": ""}, call: who, class: ecr.NoCredentials,
			parts: []string{"AWS_SECRET_ACCESS_KEY (the former is not set)"},
		},
		{
			name:    "something that is not AWS",
			answers: map[string]http.HandlerFunc{"DescribeRepositories": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }},
			call:    listing, class: ecr.OtherTrouble, parts: []string{"cannot list the repositories", "404"},
		},
		{
			name:    "a server in trouble",
			answers: map[string]http.HandlerFunc{"DescribeRepositories": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }},
			call:    listing, class: ecr.OtherTrouble, parts: []string{"502"}, calls: ecr.ListAttempts,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			stand, endpoint := startStandIn(t, test.answers)
			awsEnv(t, endpoint, test.env)
			err := test.call(t.Context(), realAmazon(t))
			assertAWSError(t, err, test.class, test.parts...)
			if failed := new(ecr.Error); errors.As(err, &failed) && failed.NewJob != test.newJob {
				t.Errorf("a new job helps: %t", failed.NewJob)
			}
			if test.calls > 0 && len(stand.calls) != test.calls {
				t.Errorf("%d calls, want %d: %v", len(stand.calls), test.calls, stand.calls)
			}
		})
	}
}

func TestAnotherAccountsRegistry(t *testing.T) {
	_, endpoint := startStandIn(t, map[string]http.HandlerFunc{
		"GetCallerIdentity":     callerIs("210987654321"),
		"DescribeRepositories":  ecrError("AccessDeniedException", "User is not authorized to perform: ecr:DescribeRepositories on resource: *"),
		"GetAuthorizationToken": ecrError("AccessDeniedException", "no"),
	})
	awsEnv(t, endpoint, nil)
	a := realAmazon(t)
	if _, err := a.CallerIdentity(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := a.Repositories(t.Context())
	assertAWSError(t, err, ecr.WrongRegistry,
		"AWS_ACCOUNT_ID is 123456789012, but the credentials belong to account 210987654321: set AWS_ACCOUNT_ID to 210987654321, or have the "+
			"repository policies of 123456789012 allow ecr:DescribeRepositories")
	_, err = a.Credentials(t.Context())
	assertAWSError(t, err, ecr.AccessDenied, "the IAM policy of these credentials must allow ecr:GetAuthorizationToken")
}

func TestNoConnection(t *testing.T) {
	dead := httptest.NewServer(nil)
	dead.Close()
	awsEnv(t, dead.URL, nil)
	a := realAmazon(t)
	_, err := a.CallerIdentity(t.Context())
	assertAWSError(t, err, ecr.NoConnection, "connection refused", dead.URL+" must be reachable from the job: check the region (eu-west-1)")
	_, err = a.Credentials(t.Context())
	assertAWSError(t, err, ecr.NoConnection, dead.URL)
}

func TestInterruption(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, endpoint := startStandIn(t, map[string]http.HandlerFunc{"DescribeRepositories": func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}})
	awsEnv(t, endpoint, nil)
	_, err := realAmazon(t).Repositories(ctx)
	assertAWSError(t, err, ecr.Interrupted)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v is no cancellation", err)
	}
}

func TestNewAmazonNamesABrokenConfiguration(t *testing.T) {
	awsEnv(t, "", map[string]string{"AWS_CA_BUNDLE": "/nowhere/ca.pem"})
	cfg, err := loadConfig(processEnv())
	if err != nil {
		t.Fatal(err)
	}
	_, err = newAmazon(t.Context(), cfg, secretsOf(processEnv()))
	assertAWSError(t, err, ecr.OtherTrouble, "cannot read the AWS configuration", "/nowhere/ca.pem", "AWS_CA_BUNDLE")
}

// Access requests what a pull needs, and reads no more than a byte.
func TestAccess(t *testing.T) {
	denied := &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "no"}
	const signed = "https://bucket.example/layer?X-Amz-Signature=secret"
	for _, test := range []struct {
		name            string
		checked, gotten error
		bucket          int // its response
		want            []string
	}{
		{"all allowed", nil, nil, http.StatusPartialContent, nil},
		{"nothing allowed", denied, denied, 0, []string{"ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer"}},
		{"no layers", nil, denied, 0, []string{"ecr:GetDownloadUrlForLayer"}},
		{"not from the bucket", nil, nil, http.StatusForbidden, []string{"s3:GetObject"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := amazonOver(&fakeECR{
				checkLayer: func(in *awsecr.BatchCheckLayerAvailabilityInput) (*awsecr.BatchCheckLayerAvailabilityOutput, error) {
					if aws.ToString(in.RegistryId) != account || aws.ToString(in.RepositoryName) != app.Name || !slices.Equal(in.LayerDigests, []string{imageHash}) {
						t.Errorf("asked with %+v", in)
					}
					return &awsecr.BatchCheckLayerAvailabilityOutput{}, test.checked
				},
				getLayer: func(in *awsecr.GetDownloadUrlForLayerInput) (*awsecr.GetDownloadUrlForLayerOutput, error) {
					if aws.ToString(in.RegistryId) != account || aws.ToString(in.RepositoryName) != app.Name || aws.ToString(in.LayerDigest) != imageHash {
						t.Errorf("asked with %+v", in)
					}
					return &awsecr.GetDownloadUrlForLayerOutput{DownloadUrl: aws.String(signed)}, test.gotten
				},
			})
			a.http = &answering{stand: &standIn{answers: map[string]http.HandlerFunc{"": func(w http.ResponseWriter, r *http.Request) {
				if r.URL.String() != signed {
					t.Errorf("asked for %s", r.URL)
				}
				w.WriteHeader(test.bucket)
				_, _ = io.WriteString(w, "layer")
			}}}}
			access := a.Access(t.Context(), app, imageHash)
			if got := slices.Sorted(maps.Keys(access.Refused)); !slices.Equal(got, test.want) {
				t.Errorf("refused %v, want %v", access.Refused, test.want)
			}
			if reached := test.bucket > 0; reached != (access.Bucket == "bucket.example") {
				t.Errorf("the bucket is %q", access.Bucket)
			}
			for action, err := range access.Refused {
				if err == nil || strings.Contains(err.Error(), "secret") {
					t.Errorf("%s: %v", action, err)
				}
			}
		})
	}
}
