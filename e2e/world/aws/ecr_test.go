package aws

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
)

const absent = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

func TestGetAuthorizationToken(t *testing.T) {
	clock := newClock()
	s := start(t, Options{Now: clock.Now})
	out, err := ecrClient(t, s).GetAuthorizationToken(t.Context(), nil)
	check(t, err)
	equal(t, "entries", len(out.AuthorizationData), 1)
	data := out.AuthorizationData[0]
	equal(t, "endpoint", *data.ProxyEndpoint, "http://"+s.RegistryHost)
	equal(t, "expiry", data.ExpiresAt.UTC(), clock.Now().Add(12*time.Hour).UTC())
	decoded, err := base64.StdEncoding.DecodeString(*data.AuthorizationToken)
	check(t, err)
	if user, token, _ := strings.Cut(string(decoded), ":"); user != "AWS" || token == "" {
		t.Errorf("token %q, want AWS:…", decoded)
	}
}

func TestCreateRepository(t *testing.T) {
	tests := []struct {
		name, want string // want: part of the error; empty: created
	}{
		{"app", ""},
		{"team/sub.group/a_b/c-d/e__f/g--h", ""},
		{"app", "it exists"},
		{"a", "greater than or equal to 2"},
		{strings.Repeat("a", 257), "less than or equal to 256"},
		{"Team/app", "must satisfy regular expression"},
		{"_app", "must satisfy regular expression"},
		{"app-", "must satisfy regular expression"},
		{"a//b", "must satisfy regular expression"},
		{"a___b", "must satisfy regular expression"},
	}
	s := start(t, Options{})
	for _, tt := range tests {
		uri, err := s.CreateRepository(tt.name)
		switch {
		case tt.want == "" && (err != nil || uri != s.RegistryHost+"/"+tt.name):
			t.Errorf("%q: %q, %v", tt.name, uri, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%q: %v, want …%s…", tt.name, err, tt.want)
		}
	}
}

func TestDescribeRepositoriesPages(t *testing.T) {
	tests := []struct {
		name       string
		n, cap     int
		maxResults *int32
		wantPages  int
	}{
		{"empty account", 0, 0, nil, 1},
		{"default of 100", 205, 0, nil, 3},
		{"maxResults", 7, 0, sdk.Int32(3), 3},
		{"exactly full pages", 6, 0, sdk.Int32(3), 2},
		{"cap below maxResults", 7, 2, sdk.Int32(1000), 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, Options{MaxPage: tt.cap})
			var want []string
			for i := range tt.n {
				want = append(want, fmt.Sprintf("team/app-%03d", i))
			}
			create(t, s, want...)
			pages := ecr.NewDescribeRepositoriesPaginator(pageClient(t, s), &ecr.DescribeRepositoriesInput{MaxResults: tt.maxResults})
			var got []string
			n := 0
			for ; pages.HasMorePages(); n++ {
				page, err := pages.NextPage(t.Context())
				check(t, err)
				for _, r := range page.Repositories {
					got = append(got, *r.RepositoryName)
				}
			}
			equal(t, "repositories", got, want)
			equal(t, "pages", n, tt.wantPages)
		})
	}
}

func TestDescribeRepositoriesByName(t *testing.T) {
	s := start(t, Options{})
	create(t, s, "one", "two", "three")
	client := ecrClient(t, s)
	out, err := client.DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{RepositoryNames: []string{"two", "one"}, RegistryId: &s.AccountID})
	check(t, err)
	equal(t, "found", len(out.Repositories), 2)
	equal(t, "URI", *out.Repositories[0].RepositoryUri, s.RegistryHost+"/one")
	equal(t, "ARN", *out.Repositories[0].RepositoryArn, "arn:aws:ecr:eu-central-1:123456789012:repository/one")

	_, err = client.DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{RepositoryNames: []string{"one", "four"}})
	checkCode(t, err, "RepositoryNotFoundException", "The repository with name 'four' does not exist in the registry with id '123456789012'")
}

