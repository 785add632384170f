package migrate

import (
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

// somebodyElses is an image that was never in ECR.
func somebodyElses() image.Manifest {
	return image.Manifest{
		Descriptor: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("theirs")},
		Config:     testkit.Blob(ocispec.MediaTypeImageConfig, "config of theirs"),
	}
}

// TestTagsOfSomebodyElse looks at a tag that the target has with another digest than ECR's.
func TestTagsOfSomebodyElse(t *testing.T) {
	img, older, theirs := testkit.Image(t, "app"), testkit.Image(t, "older"), somebodyElses()
	pair, children := testkit.Pair(t, "index")
	flattened := image.Manifest{
		Descriptor: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("flattened")},
		Config:     children[0].Config,
	}
	for _, test := range []struct {
		name    string
		answer  image.Manifest // what the target has under the tag
		change  func(*setup)
		outcome Outcome
		says    string
	}{
		{name: "another image", answer: theirs, outcome: Conflict, says: theirs.Digest.String()},
		{name: "kept on purpose", answer: theirs, change: func(s *setup) { s.with.Conflicts = ConflictKeep }, outcome: Kept},
		{name: "overwritten on purpose", answer: theirs, change: func(s *setup) { s.with.Conflicts = ConflictOverwrite }, outcome: Exact},
		{name: "what an earlier run left", answer: theirs, change: func(s *setup) {
			s.with.Earlier = leftAt([]Earlier{{Target: s.target("1"), Pushed: theirs.Digest}})
		}, outcome: Exact},
		{name: "not what an earlier run left", answer: older, change: func(s *setup) {
			s.source.Hold("app", older)
			s.with.Earlier = leftAt([]Earlier{{Target: s.target("1"), Pushed: pair.Digest}})
		}, outcome: Conflict},
		{name: "an older image that ECR still has", answer: older, change: func(s *setup) { s.source.Hold("app", older) }, outcome: Exact},
		{name: "an older image that ECR has deleted", answer: older, outcome: Conflict},
		{name: "one platform, as the tutorial's script leaves it", answer: flattened, outcome: Exact},
		{name: "a question that fails", answer: theirs, change: func(s *setup) {
			s.engine.fails["resolve "+s.target("1")] = docker.ErrDenied
		}, outcome: Failed, says: "denied"},
		{name: "a question to ECR that fails", answer: theirs, change: func(s *setup) {
			s.engine.fails["resolve "+s.item.Image.Repository.URI+"@"+theirs.Digest.String()] = errors.New("who knows")
		}, outcome: Failed, says: "who knows"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) {
				r.Push("app", pair, "1")
				r.Hold("app", append(children, img)...)
			})
			s.engine.tags[s.target("1")] = test.answer.Digest
			s.stores(test.answer)
			if test.change != nil {
				test.change(s)
			}
			result := s.copy(t, "app:1: "+string(test.outcome))[0]
			left := s.engine.tags[s.target("1")]
			switch {
			case test.outcome == Exact && (left != pair.Digest || result.Replaced != test.answer.Digest):
				t.Errorf("the target has %s, and %q was replaced", left, result.Replaced)
			case test.outcome != Exact && (left != test.answer.Digest || len(s.engine.of("push")) > 0):
				t.Errorf("the target has %s after %q", left, s.engine.of("push"))
			}
			if test.says != "" && !strings.Contains(result.Err.Error(), test.says) {
				t.Errorf("says %q, want %q in it", result.Err, test.says)
			}
		})
	}
}

// TestTagPushedMeanwhile has somebody push to GitLab after the target was asked, and before the push.
func TestTagPushedMeanwhile(t *testing.T) {
	img, older, theirs := testkit.Image(t, "app"), testkit.Image(t, "older"), somebodyElses()
	s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", img, "1"); r.Hold("app", older) })
	s.engine.tags[s.target("1")] = older.Digest
	s.stores(theirs)
	s.engine.before = func(call string) {
		if strings.HasPrefix(call, "pull "+s.pulled(img)) {
			s.engine.mu.Lock()
			s.engine.tags[s.target("1")] = theirs.Digest
			s.engine.mu.Unlock()
		}
	}
	s.copy(t, "app:1: conflict")
	if got := s.engine.tags[s.target("1")]; got != theirs.Digest {
		t.Errorf("the target has %s", got)
	}
}

func TestIncompleteLeavesOutWhatIsKept(t *testing.T) {
	summary := Summary{Results: []Result{{Outcome: Kept}, {Outcome: Conflict}, {Outcome: Exact}}}
	if got := summary.Incomplete(); got != 1 {
		t.Errorf("%d are incomplete", got)
	}
}
