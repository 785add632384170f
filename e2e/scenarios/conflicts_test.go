package scenarios

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/check"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/proxy"
)

// expectAtTarget makes sure that GitLab has the image of that digest under the tag.
func (s *scene) expectAtTarget(t *testing.T, repository, tag, want string) {
	t.Helper()
	if got, err := check.Digest(t.Context(), s.Target(repository, ":"+tag)); err != nil || got != want {
		t.Errorf("%s:%s is %s at the target, want %s (%v)", repository, tag, got, want, err)
	}
}

// A tag that somebody else has pushed to GitLab stays theirs, whatever is known of earlier runs, until the user says
// otherwise.
func TestSomebodyElsesTag(t *testing.T) {
	t.Parallel()
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := startScene(t, kind, world.Options{})
			shapes := s.fillWith(t, "docker-manifest", "oci-manifest")
			victim := shapes[0].Repository
			theirs := putAtTarget(t, s, victim, "1.0", shapes[1].Object)
			report := "MIGRATE_REPORT_DIR=" + t.TempDir()
			for _, row := range []struct {
				name    string
				changes []string
				exit    int
				outcome string
			}{
				{"first run", []string{report}, 3, "conflict"},
				{"second run", []string{report}, 3, "conflict"},
				{"run without report.json", nil, 3, "conflict"},
				{"kept on purpose", []string{report, "MIGRATE_CONFLICT=keep"}, 0, "kept"},
			} {
				t.Run(row.name, func(t *testing.T) {
					outcome := s.run(t, row.changes...)
					expectExit(t, outcome, row.exit)
					expectLine(t, outcome.Stdout, row.outcome, victim+":1.0")
					expectOutput(t, outcome.Stdout, theirs, digestOf(t, shapes[0].Object).String())
					s.expectAtTarget(t, victim, "1.0", theirs)
					expectNothingLeft(t, s.Engine)
				})
			}
			outcome := s.run(t, report, "MIGRATE_CONFLICT=overwrite")
			expectExit(t, outcome, 0)
			s.expectArrived(t, outcome.Stdout, shapes[0])
			expectExit(t, s.run(t, report), 0)
		})
	}
}

// A tag that somebody else has pushed to GitLab survives a run that is killed, and one without report.json after it.
func TestSomebodyElsesTagBesideAKilledRun(t *testing.T) {
	t.Parallel()
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := startSceneOn(t, ownEngine(t, kind, engine.Options{}), world.Options{}) // what the killed run leaves stays in it
			shapes := s.fillWith(t, "docker-manifest", "oci-manifest", "shared-one")
			victim := shapes[0].Repository
			theirs := putAtTarget(t, s, victim, "1.0", shapes[1].Object)
			ctx, kill := context.WithTimeout(t.Context(), time.Minute)
			defer kill()
			command := program.Command(ctx, append(s.Env(), "MIGRATE_CONCURRENCY=1", "MIGRATE_REPORT_DIR="+t.TempDir(),
				s.through(t, hold(proxy.Push, 1, kill))))
			command.Cancel = func() error { return command.Process.Kill() }
			err := command.Run()
			if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != -1 {
				t.Fatalf("not killed: %v", err)
			}
			s.expectAtTarget(t, victim, "1.0", theirs)

			outcome := s.run(t)
			expectExit(t, outcome, 3)
			expectLine(t, outcome.Stdout, "conflict", victim+":1.0")
			s.expectAtTarget(t, victim, "1.0", theirs)
			s.expectArrived(t, outcome.Stdout, shapes[1:]...)
		})
	}
}

// plan and verify name such a tag with both digests, without a pull. What an engine has made of ECR's image they cannot tell
// from it.
func TestSomebodyElsesTagIsForeseen(t *testing.T) {
	t.Parallel()
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := startScene(t, kind, world.Options{})
			shapes := s.fillWith(t, "docker-manifest", "oci-manifest")
			victim, ours := shapes[0].Repository, digestOf(t, shapes[0].Object).String()
			theirs := putAtTarget(t, s, victim, "1.0", shapes[1].Object)

			outcome := s.command(t, []string{"plan"})
			expectExit(t, outcome, 0)
			expectOutput(t, outcome.Stdout, "1  of them may be somebody else's at GitLab", "  "+victim+":1.0\n    "+ours+", "+theirs+"\n",
				"only if an engine has made it of ECR's", "MIGRATE_CONFLICT=overwrite", "MIGRATE_CONFLICT=keep")
			outcome = s.command(t, []string{"plan", "--format", "json"})
			var plan struct {
				Conflicts []struct{ Repository, Tag, SourceDigest, PushedDigest string }
			}
			if err := json.Unmarshal([]byte(outcome.Stdout), &plan); err != nil || len(plan.Conflicts) != 1 ||
				plan.Conflicts[0].SourceDigest != ours || plan.Conflicts[0].PushedDigest != theirs {
				t.Errorf("%v: %+v", err, plan)
			}

			reports := t.TempDir()
			outcome = s.command(t, []string{"verify"}, "MIGRATE_REPORT_DIR="+reports)
			expectExit(t, outcome, 3)
			expectLine(t, outcome.Stdout, "conflict", victim+":1.0")
			expectOutput(t, outcome.Stdout, "GitLab has "+theirs+", and ECR has "+ours, "MIGRATE_CONFLICT")
			for _, file := range []string{"report.html", "report.json", "junit.xml"} {
				text, err := os.ReadFile(filepath.Join(reports, file))
				if err != nil || !strings.Contains(string(text), theirs) {
					t.Errorf("%s does not have GitLab's digest (%v)", file, err)
				}
			}
			expectExit(t, s.command(t, []string{"verify"}, "MIGRATE_CONFLICT=keep", "MIGRATE_REPOSITORIES="+victim), 0)
			s.expectAtTarget(t, victim, "1.0", theirs)
			expectNothingLeft(t, s.Engine)
		})
	}
}

