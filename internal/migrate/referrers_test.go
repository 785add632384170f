package migrate

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

func referrersOf(m image.Manifest, n string) string { return n + " referrers of " + m.Digest.String() }

func TestReferrersIndex(t *testing.T) {
	img := testkit.Image(t, "app")
	signature, sbom := testkit.Artifact(t, "application/x-signature", "s", img), testkit.Artifact(t, "application/x-sbom", "b", img)
	chart := testkit.ImageDocument("chart")
	chart.Config.MediaType = "application/vnd.cncf.helm.config.v1+json"
	helm := chart.Manifest(t)
	trees := []image.Tree{image.NewTree(signature, nil), image.NewTree(sbom, nil), image.NewTree(helm, nil)}
	first, err := image.ReferrersIndex(trees)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(trees)
	second, err := image.ReferrersIndex(trees)
	if err != nil || first.Root.Digest != second.Root.Digest {
		t.Errorf("the same referrers make %s and %s; error %v", first.Root.Digest, second.Root.Digest, err)
	}
	var index ocispec.Index
	if err := json.Unmarshal(first.Root.Raw, &index); err != nil {
		t.Fatal(err)
	}
	if index.SchemaVersion != 2 || index.MediaType != ocispec.MediaTypeImageIndex || len(index.Manifests) != 3 {
		t.Errorf("index %s", first.Root.Raw)
	}
	for _, d := range index.Manifests {
		m := testkit.ByDigest(signature, sbom, helm)[d.Digest]
		artifactType := map[digest.Digest]string{
			signature.Digest: "application/x-signature", sbom.Digest: "application/x-sbom", helm.Digest: chart.Config.MediaType,
		}[d.Digest]
		if d.MediaType != m.MediaType || d.Size != m.Size || d.ArtifactType != artifactType || d.Annotations["of"] != m.Annotations["of"] {
			t.Errorf("lists %+v of %s", d, m.Raw)
		}
	}
	if len(first.Leaves()) != 3 {
		t.Errorf("%d leaves", len(first.Leaves()))
	}
}

func TestBringReferrers(t *testing.T) {
	pair, children := testkit.Pair(t, "app")
	signature := testkit.Artifact(t, "application/x-signature", "signature", pair)
	sbom := testkit.Artifact(t, "application/x-sbom", "sbom of arm64", children[1])
	counter := testkit.Artifact(t, "application/x-signature", "signature of the sbom", sbom)
	fill := func(r *testkit.Registry) {
		r.Push("app", pair, "1", "2")
		r.Hold("app", children...)
		r.Push("app", counter)
		r.Push("app", sbom)
		r.Push("app", signature)
	}
	one := func(m image.Manifest) image.Tree {
		tree, err := image.ReferrersIndex([]image.Tree{image.NewTree(m, nil)})
		if err != nil {
			t.Fatal(err)
		}
		return tree
	}
	denied := errors.New("toomanyrequests")
	all := []string{
		"app:1: exact", "app:2: exact",
		referrersOf(pair, "1") + ": exact", referrersOf(children[1], "1") + ": exact", referrersOf(sbom, "1") + ": exact",
	}
	with := func(outcome transfer.Outcome, i int) []string {
		changed := slices.Clone(all)
		before, _, _ := strings.Cut(changed[i], ": ")
		if i > 1 {
			before = strings.TrimSuffix(changed[i], ": exact")
		}
		changed[i] = before + ": " + string(outcome)
		return changed
	}
	for _, test := range []struct {
		name   string
		change func(e *testkit.Engine, tag string) // tag: the referrers' of the index
		want   []string
		says   string // of the result of the index's referrers

		untouched bool // by any push
	}{
		{"all, subjects first", func(*testkit.Engine, string) {}, all, "", false},
		{"present", func(e *testkit.Engine, tag string) { e.Tags[tag] = one(signature).Root.Digest }, with(transfer.Present, 2), "", true},
		{"others at the target", func(e *testkit.Engine, tag string) { e.Tags[tag] = testkit.EmptyDigest }, with(transfer.Failed, 2), "they are left alone", true},
		{"nobody knows what is at the target", func(e *testkit.Engine, tag string) { e.Fails["resolve "+tag] = denied }, with(transfer.Failed, 2), "toomanyrequests", true},
		{"push denied", func(e *testkit.Engine, tag string) { e.Fails["push "+tag] = docker.ErrDenied }, with(transfer.Failed, 2), "denied", false},
		{"pull fails", func(e *testkit.Engine, _ string) {
			e.Fails["pull "+testkit.Repository("app").Reference(signature)] = denied
		}, with(transfer.Failed, 2), "toomanyrequests", false},
		{"incomplete", func(e *testkit.Engine, _ string) { e.Broken[signature.Digest] = true }, with(transfer.Failed, 2), "skipped layers", false},
		{"another digest pushed", func(e *testkit.Engine, tag string) { e.Answers[tag] = testkit.EmptyDigest }, with(transfer.Failed, 2), "the engine pushed " + testkit.EmptyDigest, false},
		{"nothing arrives", func(e *testkit.Engine, tag string) { e.Lost[tag] = true }, with(transfer.Failed, 2), "manifest unknown", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			source := testkit.NewRegistry()
			fill(source)
			engine := testkit.NewEngine(source)
			tag := targetTag(image.ReferrersTag(pair.Digest))
			test.change(engine, tag)
			before := engine.Tags[tag]
			summary, _, err := runIn(t, engine, func(o *Options) { o.Concurrency = 1 })
			results := summary.Results
			if got := slices.Sorted(slices.Values(outcomes(results))); err != nil || !slices.Equal(got, slices.Sorted(slices.Values(test.want))) {
				t.Errorf("results %q, want %q; error %v", got, test.want, err)
			}
			engine.ExpectEmpty(t)
			at := slices.IndexFunc(results, func(r transfer.Result) bool { return r.Subject == pair.Digest })
			if at < 0 {
				t.Fatalf("results %q without the referrers of the index", outcomes(results))
			}
			if results[0].Referrers > 0 || results[1].Referrers > 0 {
				t.Errorf("results %q, want the subject's first", outcomes(results))
			}
			if r := results[at]; test.says != "" {
				testkit.ExpectError(t, r.Err, test.says)
				if now := engine.Tags[tag]; before != "" && now != before {
					t.Errorf("the target's %s became %s", before, now)
				}
			}
			if n := engine.Count("push " + tag); test.untouched && n != 0 {
				t.Errorf("%d pushes", n)
			}
		})
	}
}

