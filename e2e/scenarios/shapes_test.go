package scenarios

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/check"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

// Both engines migrate every shape of image and artifact: with the containerd store byte for byte, with the classic
// store file by file or not at all.
func TestShapes(t *testing.T) {
	t.Parallel()
	shapes, err := corpus.Shapes(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := startWorld(t, borrowEngine(t, kind), world.Options{})
			fillShapes(t, w, shapes)
			outcome := run(t, w.Env())
			expectExit(t, outcome, map[engine.Kind]int{engine.Classic: 3, engine.Containerd: 0}[kind])
			compareShapes(t, w, shapes, outcome.Stdout)
			expectNothingLeft(t, w.Engine)
		})
	}
}

// compareShapes checks each row with the independent client, and prints its outcome.
func compareShapes(t *testing.T, w *world.World, shapes []corpus.Shape, output string) {
	t.Helper()
	var table strings.Builder
	rows := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	var checker check.Checker
	for _, shape := range shapes {
		became := map[string]bool{}
		for _, tag := range shape.Tags {
			became[compareTag(t, w, &checker, shape, tag, output)] = true
		}
		fmt.Fprintf(rows, "%s\t%s\t%d tags\t%s\n", shape.Name, shape.Repository, len(shape.Tags), strings.Join(keys(became), ", "))
		compareReferrers(t, w, &checker, shape, output)
	}
	if err := rows.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + table.String())
}

func keys(set map[string]bool) []string {
	var all []string
	for key := range set {
		all = append(all, key)
	}
	return all
}

// compareReferrers finds the referrers as cosign and oras do in a registry without a referrers API, and compares them.
func compareReferrers(t *testing.T, w *world.World, checker *check.Checker, shape corpus.Shape, output string) {
	t.Helper()
	for _, referrer := range shape.Referrers {
		subject, digest := subjectAndDigest(t, referrer)
		if w.Engine.Kind == engine.Classic {
			if shape.Classic == corpus.Carries {
				expectOutput(t, output, shape.Repository+"@"+subject)
			}
			continue
		}
		if !hasReferrer(t, w, shape.Repository, subject, digest) {
			t.Errorf("%s: the target does not list %s as a referrer of %s", shape.Name, digest, subject)
		}
		report, err := checker.Same(t.Context(), w.Source(shape.Repository, "@"+digest), w.Target(shape.Repository, "@"+digest))
		if err != nil {
			t.Fatal(err)
		}
		for _, difference := range report.Differences {
			t.Errorf("%s: referrer %s: %s", shape.Name, digest, difference)
		}
	}
}

func subjectAndDigest(t *testing.T, referrer corpus.Object) (subject, digest string) {
	t.Helper()
	raw, err := referrer.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct{ Subject struct{ Digest string } }
	if err := json.Unmarshal(raw, &manifest); err != nil || manifest.Subject.Digest == "" {
		t.Fatalf("no subject in %s: %v", raw, err)
	}
	return manifest.Subject.Digest, fmt.Sprintf("sha256:%x", sha256.Sum256(raw))
}

// hasReferrer asks the target as OCI 1.1 clients do.
func hasReferrer(t *testing.T, w *world.World, repository, subject, digest string) bool {
	t.Helper()
	ref, err := name.NewDigest(w.Target(repository, "@"+subject).Name, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Referrers(ref, remote.WithAuth(w.GitLab.Auth()), remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, descriptor := range manifest.Manifests {
		if descriptor.Digest.String() == digest {
			return descriptor.ArtifactType != ""
		}
	}
	return false
}