// What somebody pushes while the image is being pulled is theirs, whether the tag was new to GitLab or ECR's own until then.
func TestSomebodyElsesTagDuringAPull(t *testing.T) {
	t.Parallel()
	for _, kind := range engine.Kinds() {
		for _, before := range []string{"new tag", "tag that was ECR's"} {
			t.Run(before+"/"+string(kind), func(t *testing.T) {
				t.Parallel()
				s := startScene(t, kind, world.Options{})
				shapes := s.fillWith(t, "docker-manifest", "oci-manifest", "shared-one")
				victim, other := shapes[0].Repository, shapes[2].Object
				fillOlder(t, s, victim, shapes[1].Object)
				if before != "new tag" {
					putAtTarget(t, s, victim, "1.0", shapes[1].Object)
				}
				var once sync.Once
				theirs := digestOf(t, other).String()
				outcome := s.run(t, "MIGRATE_TAGS=1.0", s.through(t, func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
					if call := proxy.CallOf(r); call.Verb == proxy.Pull && strings.Contains(call.Ref, victim) {
						once.Do(func() { putAtTarget(t, s, victim, "1.0", other) })
					}
					engine.ServeHTTP(w, r)
				}))
				expectExit(t, outcome, 3)
				expectLine(t, outcome.Stdout, "conflict", victim+":1.0")
				s.expectAtTarget(t, victim, "1.0", theirs)
				expectNothingLeft(t, s.Engine)
			})
		}
	}
}

// fillOlder pushes an image to ECR under another tag of a repository that exists.
func fillOlder(t *testing.T, s *scene, repository string, object corpus.Object) {
	t.Helper()
	repo, auth, err := s.Owner(repository)
	if err == nil {
		err = corpus.Shape{Name: "older", Repository: repository, Tags: []string{"older"}, Object: object}.Push(t.Context(), repo, auth)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// What a classic engine has made of ECR's image, as the tutorial's script does, is replaced: of an index, too, of which it
// has pushed one platform.
func TestWhatTheTutorialHasLeft(t *testing.T) {
	t.Parallel()
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := startScene(t, kind, world.Options{})
			repositories := []string{"docker-manifest", "oci-manifest"}
			if kind == engine.Containerd {
				repositories = append(repositories, "oci-index")
			}
			shapes := s.fillWith(t, repositories...)
			for _, shape := range shapes {
				left := recompress(t, imageOf(t, shape.Object))
				putAtTarget(t, s, shape.Repository, "1.0", left)
			}
			outcome := s.run(t)
			expectExit(t, outcome, 0)
			s.expectArrived(t, outcome.Stdout, shapes...)
			expectNothingLeft(t, s.Engine)
		})
	}
}

// imageOf is the object, or its image for linux/amd64.
func imageOf(t *testing.T, object corpus.Object) v1.Image {
	t.Helper()
	if img, ok := object.(v1.Image); ok {
		return img
	}
	img, err := object.(v1.ImageIndex).Image(childFor(t, object, v1.Platform{OS: "linux", Architecture: "amd64"}))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// recompressed is an image whose layers have been compressed again, with the same config.
type recompressed struct {
	v1.Image // whose config it has
	layers   map[v1.Hash]v1.Layer
	manifest []byte
}

func (r recompressed) MediaType() (types.MediaType, error) { return types.DockerManifestSchema2, nil }

func (r recompressed) RawManifest() ([]byte, error) { return r.manifest, nil }

func (r recompressed) LayerByDigest(hash v1.Hash) (partial.CompressedLayer, error) {
	return r.layers[hash], nil
}

// recompress makes of the image what a classic engine pushes of it.
func recompress(t *testing.T, img v1.Image) corpus.Object {
	t.Helper()
	config, err := img.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	hash, _, err := v1.SHA256(bytes.NewReader(config))
	if err != nil {
		t.Fatal(err)
	}
	manifest := v1.Manifest{SchemaVersion: 2, MediaType: types.DockerManifestSchema2, Config: v1.Descriptor{
		MediaType: types.DockerConfigJSON, Digest: hash, Size: int64(len(config)),
	}}
	again := recompressed{Image: img, layers: map[v1.Hash]v1.Layer{}}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range layers {
		made := static.NewLayer(recompressedBytes(t, layer), types.DockerLayer)
		descriptor, err := partial.Descriptor(made)
		if err != nil {
			t.Fatal(err)
		}
		again.layers[descriptor.Digest] = made
		manifest.Layers = append(manifest.Layers, *descriptor)
	}
	if again.manifest, err = json.Marshal(manifest); err != nil {
		t.Fatal(err)
	}
	made, err := partial.CompressedToImage(again)
	if err != nil {
		t.Fatal(err)
	}
	return made.(corpus.Object)
}

func recompressedBytes(t *testing.T, layer v1.Layer) []byte {
	t.Helper()
	content, err := layer.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close() //nolint:errcheck // nothing is written
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	writer.Comment = "compressed again"
	if _, err := io.Copy(writer, content); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}
