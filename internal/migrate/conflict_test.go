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
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
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
		outcome transfer.Outcome
		says    string
	}{
		{name: "another image", answer: theirs, outcome: transfer.Conflict, says: theirs.Digest.String()},
		{name: "kept on purpose", answer: theirs, change: func(s *setup) { s.with.Conflicts = transfer.ConflictKeep }, outcome: transfer.Kept},
		{name: "overwritten on purpose", answer: theirs, change: func(s *setup) { s.with.Conflicts = transfer.ConflictOverwrite }, outcome: transfer.Exact},
		{name: "what an earlier run left", answer: theirs, change: func(s *setup) {
			s.with.Earlier = leftAt([]Earlier{{Target: s.target("1"), Pushed: theirs.Digest}})
		}, outcome: transfer.Exact},
		{name: "not what an earlier run left", answer: older, change: func(s *setup) {
			s.source.Hold("app", older)
			s.with.Earlier = leftAt([]Earlier{{Target: s.target("1"), Pushed: pair.Digest}})
		}, outcome: transfer.Conflict},
		{name: "an older image that ECR still has", answer: older, change: func(s *setup) { s.source.Hold("app", older) }, outcome: transfer.Exact},
		{name: "an older image that ECR has deleted", answer: older, outcome: transfer.Conflict},
		{name: "one platform, as the tutorial's script leaves it", answer: flattened, outcome: transfer.Exact},
		{name: "a question that fails", answer: theirs, change: func(s *setup) {
			s.engine.Fails["resolve "+s.target("1")] = docker.ErrDenied
		}, outcome: transfer.Failed, says: "denied"},
		{name: "a question to ECR that fails", answer: theirs, change: func(s *setup) {
			s.engine.Fails["resolve "+s.item.Image.Repository.URI+"@"+theirs.Digest.String()] = errors.New("who knows")
		}, outcome: transfer.Failed, says: "who knows"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) {
				r.Push("app", pair, "1")
				r.Hold("app", append(children, img)...)
			})
			s.engine.Tags[s.target("1")] = test.answer.Digest
			s.stores(test.answer)
			if test.change != nil {
				test.change(s)
			}
			result := s.copy(t, "app:1: "+string(test.outcome))[0]
			left := s.engine.Tags[s.target("1")]
			switch {
			case test.outcome == transfer.Exact && (left != pair.Digest || result.Replaced != test.answer.Digest):
				t.Errorf("the target has %s, and %q was replaced", left, result.Replaced)
			case test.outcome != transfer.Exact && (left != test.answer.Digest || len(s.engine.Of("push")) > 0):
				t.Errorf("the target has %s after %q", left, s.engine.Of("push"))
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
	s.engine.Tags[s.target("1")] = older.Digest
	s.stores(theirs)
	s.engine.Before = func(call string) {
		if strings.HasPrefix(call, "pull "+s.pulled(img)) {
			s.engine.Mu.Lock()
			s.engine.Tags[s.target("1")] = theirs.Digest
			s.engine.Mu.Unlock()
		}
	}
	s.copy(t, "app:1: conflict")
	if got := s.engine.Tags[s.target("1")]; got != theirs.Digest {
		t.Errorf("the target has %s", got)
	}
}

func TestIncompleteLeavesOutWhatIsKept(t *testing.T) {
	summary := Summary{Results: []transfer.Result{{Outcome: transfer.Kept}, {Outcome: transfer.Conflict}, {Outcome: transfer.Exact}}}
	if got := summary.Incomplete(); got != 1 {
		t.Errorf("%d are incomplete", got)
	}
}