// Referrers follow an image of which one tag is at the target, however it came there.
func TestReferrersWithoutAllTags(t *testing.T) {
	img := testkit.Image(t, "app")
	fill := func(r *testkit.Registry) {
		r.Push("app", img, "1", "2")
		r.Push("app", testkit.Artifact(t, "application/x", "signature", img))
	}
	for _, test := range []struct {
		name   string
		change func(*testkit.Engine)
		want   []string
	}{
		{"one tag denied", func(e *testkit.Engine) { e.Fails["push "+targetTag("1")] = docker.ErrDenied },
			[]string{"app:1: failed", "app:2: exact", referrersOf(img, "1") + ": exact"}},
		{"one present, one denied", func(e *testkit.Engine) {
			e.Tags[targetTag("1")] = img.Digest
			e.Fails["push "+targetTag("2")] = docker.ErrDenied
		}, []string{"app:1: present", "app:2: failed", referrersOf(img, "1") + ": exact"}},
		{"one present, no more to be had", func(e *testkit.Engine) {
			e.Tags[targetTag("1")] = img.Digest
			e.Fails["pull "+testkit.Repository("app").Reference(img)] = docker.ErrNotFound
		}, []string{"app:1: present", "app:2: failed", referrersOf(img, "1") + ": exact"}},
		{"all present", func(e *testkit.Engine) {
			e.Tags[targetTag("1")], e.Tags[targetTag("2")] = img.Digest, img.Digest
		}, []string{"app:1: present", "app:2: present", referrersOf(img, "1") + ": exact"}},
		{"none arrived", func(e *testkit.Engine) {
			e.Fails["pull "+testkit.Repository("app").Reference(img)] = docker.ErrNotFound
		},
			[]string{"app:1: failed", "app:2: failed"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			source := testkit.NewRegistry()
			fill(source)
			engine := testkit.NewEngine(source)
			test.change(engine)
			expectRun(t, engine, test.want...)
		})
	}
}

func TestReferrersBroken(t *testing.T) {
	source, img, _ := signedImage(t)
	source.Push("app", testkit.Artifact(t, "application/x", "archived", img))
	source.Tagged["app"][2].Archived = true
	engine := testkit.NewEngine(source)
	results := expectRun(t, engine, "app:1: exact", referrersOf(img, "2")+": failed")
	testkit.ExpectError(t, results[1].Err, "archived in ECR")
	if d := engine.Tags[results[1].Target]; d != "" {
		t.Errorf("a part of them is at the target: %s", d)
	}
}

