package scenarios

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/aws"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/proxy"
)

// A run never succeeds if the target has less than ECR. In each row, a real engine, or the connection to it, does less
// than it should for one image: that image fails by name, and the other arrives.
func TestIncompleteAnswers(t *testing.T) {
	t.Parallel()
	const truncated = "the engine's answer ended before it reported success"
	for _, test := range []struct {
		name   string
		victim string
		around func(*testing.T, *scene, corpus.Shape) proxy.Around
		says   []string
	}{
		{"the pull just ends", "oci-manifest", pullEnds, []string{"pull ", truncated}},
		{"the pull's answer is empty", "oci-manifest", pullEmpty, []string{"pull ", truncated}},
		{"the push just ends", "oci-manifest", cutPush(1), []string{"push ", truncated}},
		{"the push's answer is empty", "oci-manifest", cutPush(0), []string{"push ", truncated}},
		{"the push's answer ends within a line", "oci-manifest", torn, []string{"push ", truncated}},
		{"the push says it pushed another digest", "oci-manifest", otherPushed, []string{otherDigest}},
		{"the target answers with another digest", "oci-manifest", replacedAtTarget, []string{"verify ", "the target answers with "}},
		{"the tag is not at the target", "oci-manifest", neverPushed, []string{"verify ", "manifest unknown"}},

		{"a child is not pulled", "oci-index", pullSkipped, []string{"pull ", truncated}},
		{"the push of an index just ends", "oci-index", cutPush(1), []string{"push ", truncated}},
	} {
		for _, kind := range engine.Kinds() {
			if kind == engine.Classic && test.victim == "oci-index" {
				continue // refused beforehand
			}
			t.Run(test.name+"/"+string(kind), func(t *testing.T) {
				t.Parallel() // it mostly waits for the next attempt
				s := startScene(t, kind, wholeImages)
				shapes := s.fillWith(t, test.victim, "docker-manifest", "odd-tags")
				s.expectVictim(t, shapes[0], shapes[1:], test.around(t, s, shapes[0]), test.says)
			})
		}
	}
}

// expectVictim runs the program with changed calls for one image, which must fail by name. The others must arrive.
func (s *scene) expectVictim(t *testing.T, victim corpus.Shape, others []corpus.Shape, around proxy.Around, says []string) {
	t.Helper()
	outcome := s.boundedRun(t, s.through(t, onlyFor(victim.Repository, around)))
	expectExit(t, outcome, 3)
	expectLine(t, outcome.Stdout, "failed", victim.Repository+":1.0")
	_, closing, _ := strings.Cut(outcome.Stdout, "Not migrated:")
	expectOutput(t, closing, append(says, "  "+victim.Repository+":1.0\n")...)
	s.expectArrived(t, outcome.Stdout, others...)
	expectNothingLeft(t, s.Engine)
}

// An engine with missing content pushes what it has, and its messages show this. Each row has its own engine: once
// content has been removed, the engine takes the remaining files for the blobs.
func TestContentMissing(t *testing.T) {
	t.Parallel()
	const (
		instead = "the engine pushed one manifest instead of the index"
		misses  = "the engine misses content of the image"
	)
	for _, test := range []struct {
		name   string
		victim string
		around func(*testing.T, *scene, corpus.Shape) proxy.Around
		says   []string
	}{
		{"a child is not there at the push", "oci-index", withoutChild, []string{"push ", misses}},
		{"a child goes away after the check", "oci-index", removed("arm64"), []string{"push ", misses}},
		{"the host's child goes away after the check", "oci-index", removed("amd64"), []string{"push ", misses}},
		{"an image goes away after the check", "oci-manifest", removed("amd64"), []string{"push ", misses}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // it mostly waits for the next attempt
			s := startSceneOn(t, ownEngine(t, engine.Containerd, engine.Options{}), wholeImages)
			shapes := s.fillWith(t, test.victim, "uncompressed-docker", "zstd") // others, with no layer in common
			s.expectVictim(t, shapes[0], shapes[1:], test.around(t, s, shapes[0]), test.says)
		})
	}
}