// TestDescribeImages pushes images of every kind with an ordinary client, and checks how they are listed.
func TestDescribeImages(t *testing.T) {
	clock := newClock()
	s := start(t, Options{Now: clock.Now})
	create(t, s, "app")
	small, large := pushImage(t, s, "app", "small"), pushImage(t, s, "app", "v1", "latest")
	layered, err := random.Image(4096, 2)
	check(t, err)
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: small}, mutate.IndexAddendum{Add: layered})
	check(t, remote.WriteIndex(ref(t, s, "app:multi"), index, admin(s)))
	subject, err := remote.Head(ref(t, s, "app:v1"), admin(s))
	check(t, err)
	signature := pushManifest(t, s, "app", "", ociManifest, fmt.Sprintf(
		`{"schemaVersion":2,"mediaType":%q,"artifactType":"application/vnd.example.signature","config":%s,"layers":[],"subject":{"mediaType":%q,"digest":%q,"size":%d}}`,
		ociManifest, configOf(t, large), subject.MediaType, subject.Digest, subject.Size))

	byDigest := map[string]types.ImageDetail{}
	out, err := ecrClient(t, s).DescribeImages(t.Context(), &ecr.DescribeImagesInput{RepositoryName: sdk.String("app")})
	check(t, err)
	for _, d := range out.ImageDetails {
		byDigest[*d.ImageDigest] = d
		equal(t, "pushed at", d.ImagePushedAt.UTC(), clock.Now().UTC())
		equal(t, "status", d.ImageStatus, types.ImageStatusActive)
		equal(t, "repository", *d.RepositoryName+" "+*d.RegistryId, "app "+s.AccountID)
	}
	dockerConfig := "application/vnd.docker.container.image.v1+json"
	docker := "application/vnd.docker.distribution.manifest.v2+json"
	want := []struct {
		name, digest, mediaType, artifactType, subject string
		tags                                           []string
		size                                           int64
	}{
		{"image", digestOf(t, small).String(), docker, dockerConfig, "", []string{"small"}, sizeOf(t, small)},
		{"two tags", digestOf(t, large).String(), docker, dockerConfig, "", []string{"latest", "v1"}, sizeOf(t, large)},
		{"untagged child", digestOf(t, layered).String(), docker, dockerConfig, "", nil, sizeOf(t, layered)},
		{"index: the largest child", digestOf(t, index).String(), "application/vnd.oci.image.index.v1+json", "", "", []string{"multi"}, sizeOf(t, layered)},
		{"referrer", signature, ociManifest, "application/vnd.example.signature", subject.Digest.String(), nil, configSize(t, large)},
	}
	for _, tt := range want {
		d, ok := byDigest[tt.digest]
		if !ok {
			t.Errorf("%s: not listed", tt.name)
			continue
		}
		equal(t, tt.name+": type", *d.ImageManifestMediaType, tt.mediaType)
		equal(t, tt.name+": artifact type", sdk.ToString(d.ArtifactMediaType), tt.artifactType)
		equal(t, tt.name+": subject", sdk.ToString(d.SubjectManifestDigest), tt.subject)
		equal(t, tt.name+": tags", d.ImageTags, tt.tags)
		equal(t, tt.name+": size", *d.ImageSizeInBytes, tt.size)
	}
	equal(t, "images", len(byDigest), len(want))
}

