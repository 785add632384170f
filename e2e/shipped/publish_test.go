package shipped

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"go.yaml.in/yaml/v2"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/shipped/standin"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
)

// A release is described by its own section of the changelog, and fails without one.
func TestReleaseDescription(t *testing.T) {
	const changelog = "# Changelog\n\n## [Unreleased]\n\n- new\n\n## [1.2.0] - 2026-12-01\n\n### Added\n\n- old\n\n## [1.1.0] - 2026-11-01\n\n- older\n"
	for version, want := range map[string]string{"1.2.0": "\n### Added\n\n- old\n\n", "1.1.0": "\n- older\n", "1.2": "", "1.3.0": ""} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "CHANGELOG.md"), []byte(changelog), 0o644); err != nil {
			t.Fatal(err)
		}
		shell := exec.CommandContext(t.Context(), "busybox", "sh", "-e", "-c", jobScript(t, "release"))
		shell.Dir, shell.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "CI_COMMIT_TAG=" + version}
		err := shell.Run()
		if succeeded := err == nil; succeeded != (want != "") {
			t.Errorf("%s: %v", version, err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, "release.md")); err != nil || string(got) != want {
			t.Errorf("%s is described by %q (%v), want %q", version, got, err, want)
		}
	}
}

// jobScript returns the script of a job of the pipeline.
func jobScript(t *testing.T, name string) string {
	t.Helper()
	jobs := map[string]any{}
	if err := yaml.Unmarshal([]byte(read(t, ".gitlab-ci.yml")), &jobs); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, line := range jobs[name].(map[any]any)["script"].([]any) {
		lines = append(lines, line.(string))
	}
	return strings.Join(lines, "\n")
}

// publishing returns the script of the pipeline's publish job, for this machine's platform only: the base images'
// stand-ins do not support others.
func publishing(t *testing.T) string {
	t.Helper()
	script := jobScript(t, "publish")
	const platforms = "--platform linux/amd64,linux/arm64"
	if !strings.Contains(script, platforms) {
		t.Fatalf("the image is not published for %s:\n%s", platforms, script)
	}
	return strings.Replace(script, platforms, "--platform linux/amd64", 1)
}

// testPublishing runs the publish job's script. GitLab's registry before 4.42 rejects a manifest whose subject does not
// exist yet, so the attestations must not have one; BuildKit gives them one by default.
func (s shipping) testPublishing(t *testing.T, maker standin.Maker) {
	if err := maker.MakeScanner(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := s.startWorld(t)
	dir := filepath.Join(t.TempDir(), "ecr2gitlab")
	copySources(t, dir)
	plugin := s.withPlugin(t, "docker-buildx", "github.com/docker/buildx/cmd/buildx", buildxVersion)
	publish := func(script string) (string, int) {
		cmd := exec.CommandContext(t.Context(), "sh", "-e", "-c", script)
		cmd.Dir = dir
		cmd.Env = slices.Concat(s.command(t).Env, w.GitLab.Env(), []string{
			plugin, s.trust, "VERSION=1.2.3", "CI_COMMIT_SHA=0123abc", "LATEST=--tag " + w.GitLab.Image + ":latest",
		})
		return s.run(t, cmd)
	}
	output, code := publish(publishing(t))
	if code != 0 {
		t.Fatalf("exit code %d:\n%s", code, output)
	}
	for _, tag := range []string{"1.2.3", "latest"} {
		index := readIndex(t, w, tag)
		if subjects := expectAttestations(t, index); subjects != 0 {
			t.Errorf("%s: %d attestations have a subject", tag, subjects)
		}
		digest, err := index.Digest()
		if err != nil {
			t.Fatal(err)
		}
		expectOutput(t, output, "IMAGE="+w.GitLab.Image+"@"+digest.String())
	}

	if output, code = publish(strings.Replace(publishing(t), ",oci-artifact=false", "", 1)); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, output)
	}
	if expectAttestations(t, readIndex(t, w, "latest")) == 0 {
		t.Error("BuildKit's own attestations have no subject any more: oci-artifact=false can go")
	}
}

func readIndex(t *testing.T, w *world.World, tag string) v1.ImageIndex {
	t.Helper()
	ref, err := name.ParseReference(w.GitLab.Image+":"+tag, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(ref, remote.WithAuth(w.GitLab.Auth()), remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return index
}

// expectAttestations checks that the index has an SBOM and a provenance, and counts the manifests with a subject.
func expectAttestations(t *testing.T, index v1.ImageIndex) (subjects int) {
	t.Helper()
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, child := range manifest.Manifests {
		if child.Annotations["vnd.docker.reference.type"] != "attestation-manifest" {
			continue
		}
		image, err := index.Image(child.Digest)
		if err != nil {
			t.Fatal(err)
		}
		attestations, err := image.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		if attestations.Subject != nil {
			subjects++
		}
		for _, layer := range attestations.Layers {
			found = append(found, layer.Annotations["in-toto.io/predicate-type"])
		}
	}
	for _, want := range []string{"https://spdx.dev/Document", "https://slsa.dev/provenance/"} {
		if !slices.ContainsFunc(found, func(predicate string) bool { return strings.HasPrefix(predicate, want) }) {
			t.Errorf("%s is missing among the attestations %q", want, found)
		}
	}
	return subjects
}