// wholeImages is a world whose ECR does not confirm that it has a blob, so that images are pulled whole, as those with
// large layers are.
var wholeImages = world.Options{AWS: aws.Options{Wrap: func(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/blobs/sha256:") && !strings.HasPrefix(r.UserAgent(), "go-containerregistry") {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		next.ServeHTTP(w, r)
	})
}}}

// incompleteLimit limits a run whose engine waits forever for content that it does not have.
const incompleteLimit = time.Minute

func (s *scene) boundedRun(t *testing.T, changes ...string) world.Outcome {
	t.Helper()
	return s.runWithin(t, incompleteLimit, changes...)
}

// onlyFor leaves calls for other repositories unchanged. A load has no reference, and is forwarded.
func onlyFor(repository string, around proxy.Around) proxy.Around {
	return func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
		if !strings.Contains(proxy.CallOf(r).Ref, "/"+repository) {
			engine.ServeHTTP(w, r)
			return
		}
		around(w, r, engine)
	}
}

// on changes one kind of call.
func on(verb proxy.Verb, handle proxy.Around) func(*testing.T, *scene, corpus.Shape) proxy.Around {
	return func(*testing.T, *scene, corpus.Shape) proxy.Around {
		return func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
			if proxy.CallOf(r).Verb != verb {
				engine.ServeHTTP(w, r)
				return
			}
			handle(w, r, engine)
		}
	}
}

// pullEnds and pullEmpty make the engine pull nothing, and end the response after its first line or before it. An
// interrupted pull may have pulled everything by then.
var (
	pullEnds = on(proxy.Pull, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		say(w, "Pulling from "+proxy.CallOf(r).Ref)
	})
	pullEmpty = on(proxy.Pull, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.WriteHeader(http.StatusOK)
	})
)

// cutPush ends the response to a push after the given number of lines, as if it were complete, and stops the engine.
func cutPush(lines int) func(*testing.T, *scene, corpus.Shape) proxy.Around {
	return on(proxy.Push, func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
		left := lines
		proxy.Lines(engine, func(line []byte) ([]byte, bool) {
			if left == 0 {
				return nil, false
			}
			left--
			return line, left > 0
		}).ServeHTTP(w, r)
	})
}

// torn truncates the last line of a push.
var torn = on(proxy.Push, func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
	proxy.Lines(engine, func(line []byte) ([]byte, bool) {
		if i := bytes.Index(line, []byte("digest: sha256:")); i > 0 {
			return line[:i+40], false
		}
		return line, true
	}).ServeHTTP(w, r)
})

const otherDigest = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

var pushedDigest = regexp.MustCompile(`digest: sha256:[0-9a-f]{64} size`)

// otherPushed makes the engine report another digest.
var otherPushed = on(proxy.Push, func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
	proxy.Lines(engine, func(line []byte) ([]byte, bool) {
		return pushedDigest.ReplaceAll(line, []byte("digest: "+otherDigest+" size")), true
	}).ServeHTTP(w, r)
})

// replacedAtTarget pushes another image to the tag between the program's push and its check of the result.
func replacedAtTarget(t *testing.T, s *scene, victim corpus.Shape) proxy.Around {
	t.Helper()
	other := named(t, "other")[0].Images[0].Object
	return func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
		engine.ServeHTTP(w, r)
		if proxy.CallOf(r).Verb == proxy.Push {
			putAtTarget(t, s, victim.Repository, "1.0", other)
		}
	}
}

// neverPushed answers a push like an engine that has pushed everything.
func neverPushed(t *testing.T, _ *scene, victim corpus.Shape) proxy.Around {
	t.Helper()
	last := "1.0: digest: " + digestOf(t, victim.Object).String() + " size: 669"
	return func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
		if proxy.CallOf(r).Verb == proxy.Push {
			say(w, last)
			return
		}
		engine.ServeHTTP(w, r)
	}
}

// say writes a status line in the engine's format.
func say(w http.ResponseWriter, status string) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]string{"status": status}) //nolint:errcheck // the program is gone
}