func TestImageFilters(t *testing.T) {
	s := start(t, Options{})
	create(t, s, "app")
	names := map[string]string{
		digestOf(t, pushImage(t, s, "app", "tagged")).String():   "tagged",
		digestOf(t, pushImage(t, s, "app", "archived")).String(): "archived",
		digestOf(t, pushImage(t, s, "app")).String():             "untagged",
	}
	img, ok := repositoryOf(t, s, "app").resolve("archived")
	if !ok {
		t.Fatal("not pushed")
	}
	check(t, s.Archive("app", img.digest))

	tests := []struct {
		tag    types.TagStatus
		status types.ImageStatusFilter
		want   []string
	}{
		{"", "", []string{"tagged", "untagged"}},
		{types.TagStatusAny, "", []string{"tagged", "untagged"}},
		{types.TagStatusTagged, "", []string{"tagged"}},
		{types.TagStatusUntagged, "", []string{"untagged"}},
		{types.TagStatusTagged, types.ImageStatusFilterAny, []string{"archived", "tagged"}},
		{"", types.ImageStatusFilterArchived, []string{"archived"}},
		{types.TagStatusUntagged, types.ImageStatusFilterArchived, nil},
		{types.TagStatusAny, types.ImageStatusFilterAny, []string{"archived", "tagged", "untagged"}},
	}
	client := ecrClient(t, s)
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.tag, " ", tt.status), func(t *testing.T) {
			out, err := client.DescribeImages(t.Context(), &ecr.DescribeImagesInput{
				RepositoryName: sdk.String("app"), Filter: &types.DescribeImagesFilter{TagStatus: tt.tag, ImageStatus: tt.status}})
			check(t, err)
			var described []string
			for _, d := range out.ImageDetails {
				described = append(described, names[*d.ImageDigest])
				equal(t, names[*d.ImageDigest]+" archived", d.ImageStatus == types.ImageStatusArchived, d.LastArchivedAt != nil)
			}
			equal(t, "described", slices.Sorted(slices.Values(described)), tt.want)

			ids, err := client.ListImages(t.Context(), &ecr.ListImagesInput{
				RepositoryName: sdk.String("app"), Filter: &types.ListImagesFilter{TagStatus: tt.tag, ImageStatus: tt.status}})
			check(t, err)
			var listed []string
			for _, id := range ids.ImageIds {
				listed = append(listed, names[*id.ImageDigest])
			}
			equal(t, "listed", slices.Sorted(slices.Values(listed)), tt.want)
		})
	}
}

// TestDescribeImagesWhileTagsMove pages while images come and go: an image that stays is listed exactly once.
func TestDescribeImagesWhileTagsMove(t *testing.T) {
	s := start(t, Options{MaxPage: 2})
	create(t, s, "app")
	stay := map[string]int{}
	for i := range 9 {
		stay[digestOf(t, pushImage(t, s, "app", fmt.Sprintf("v%d", i))).String()] = 0
	}
	pages := ecr.NewDescribeImagesPaginator(pageClient(t, s), &ecr.DescribeImagesInput{
		RepositoryName: sdk.String("app"), Filter: &types.DescribeImagesFilter{TagStatus: types.TagStatusTagged}})
	for pages.HasMorePages() {
		pushImage(t, s, "app", "moving")
		page, err := pages.NextPage(t.Context())
		check(t, err)
		for _, d := range page.ImageDetails {
			if _, ok := stay[*d.ImageDigest]; ok {
				stay[*d.ImageDigest]++
			}
		}
	}
	for d, n := range stay {
		if n != 1 {
			t.Errorf("%s listed %d times", d, n)
		}
	}
}

func TestMovedTag(t *testing.T) {
	s := start(t, Options{})
	create(t, s, "app")
	old := pushImage(t, s, "app", "latest")
	moved := pushImage(t, s, "app", "latest")
	equal(t, "tags of the old", tagsOf(t, s, "app", digestOf(t, old).String()), nil)
	equal(t, "tags of the new", tagsOf(t, s, "app", digestOf(t, moved).String()), []string{"latest"})
	head, err := remote.Head(ref(t, s, "app:latest"), admin(s))
	check(t, err)
	equal(t, "registry", head.Digest.String(), digestOf(t, moved).String())

	check(t, s.Untag("app", "latest"))
	equal(t, "tags after Untag", tagsOf(t, s, "app", digestOf(t, moved).String()), nil)
	if _, err := remote.Head(ref(t, s, "app:latest"), admin(s)); err == nil {
		t.Error("the registry still has the tag")
	}
	if err := s.Untag("app", "latest"); err == nil {
		t.Error("a tag that is not there can be removed")
	}
}