func TestReferrersClassic(t *testing.T) {
	source, img, _ := signedImage(t)
	engine := testkit.NewEngine(source)
	engine.Kind = image.ClassicStore
	results := expectRun(t, engine, "app:1: changed", referrersOf(img, "1")+": refused")
	testkit.ExpectError(t, results[1].Err, "docker:29-dind")
}

// Two images that share a child share its referrers: they are brought once, and nobody clears them away under another.
func TestReferrersShared(t *testing.T) {
	shared := testkit.Image(t, "shared")
	signature := testkit.Artifact(t, "application/x", "signature", shared)
	source := testkit.NewRegistry()
	source.Hold("app", shared)
	const images = 8
	for i := range images {
		own := testkit.Image(t, strings.Repeat("own", i+1))
		source.Hold("app", own)
		source.Push("app", testkit.Index(t, testkit.Child(shared, testkit.Linux("amd64")), testkit.Child(own, testkit.Linux("arm64"))), strings.Repeat("v", i+1))
	}
	source.Push("app", signature)
	engine := testkit.NewEngine(source)
	summary, _, err := runIn(t, engine, func(o *Options) { o.Concurrency = images })
	if err != nil || len(summary.Results) != images+1 || summary.Incomplete() != 0 {
		t.Errorf("results %q, error %v", outcomes(summary.Results), err)
	}
	if n := engine.Count("push " + testkit.TargetBase + "/app:" + image.ReferrersTag(shared.Digest)); n != 1 {
		t.Errorf("%d pushes of the shared referrers", n)
	}
	engine.ExpectEmpty(t)
}

// If the first who comes cannot bring them, the next one tries.
func TestReferrersSharedTriedAgain(t *testing.T) {
	source, img, _ := signedImage(t)
	engine := testkit.NewEngine(source)
	push := "push " + targetTag(image.ReferrersTag(img.Digest))
	engine.Fails[push] = errors.New("connection reset")
	expectRun(t, engine, "app:1: exact", referrersOf(img, "1")+": failed")
	delete(engine.Fails, push)
	expectRun(t, engine, "app:1: present", referrersOf(img, "1")+": exact")
	before := len(engine.Of("pull", "push", "load"))
	expectRun(t, engine, "app:1: present", referrersOf(img, "1")+": present")
	if moved := engine.Of("pull", "push", "load")[before:]; len(moved) > 0 {
		t.Errorf("a second run makes the calls %q", moved)
	}
}

// signedImage has an image with a signature in a repository.
func signedImage(t *testing.T) (source *testkit.Registry, img, signature image.Manifest) {
	t.Helper()
	img = testkit.Image(t, "app")
	signature = testkit.Artifact(t, "application/x", "signature", img)
	source = testkit.NewRegistry()
	source.Push("app", img, "1")
	source.Push("app", signature)
	return source, img, signature
}

// What has come to the target between the two tries needs no third, and the referrers follow.
func TestReferrersOfAnImageThatArrivesMeanwhile(t *testing.T) {
	source, img, _ := signedImage(t)
	engine := testkit.NewEngine(source)
	engine.Broken[img.Digest] = true
	pull, pulls := "pull "+testkit.Repository("app").Reference(img), 0
	results := expectRunWith(t, engine, func(e Event) {
		if _, ok := e.(Recovering); ok {
			engine.Tags[targetTag("1")], pulls = img.Digest, engine.Count(pull)
		}
	}, "app:1: present", referrersOf(img, "1")+": exact")
	if n := engine.Count(pull); pulls == 0 || n != pulls {
		t.Errorf("%d pulls, and %d before: results %q", n, pulls, outcomes(results))
	}
}

// One tag that is there has the referrers of the image, even if the image cannot be brought for the other.
func TestReferrersBesideATagThatFails(t *testing.T) {
	source := testkit.NewRegistry()
	img := testkit.Image(t, "app")
	source.Push("app", img, "1", "2")
	source.Push("app", testkit.Artifact(t, "application/x", "signature", img))
	engine := testkit.NewEngine(source)
	engine.Tags[targetTag("1")] = img.Digest
	engine.Broken[img.Digest] = true
	expectRun(t, engine, "app:1: present", "app:2: failed", referrersOf(img, "1")+": exact")
}