func foreignChild(t *testing.T, victim corpus.Shape) string {
	t.Helper()
	return childFor(t, victim.Object, v1.Platform{OS: "linux", Architecture: "arm64"}).String()
}

// pullSkipped keeps the engine from pulling a child: the response does not mention it.
func pullSkipped(t *testing.T, _ *scene, victim corpus.Shape) proxy.Around {
	t.Helper()
	child := foreignChild(t, victim)
	return func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
		if call := proxy.CallOf(r); call.Verb == proxy.Pull && strings.HasSuffix(call.Ref, child) {
			say(w, "Pulling from "+victim.Repository)
			return
		}
		engine.ServeHTTP(w, r)
	}
}

// withoutChild keeps the engine from pulling a child, reports that it was pulled, and lies when the program checks.
func withoutChild(t *testing.T, _ *scene, victim corpus.Shape) proxy.Around {
	t.Helper()
	child := foreignChild(t, victim)
	return func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
		switch call := proxy.CallOf(r); {
		case call.Verb == proxy.Pull && strings.HasSuffix(call.Ref, child):
			say(w, "Digest: "+child)
			return
		case call.Verb == proxy.Inspect:
			engine = proxy.Replace(engine, `"Available":false`, `"Available":true`)
		}
		engine.ServeHTTP(w, r)
	}
}

// removed removes a platform's content from the engine between the program's check and its push.
func removed(architecture string) func(*testing.T, *scene, corpus.Shape) proxy.Around {
	return func(t *testing.T, s *scene, _ corpus.Shape) proxy.Around {
		platform := url.QueryEscape(`{"os":"linux","architecture":"` + architecture + `"}`)
		return func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
			if call := proxy.CallOf(r); call.Verb == proxy.Push {
				s.ask(t, http.MethodDelete, "/images/"+call.Ref+"?force=1&platforms="+platform, nil)
			}
			engine.ServeHTTP(w, r)
		}
	}
}

// Another user's image in the engine, with the same files in different blobs, keeps the engine from pulling ours
// (moby/moby#52897). The program must not remove it: the affected images fail by name, and all others arrive.
func TestImageInTheWay(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		around proxy.Around
		step   string
		says   string
	}{
		{name: "the check finds it", step: "check ", says: "use an engine without images of its own"},
		{name: "the check misses it", step: "push ", around: func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
			if proxy.CallOf(r).Verb == proxy.Inspect {
				engine = proxy.Replace(engine, `"Available":false`, `"Available":true`)
			}
			engine.ServeHTTP(w, r)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := startScene(t, engine.Containerd, wholeImages)
			shapes := s.fillWith(t, "recompressed-best", "docker-manifest", "oci-index", "odd-tags")
			inTheWay := s.fillWith(t, "recompressed-fast")[0]
			s.pullBeforehand(t, inTheWay)
			if err := s.AWS.Untag(inTheWay.Repository, "1.0"); err != nil {
				t.Fatal(err)
			}
			victim := shapes[0].Repository + ":1.0"
			outcome := s.boundedRun(t, s.through(t, test.around))
			expectExit(t, outcome, 3)
			expectLine(t, outcome.Stdout, "failed", victim)
			expectOutput(t, outcome.Stdout, "  "+victim+"\n", test.step, test.says)
			s.expectAbsent(t, shapes[0].Repository, "1.0")
			s.expectArrived(t, outcome.Stdout, shapes[1:]...)
		})
	}
}

// pullBeforehand pulls an image into the engine and keeps it there until the test ends.
func (s *scene) pullBeforehand(t *testing.T, shape corpus.Shape) {
	t.Helper()
	auth, err := json.Marshal(s.AWS.AdminAuth())
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{"X-Registry-Auth": {base64.URLEncoding.EncodeToString(auth)}}
	ref := s.AWS.RegistryHost + "/" + shape.Repository
	if answer := s.ask(t, http.MethodPost, "/images/create?fromImage="+ref+"&tag=1.0", header); !strings.Contains(answer, "Digest: ") {
		t.Fatal(answer)
	}
	t.Cleanup(func() { s.ask(t, http.MethodDelete, "/images/"+ref+":1.0", nil) })
}