func TestTag(t *testing.T) {
	s := start(t, Options{})
	create(t, s, "app")
	old := digest.Digest(digestOf(t, pushImage(t, s, "app", "v1")).String())
	pushImage(t, s, "app", "v2")
	check(t, s.Tag("app", "v2", old))
	equal(t, "tags of the old", tagsOf(t, s, "app", old.String()), []string{"v1", "v2"})
	if s.Tag("app", "v3", digest.FromString("nothing")) == nil || s.Tag("other", "v3", old) == nil {
		t.Error("what is not there can be tagged")
	}
}

// TestRecord describes an image that the registry does not have.
func TestRecord(t *testing.T) {
	s := start(t, Options{})
	create(t, s, "app")
	manifest := []byte(`{"schemaVersion": 2, "mediaType": "` + ociManifest + `", "layers": []}`)
	check(t, s.Record("app", "v1", ociManifest, manifest))
	equal(t, "tags", tagsOf(t, s, "app", digest.FromBytes(manifest).String()), []string{"v1"})
	if _, err := remote.Head(ref(t, s, "app:v1"), admin(s)); err == nil {
		t.Error("the registry has it")
	}
	if s.Record("other", "v1", ociManifest, manifest) == nil {
		t.Error("recorded in no repository")
	}
}

func TestAnnounce(t *testing.T) {
	s := start(t, Options{Announce: func(listening string) (string, error) {
		if !strings.HasPrefix(listening, "127.0.0.1:") {
			t.Errorf("listening on %s", listening)
		}
		return "proxy.example:5000", nil
	}})
	create(t, s, "app")
	equal(t, "host", s.RegistryHost, "proxy.example:5000")
	repositories, err := ecrClient(t, s).DescribeRepositories(t.Context(), nil)
	check(t, err)
	equal(t, "URI", sdk.ToString(repositories.Repositories[0].RepositoryUri), "proxy.example:5000/app")
	tokens, err := ecrClient(t, s).GetAuthorizationToken(t.Context(), nil)
	check(t, err)
	equal(t, "endpoint", sdk.ToString(tokens.AuthorizationData[0].ProxyEndpoint), "http://proxy.example:5000")
}

