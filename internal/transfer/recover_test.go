package transfer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

func TestRecoverImage(t *testing.T) {
	img, rival := testkit.Image(t, "app"), testkit.Image(t, "rival")
	s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", img, "1", "2") })
	s.engine.Rivals[img.Digest] = rival.Digest
	s.engine.Manifests[rival.Digest] = rival
	for _, blob := range rival.Blobs() {
		s.engine.Content[blob.Digest] = true
	}
	s.setAside(t)
	s.recover(t, "app:1: exact", "app:2: exact")
}

// Two children with the same files in other blobs are never in the engine together.
func TestRecoverIndex(t *testing.T) {
	pair, children := testkit.Pair(t, "app")
	s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", pair, "1", "2"); r.Hold("app", children...) })
	s.engine.Rivals[children[1].Digest] = children[0].Digest
	s.setAside(t)
	s.recover(t, "app:1: exact", "app:2: exact")
	var want []string
	for _, leaf := range children {
		ref := "app@" + leaf.Digest.String()
		want = append(want, "pull "+ref, "load "+ref, "push "+ref, "remove "+ref, "remove "+ref) // at the target, and at the source
	}
	want = append(want, "load app:1", "push app:1", "push app:2", "remove app:1", "remove app:2")
	if got := s.engine.Of("pull", "load", "push", "remove"); !slices.Equal(got, want) {
		t.Errorf("calls\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestRecoverFailures(t *testing.T) {
	pair, children := testkit.Pair(t, "app")
	for _, test := range []struct {
		name   string
		root   image.Manifest
		change func(s *setup, leaf string)
		says   []string
		remedy string
	}{
		{
			"still incomplete", pair, func(s *setup, _ string) { s.engine.Broken[children[1].Digest] = true },
			[]string{"check ", "skipped layers", children[1].Digest.String()}, "fresh docker:dind",
		},
		{
			"an image, still incomplete", children[1], func(s *setup, _ string) { s.engine.Broken[children[1].Digest] = true },
			[]string{"check ", "skipped layers"}, "fresh docker:dind",
		},
		{
			"push of a child denied", pair, func(s *setup, leaf string) { s.engine.Fails["push "+leaf] = docker.ErrDenied },
			[]string{"push ", children[1].Digest.String()}, "below Developer",
		},
		{
			"push of a child that ends well and brings nothing", pair, func(s *setup, leaf string) { s.engine.Lost[leaf] = true },
			[]string{"verify ", children[1].Digest.String()}, "",
		},
		{
			"the target has another child", pair, func(s *setup, leaf string) { s.engine.Stands[leaf] = testkit.EmptyDigest },
			[]string{"verify ", "the target answers with " + testkit.EmptyDigest}, "",
		},
		{
			"load", pair, func(s *setup, leaf string) { s.engine.Fails["load "+leaf] = errors.New("no space left on device") },
			[]string{"tag ", "no space left"}, "",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", test.root, "1", "2"); r.Hold("app", children...) })
			test.change(s, s.item.Target+"@"+children[1].Digest.String())
			for _, r := range s.recover(t, "app:1: failed", "app:2: failed") {
				testkit.ExpectError(t, r.Err, test.says...)
				var step *transfer.StepError
				if !errors.As(r.Err, &step) || !strings.Contains(step.Remedy, test.remedy) {
					t.Errorf("%#v, want the remedy %q", r.Err, test.remedy)
				}
			}
			if len(s.engine.Tags[s.target("1")]) > 0 {
				t.Error("the tag is at the target")
			}
		})
	}
}

// What has come to the target between the two tries needs no third.
func TestRecoverPresent(t *testing.T) {
	img := testkit.Image(t, "app")
	s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", img, "1") })
	s.engine.Tags[s.target("1")] = img.Digest
	s.recover(t, "app:1: present")
	if n := s.engine.Count("pull " + s.pulled(img)); n != 0 {
		t.Errorf("%d pulls", n)
	}
}

func TestRecoverInterrupted(t *testing.T) {
	pair, children := testkit.Pair(t, "app")
	for _, kind := range []string{"resolve", "pull", "load", "missing", "push"} {
		t.Run(kind, func(t *testing.T) {
			s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", pair, "1"); r.Hold("app", children...) })
			ctx, cancel := context.WithCancel(t.Context())
			s.engine.Before = func(call string) {
				if strings.HasPrefix(call, kind) {
					cancel()
				}
			}
			for _, r := range s.copier().Recover(ctx, transfer.NewCopy(s.item), nil) {
				if r.Outcome != transfer.Failed || !errors.Is(r.Err, context.Canceled) {
					t.Errorf("%s: %s, %v", r.Name(), r.Outcome, r.Err)
				}
			}
			s.engine.ExpectEmpty(t)
		})
	}
}
