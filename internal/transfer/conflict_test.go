package transfer_test

import (
	"context"
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
			s.with.Earlier = map[string][]digest.Digest{s.target("1"): {theirs.Digest}}
		}, outcome: transfer.Exact},
		{name: "not what an earlier run left", answer: older, change: func(s *setup) {
			s.source.Hold("app", older)
			s.with.Earlier = map[string][]digest.Digest{s.target("1"): {pair.Digest}}
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
	for name, before := range map[string]digest.Digest{"a new tag": "", "a tag that was ECR's": older.Digest} {
		t.Run(name, func(t *testing.T) {
			s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", img, "1"); r.Hold("app", older) })
			if before != "" {
				s.engine.Tags[s.target("1")] = before
			}
			s.stores(theirs)
			s.engine.Before = func(call string) {
				if strings.HasPrefix(call, "pull "+s.pulled(img)) {
					s.puts(theirs, "1")
				}
			}
			s.copy(t, "app:1: conflict")
			if got := s.engine.Tags[s.target("1")]; got != theirs.Digest {
				t.Errorf("the target has %s", got)
			}
		})
	}
}

// puts pushes the manifest to the target, past the engine.
func (s *setup) puts(m image.Manifest, tag string) {
	s.engine.Mu.Lock()
	defer s.engine.Mu.Unlock()
	s.engine.Tags[s.target(tag)] = m.Digest
}

// TestTagPushedBetweenTries has a push fail for a while, and something arrive at the target meanwhile.
func TestTagPushedBetweenTries(t *testing.T) {
	img, older, theirs := testkit.Image(t, "app"), testkit.Image(t, "older"), somebodyElses()
	for _, test := range []struct {
		name     string
		arrives  image.Manifest
		want     string
		pushes   int
		replaced digest.Digest
	}{
		{"somebody else's image", theirs, "app:1: conflict", 1, ""},
		{"the image itself, though the push has failed", img, "app:1: exact", 2, older.Digest},
		{"nothing new", older, "app:1: exact", 2, older.Digest},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", img, "1"); r.Hold("app", older) })
			s.engine.Tags[s.target("1")] = older.Digest
			s.stores(theirs)
			push := "push " + s.target("1")
			s.engine.Fails[push] = docker.ErrUnavailable
			s.with.Retry = func(_ context.Context, _ transfer.Step, _ string, call func() error) error {
				err := call()
				if errors.Is(err, docker.ErrUnavailable) {
					s.puts(test.arrives, "1")
					s.engine.Fail(push, nil)
					err = call()
				}
				return err
			}
			result := s.copy(t, test.want)[0]
			if n := s.engine.Count(push); n != test.pushes || result.Replaced != test.replaced {
				t.Errorf("%d pushes, and %q was replaced; want %d and %q", n, result.Replaced, test.pushes, test.replaced)
			}
		})
	}
}