// TestInvalidParameters makes every call that ECR rejects because of its parameters alone.
func TestInvalidParameters(t *testing.T) {
	s := start(t, Options{MaxPage: 1})
	create(t, s, "app", "other")
	for _, repo := range []string{"app", "other"} {
		pushImage(t, s, repo, "v1")
		pushImage(t, s, repo, "v2")
	}
	client := ecrClient(t, s)
	ctx, app := t.Context(), sdk.String("app")
	first, err := client.DescribeImages(ctx, &ecr.DescribeImagesInput{RepositoryName: app})
	check(t, err)

	describe := func(in ecr.DescribeImagesInput) func() error {
		if in.RepositoryName == nil {
			in.RepositoryName = app
		}
		return func() error { _, err := client.DescribeImages(ctx, &in); return err }
	}
	repositories := func(in ecr.DescribeRepositoriesInput) func() error {
		return func() error { _, err := client.DescribeRepositories(ctx, &in); return err }
	}
	get := func(in ecr.BatchGetImageInput) func() error {
		return func() error { _, err := client.BatchGetImage(ctx, &in); return err }
	}
	const parameter = "InvalidParameterException"
	tests := []struct {
		name       string
		call       func() error
		code, text string
	}{
		{"maxResults 0", describe(ecr.DescribeImagesInput{MaxResults: sdk.Int32(0)}), parameter, "'maxResults'"},
		{"maxResults 1001", describe(ecr.DescribeImagesInput{MaxResults: sdk.Int32(1001)}), parameter, "'maxResults'"},
		{"maxResults 0 of repositories", repositories(ecr.DescribeRepositoriesInput{MaxResults: sdk.Int32(0)}), parameter, "'maxResults'"},
		{"nextToken made up", describe(ecr.DescribeImagesInput{NextToken: sdk.String("bm90IGEgdG9rZW4=")}), parameter, "'nextToken'"},
		{"nextToken not base64", repositories(ecr.DescribeRepositoriesInput{NextToken: sdk.String("!")}), parameter, "'nextToken'"},
		{"nextToken of another repository", describe(ecr.DescribeImagesInput{RepositoryName: sdk.String("other"), NextToken: first.NextToken}), parameter, "'nextToken'"},
		{"nextToken of another filter", describe(ecr.DescribeImagesInput{NextToken: first.NextToken,
			Filter: &types.DescribeImagesFilter{TagStatus: types.TagStatusTagged}}), parameter, "'nextToken'"},
		{"nextToken of another action", repositories(ecr.DescribeRepositoriesInput{NextToken: first.NextToken}), parameter, "'nextToken'"},
		{"filter", describe(ecr.DescribeImagesInput{Filter: &types.DescribeImagesFilter{TagStatus: "SOME"}}), parameter, "'tagStatus'"},
		{"digest", describe(ecr.DescribeImagesInput{ImageIds: []types.ImageIdentifier{{ImageDigest: sdk.String("latest")}}}), parameter, "'imageDigest'"},
		{"image id without anything", describe(ecr.DescribeImagesInput{ImageIds: []types.ImageIdentifier{{}}}), parameter, "both tag and digest"},
		{"ids and maxResults", describe(ecr.DescribeImagesInput{MaxResults: sdk.Int32(5), ImageIds: ids("v1")}), parameter, "imageIds"},
		{"101 ids", get(ecr.BatchGetImageInput{RepositoryName: app, ImageIds: slices.Repeat(ids("v1"), 101)}), parameter, "'imageIds'"},
		{"no ids", get(ecr.BatchGetImageInput{RepositoryName: app, ImageIds: []types.ImageIdentifier{}}), parameter, "'imageIds'"},
		{"repository name", describe(ecr.DescribeImagesInput{RepositoryName: sdk.String("No")}), parameter, "'repositoryName'"},
		{"registry id", describe(ecr.DescribeImagesInput{RegistryId: sdk.String("me")}), parameter, "'registryId'"},
		{"no such repository", describe(ecr.DescribeImagesInput{RepositoryName: sdk.String("nowhere")}), "RepositoryNotFoundException", "'nowhere'"},
		{"no such tag", describe(ecr.DescribeImagesInput{ImageIds: ids("v3")}), "ImageNotFoundException", "imageTag:'v3'"},
		{"no such digest", describe(ecr.DescribeImagesInput{ImageIds: []types.ImageIdentifier{{ImageDigest: sdk.String(absent)}}}), "ImageNotFoundException", absent},
		{"tag of another image", describe(ecr.DescribeImagesInput{ImageIds: []types.ImageIdentifier{{ImageTag: sdk.String("v1"), ImageDigest: sdk.String(absent)}}}),
			"ImageNotFoundException", absent},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { checkCode(t, tt.call(), tt.code, tt.text) })
	}
}

func TestBatchGetImage(t *testing.T) {
	s := start(t, Options{})
	create(t, s, "app")
	img, archived := pushImage(t, s, "app", "v1"), pushImage(t, s, "app", "old")
	check(t, s.Archive("app", digestOf(t, archived)))
	manifest, err := img.RawManifest()
	check(t, err)
	client := ecrClient(t, s)

	out, err := client.BatchGetImage(t.Context(), &ecr.BatchGetImageInput{RepositoryName: sdk.String("app"), ImageIds: append(ids("v1", "nope", "old"),
		types.ImageIdentifier{ImageDigest: sdk.String(digestOf(t, img).String())}, types.ImageIdentifier{ImageDigest: sdk.String("junk")}, types.ImageIdentifier{})})
	check(t, err)
	equal(t, "images", len(out.Images), 2)
	for _, got := range out.Images {
		equal(t, "manifest", *got.ImageManifest, string(manifest))
		equal(t, "digest", *got.ImageId.ImageDigest, digestOf(t, img).String())
		equal(t, "type", *got.ImageManifestMediaType, "application/vnd.docker.distribution.manifest.v2+json")
	}
	var failures []string
	for _, f := range out.Failures {
		failures = append(failures, sdk.ToString(f.ImageId.ImageTag)+sdk.ToString(f.ImageId.ImageDigest)+" "+string(f.FailureCode))
	}
	equal(t, "failures", failures, []string{"nope ImageNotFound", "old ImageNotFound", "junk InvalidImageDigest", " MissingDigestAndTag"})

	out, err = client.BatchGetImage(t.Context(), &ecr.BatchGetImageInput{RepositoryName: sdk.String("app"), ImageIds: ids("v1"), AcceptedMediaTypes: []string{ociManifest}})
	check(t, err)
	equal(t, "images of an accepted type", len(out.Images), 0)
}

func TestLayers(t *testing.T) {
	s := start(t, Options{})
	create(t, s, "app")
	img := pushImage(t, s, "app", "v1")
	layers, err := img.Layers()
	check(t, err)
	layer := digestOf(t, layers[0]).String()
	client := ecrClient(t, s)

	out, err := client.BatchCheckLayerAvailability(t.Context(), &ecr.BatchCheckLayerAvailabilityInput{
		RepositoryName: sdk.String("app"), LayerDigests: []string{layer, absent, "junk"}})
	check(t, err)
	equal(t, "first", out.Layers[0].LayerAvailability, types.LayerAvailabilityAvailable)
	equal(t, "second", out.Layers[1].LayerAvailability, types.LayerAvailabilityUnavailable)
	equal(t, "failure", out.Failures[0].FailureCode, types.LayerFailureCodeInvalidLayerDigest)

	url, err := client.GetDownloadUrlForLayer(t.Context(), &ecr.GetDownloadUrlForLayerInput{RepositoryName: sdk.String("app"), LayerDigest: &layer})
	check(t, err)
	equal(t, "presigned", get(t, *url.DownloadUrl), http.StatusOK)
	equal(t, "presigned for another", get(t, strings.Replace(*url.DownloadUrl, "?", "0?", 1)), http.StatusForbidden)
	_, err = client.GetDownloadUrlForLayer(t.Context(), &ecr.GetDownloadUrlForLayerInput{RepositoryName: sdk.String("app"), LayerDigest: sdk.String(absent)})
	checkCode(t, err, "LayersNotFoundException", absent)
}

// TestPolicy calls everything outside the tutorial's policy, and then what Deny removes from it.
func TestPolicy(t *testing.T) {
	s := start(t, Options{})
	create(t, s, "app")
	client := ecrClient(t, s)
	ctx, app := t.Context(), sdk.String("app")
	const user = "User: arn:aws:iam::123456789012:user/gitlab-ci is not authorized to perform: "
	refused := []struct {
		call func(context.Context) error
		text string
	}{
		{func(ctx context.Context) error {
			_, err := client.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: sdk.String("new")})
			return err
		}, user + "ecr:CreateRepository on resource: arn:aws:ecr:eu-central-1:123456789012:repository/new because no identity-based policy allows the ecr:CreateRepository action"},
		{func(ctx context.Context) error {
			_, err := client.PutImage(ctx, &ecr.PutImageInput{RepositoryName: app, ImageManifest: sdk.String("{}")})
			return err
		}, "repository/app because no identity-based policy allows the ecr:PutImage action"},
		{func(ctx context.Context) error { _, err := client.DescribeRegistry(ctx, nil); return err },
			"ecr:DescribeRegistry on resource: * because no identity-based policy"},
	}
	for _, tt := range refused {
		checkCode(t, tt.call(ctx), "AccessDeniedException", tt.text)
	}

	_, err := client.DescribeRepositories(ctx, nil)
	check(t, err)
	s.Deny("ecr:DescribeRepositories", "DescribeImages")
	_, err = client.DescribeRepositories(ctx, nil)
	checkCode(t, err, "AccessDeniedException", "ecr:DescribeRepositories on resource: arn:aws:ecr:eu-central-1:123456789012:repository/* because")
	_, err = client.DescribeImages(ctx, &ecr.DescribeImagesInput{RepositoryName: app})
	checkCode(t, err, "AccessDeniedException", "repository/app because no identity-based policy allows the ecr:DescribeImages action")
	_, err = client.ListImages(ctx, &ecr.ListImagesInput{RepositoryName: app})
	check(t, err)
}

func TestOtherAccounts(t *testing.T) {
	s := start(t, Options{AccountID: "111122223333", IdentityAccountID: "444455556666"})
	create(t, s, "app")
	client := ecrClient(t, s)
	_, err := client.DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{RegistryId: &s.AccountID})
	checkCode(t, err, "AccessDeniedException", "User: arn:aws:iam::444455556666:user/gitlab-ci is not authorized to perform: ecr:DescribeRepositories "+
		"on resource: arn:aws:ecr:eu-central-1:111122223333:repository/* because no resource-based policy allows the ecr:DescribeRepositories action")
	out, err := client.DescribeRepositories(t.Context(), nil)
	check(t, err)
	equal(t, "repositories of its own", len(out.Repositories), 0)

	shared := start(t, Options{AccountID: "111122223333", IdentityAccountID: "444455556666", CrossAccount: true})
	create(t, shared, "app")
	out, err = ecrClient(t, shared).DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{RegistryId: &shared.AccountID})
	check(t, err)
	equal(t, "repositories of a shared registry", len(out.Repositories), 1)
}

func TestThrottle(t *testing.T) {
	s := start(t, Options{})
	create(t, s, "app")
	s.Throttle(1)
	_, err := ecrClient(t, s).DescribeRepositories(t.Context(), nil)
	checkCode(t, err, "ThrottlingException", "Rate exceeded")

	s.Throttle(2)
	_, err = ecr.NewFromConfig(load(t, s.Env(), withRetries(3))).DescribeRepositories(t.Context(), nil)
	check(t, err)
	equal(t, "calls", s.Calls(), map[string]int{"DescribeRepositories": 4})
}

func TestConcurrentUse(t *testing.T) {
	s := start(t, Options{})
	create(t, s, "app")
	client := ecrClient(t, s)
	errs := make(chan error)
	for i := range 8 {
		go func() {
			img, err := random.Image(64, 1)
			if err == nil {
				err = remote.Write(ref(t, s, fmt.Sprintf("app:v%d", i)), img, admin(s))
			}
			_, listErr := client.DescribeImages(t.Context(), &ecr.DescribeImagesInput{RepositoryName: sdk.String("app")})
			errs <- errors.Join(err, listErr)
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	equal(t, "calls", s.Calls()["DescribeImages"], 8)
	equal(t, "actions", slices.Sorted(maps.Keys(s.Calls())), []string{"DescribeImages"})
}

func ids(tags ...string) (all []types.ImageIdentifier) {
	for _, tag := range tags {
		all = append(all, types.ImageIdentifier{ImageTag: &tag})
	}
	return all
}

func tagsOf(t *testing.T, s *Server, repo, digest string) []string {
	t.Helper()
	out, err := ecrClient(t, s).DescribeImages(t.Context(), &ecr.DescribeImagesInput{
		RepositoryName: &repo, ImageIds: []types.ImageIdentifier{{ImageDigest: &digest}}})
	check(t, err)
	return out.ImageDetails[0].ImageTags
}

func get(t *testing.T, url string) (status int) {
	t.Helper()
	resp, err := http.Get(url)
	check(t, err)
	_, err = io.Copy(io.Discard, resp.Body)
	check(t, errors.Join(err, resp.Body.Close()))
	return resp.StatusCode
}
