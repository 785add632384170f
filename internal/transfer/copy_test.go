package transfer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

func TestCopyOncePulledForAllTags(t *testing.T) {
	img := testkit.Image(t, "app")
	s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", img, "1", "1.2", "latest") })
	results := s.copy(t, "app:1: exact", "app:1.2: exact", "app:latest: exact")
	if n := s.engine.Count("pull " + s.pulled(img)); n != 1 {
		t.Errorf("%d pulls", n)
	}
	for _, r := range results {
		if r.Source != img.Digest || r.Pushed != img.Digest || s.engine.Tags[r.Target] != img.Digest {
			t.Errorf("%s: %s -> %s, and the target has %s", r.Name(), r.Source, r.Pushed, s.engine.Tags[r.Target])
		}
	}
}

func TestCopyIndex(t *testing.T) {
	pair, children := testkit.Pair(t, "app")
	twice := testkit.Index(t, testkit.Child(children[0], testkit.Linux("amd64")), testkit.Child(pair, nil), testkit.Child(children[0], testkit.Linux("386")))
	s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", twice, "1"); r.Hold("app", append(children, pair)...) })
	s.copy(t, "app:1: exact")
	want := []string{"load app:1", "pull app@" + children[0].Digest.String(), "pull app@" + children[1].Digest.String(), "push app:1"}
	if got := s.engine.Of("pull", "load", "tag", "push"); !slices.Equal(got, want) {
		t.Errorf("calls %q, want %q", got, want)
	}
}

func TestCopySkipsWhatIsPresent(t *testing.T) {
	img, older := testkit.Image(t, "app"), testkit.Image(t, "older")
	s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", img, "1", "latest"); r.Hold("app", older) })
	s.engine.Tags[s.target("1")] = img.Digest
	s.engine.Tags[s.target("latest")] = older.Digest
	s.copy(t, "app:1: present", "app:latest: exact")
	s.engine.Calls = nil
	s.copy(t, "app:1: present", "app:latest: present")
	if got := s.engine.Of("pull", "load", "tag", "push", "remove"); len(got) > 0 {
		t.Errorf("calls %q for what is present", got)
	}
}

// Every way to end with less at the target than at the source has to end with a failure.
func TestCopyFailures(t *testing.T) {
	img := testkit.Image(t, "app")
	refused := errors.New("the words of the engine")
	other := digest.FromString("other")
	for _, test := range []struct {
		name   string
		change func(*setup)
		says   []string
		remedy string
	}{
		{"pull", func(s *setup) { s.engine.Fails["pull "+s.pulled(img)] = refused }, []string{"pull ", "the words of the engine"}, ""},
		{"gone", func(s *setup) { delete(s.source.Held["app"], img.Digest) }, []string{"pull ", "not found"}, "deleted or archived since"},
		{"pull denied", func(s *setup) { s.engine.Fails["pull "+s.pulled(img)] = docker.ErrDenied }, []string{"pull "}, "ecr:BatchGetImage"},
		{"check", func(s *setup) { s.engine.Fails["missing "+s.target("1")] = refused }, []string{"check "}, ""},
		{"tag", func(s *setup) { s.engine.Fails["tag "+s.target("1")] = refused }, []string{"tag "}, ""},
		{"push", func(s *setup) { s.engine.Fails["push "+s.target("1")] = refused }, []string{"push ", wordsAtTag}, ""},
		{"push denied", func(s *setup) { s.engine.Fails["push "+s.target("1")] = docker.ErrDenied }, []string{"push "}, "below Developer"},
		{"another digest pushed", func(s *setup) { s.engine.Answers[s.target("1")] = other }, []string{"push ", "the engine pushed " + other.String()}, ""},
		{"a push that ends well and brings nothing", func(s *setup) { s.engine.Lost[s.target("1")] = true }, []string{"verify ", "manifest unknown"}, ""},
		{"another digest at the target", func(s *setup) { s.engine.Stands[s.target("1")] = other }, []string{"verify ", "answers with " + other.String()}, ""},
		{"the target does not answer", func(s *setup) { s.engine.Fails["resolve "+s.target("1")] = refused }, []string{"verify ", wordsAtTag}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", img, "1") })
			test.change(s)
			result := s.copy(t, "app:1: failed")[0]
			testkit.ExpectError(t, result.Err, test.says...)
			var step *transfer.StepError
			if !errors.As(result.Err, &step) || !strings.Contains(step.Remedy, test.remedy) || test.remedy == "" && step.Remedy != "" {
				t.Errorf("%#v, want the remedy %q", result.Err, test.remedy)
			}
			if result.Pushed != "" {
				t.Errorf("pushed %s", result.Pushed)
			}
		})
	}
}

const wordsAtTag = "app:1: the words of the engine"

// One tag that is denied does not hold up the others.
func TestCopyOneTagDenied(t *testing.T) {
	s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", testkit.Image(t, "app"), "1", "2", "3") })
	s.engine.Fails["push "+s.target("2")] = docker.ErrDenied
	s.copy(t, "app:1: exact", "app:2: failed", "app:3: exact")
}

func TestCopyClassic(t *testing.T) {
	img := testkit.Image(t, "app")
	other := digest.FromString("other")
	for _, test := range []struct {
		name    string
		change  func(*setup)
		outcome transfer.Outcome
		pushed  digest.Digest
	}{
		{"compressed again", func(*setup) {}, transfer.Changed, testkit.Recompressed(img.Digest)},
		{"compressed as before", func(s *setup) { s.engine.Answers[s.target("1")] = img.Digest }, transfer.Exact, img.Digest},
		{"one platform on purpose", func(s *setup) { s.item.Reduced = true }, transfer.OnePlatform, testkit.Recompressed(img.Digest)},
		{"the target has another", func(s *setup) { s.engine.Stands[s.target("1")] = other }, transfer.Failed, ""},
		{"the target has none", func(s *setup) { s.engine.Lost[s.target("1")] = true }, transfer.Failed, ""},
		{"a failed pull, whatever is there", func(s *setup) {
			s.engine.Fails["pull "+s.pulled(img)], s.engine.Arrives[s.pulled(img)] = errors.New("unpigz"), true
		}, transfer.Failed, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSetup(t, image.ClassicStore, func(r *testkit.Registry) { r.Push("app", img, "1") })
			test.change(s)
			result := s.copy(t, "app:1: "+string(test.outcome))[0]
			if result.Source != img.Digest || result.Pushed != test.pushed {
				t.Errorf("%s -> %s", result.Source, result.Pushed)
			}
			if got := s.engine.Of("missing"); len(got) > 0 {
				t.Errorf("the classic store knows no %q", got)
			}
		})
	}
}

// What an earlier run has left with another digest stays, where neither side has changed since. Nothing else does.
func TestCopySkipsKnownPairs(t *testing.T) {
	img := testkit.Image(t, "app")
	other := digest.FromString("other")
	left := testkit.Recompressed(img.Digest)
	pair := transfer.DigestChange{Source: img.Digest, Root: img.Digest, Pushed: left}
	for _, test := range []struct {
		name    string
		store   image.Store
		pair    transfer.DigestChange // "": none is known
		answer  digest.Digest         // of the target; "": it does not have the tag
		outcome transfer.Outcome
	}{
		{"as it was left", image.ClassicStore, pair, left, transfer.Present},
		{"not known, and of the same config", image.ClassicStore, transfer.DigestChange{}, left, transfer.Changed},
		{"the target has another", image.ClassicStore, pair, other, transfer.Conflict},
		{"the target has none", image.ClassicStore, pair, "", transfer.Changed},
		{"the source has another", image.ClassicStore, transfer.DigestChange{Source: other, Root: other, Pushed: left}, left, transfer.Changed},
		{"one platform of it was copied", image.ClassicStore, transfer.DigestChange{Source: img.Digest, Root: other, Pushed: left}, left, transfer.Changed},
		{"an engine that can do better", image.ContainerdStore, pair, left, transfer.Exact},
		{"the source's own, whatever was left", image.ClassicStore, pair, img.Digest, transfer.Present},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSetup(t, test.store, func(r *testkit.Registry) { r.Push("app", img, "1") })
			if test.answer != "" {
				s.engine.Tags[s.target("1")] = test.answer
			}
			s.stores(image.Manifest{Descriptor: ocispec.Descriptor{Digest: left}, Config: img.Config})
			s.stores(image.Manifest{Descriptor: ocispec.Descriptor{Digest: other}, Config: testkit.Blob(ocispec.MediaTypeImageConfig, "theirs")})
			s.with.Known = func(repository, target string) (transfer.DigestChange, bool) {
				known := repository == "app" && target == s.target("1") && test.pair != transfer.DigestChange{}
				return test.pair, known
			}
			result := s.copy(t, "app:1: "+string(test.outcome))[0]
			if result.Outcome == transfer.Present && (result.Pushed != test.answer || len(s.engine.Of("pull", "tag", "push")) > 0) {
				t.Errorf("%s, after %q", result.Pushed, s.engine.Of("pull", "tag", "push"))
			}
		})
	}
}

// The containerd store fails the pull of what it cannot unpack, once all of it has arrived.
func TestCopyWhatCannotBeUnpacked(t *testing.T) {
	seal := testkit.Image(t, "attestation")
	img := testkit.Image(t, "app")
	index := testkit.Index(t, testkit.Child(img, testkit.Linux("amd64")), testkit.Child(seal, &ocispec.Platform{OS: "unknown", Architecture: "unknown"}))
	unpack := errors.New("failed to unpack image on snapshotter overlayfs: mismatched image rootfs and manifest layers")
	for _, test := range []struct {
		name    string
		change  func(*setup)
		outcome string
	}{
		{"all has arrived", func(*setup) {}, "app:1: exact"},
		{"not all has arrived", func(s *setup) { s.engine.Broken[seal.Digest] = true }, "app:1: failed"},
		{"nothing has arrived", func(s *setup) { delete(s.engine.Arrives, s.pulled(seal)) }, "app:1: failed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", index, "1"); r.Hold("app", img, seal) })
			s.engine.Fails["pull "+s.pulled(seal)], s.engine.Arrives[s.pulled(seal)] = unpack, true
			test.change(s)
			if result := s.copy(t, test.outcome)[0]; result.Outcome == transfer.Failed {
				testkit.ExpectError(t, result.Err, unpack.Error())
			}
		})
	}
}

func TestCopyInterrupted(t *testing.T) {
	pair, children := testkit.Pair(t, "app")
	for _, kind := range []string{"resolve", "pull", "load", "missing", "push"} {
		t.Run(kind, func(t *testing.T) {
			s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", pair, "1", "2"); r.Hold("app", children...) })
			ctx, cancel := context.WithCancel(t.Context())
			s.engine.Before = func(call string) {
				if strings.HasPrefix(call, kind) {
					cancel()
				}
			}
			results, _ := s.attempt(ctx)
			if len(results) != 2 {
				t.Errorf("results %q", outcomes(results))
			}
			for _, r := range results {
				if r.Outcome.Accepted() || !errors.Is(r.Err, context.Canceled) {
					t.Errorf("%s: %s, %v", r.Name(), r.Outcome, r.Err)
				}
			}
			s.engine.ExpectEmpty(t)
		})
	}
}

func TestCopyOnePlatform(t *testing.T) {
	pair, children := testkit.Pair(t, "app")
	source := testkit.NewRegistry()
	source.Push("app", pair, "1", "2")
	source.Hold("app", children...)
	engine := testkit.NewEngine(source)
	s := planned(t, engine, &plan.Planner{Platform: testkit.Linux("arm64")})
	engine.Tags[s.target("2")] = children[1].Digest
	for _, r := range s.copy(t, "app:2: one platform", "app:1: one platform") {
		if r.Source != pair.Digest || r.Pushed != children[1].Digest {
			t.Errorf("%s -> %s", r.Source, r.Pushed)
		}
	}
	if got, want := engine.Of("pull"), []string{"pull app@" + children[1].Digest.String()}; !slices.Equal(got, want) {
		t.Errorf("pulls %q, want %q", got, want)
	}
}

// A registry may end a token before its time, or a pull outlive its token: then the pull is tried with a fresh one, twice
// at most.
func TestCopyRenewsRefusedCredentials(t *testing.T) {
	img := testkit.Image(t, "app")
	for _, test := range []struct {
		name  string
		renew func(s *setup, pull string) (bool, error)
		want  string
		pulls int
	}{
		{"good again", func(s *setup, pull string) (bool, error) { delete(s.engine.Fails, pull); return true, nil }, "app:1: exact", 2},
		{"good with the second fresh one", func(s *setup, pull string) (bool, error) {
			if s.engine.Count(pull) == 2 {
				delete(s.engine.Fails, pull)
			}
			return true, nil
		}, "app:1: exact", 3},
		{"refused again and again", func(*setup, string) (bool, error) { return true, nil }, "app:1: failed", 3},
		{"renewed a moment ago", func(*setup, string) (bool, error) { return false, nil }, "app:1: failed", 1},
		{"none to be had", func(*setup, string) (bool, error) { return false, errors.New("AWS is away") }, "app:1: failed", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", img, "1") })
			pull := "pull " + s.pulled(img)
			s.engine.Fails[pull] = docker.ErrDenied
			s.source.Renewing = func(context.Context) (bool, error) { return test.renew(s, pull) }
			s.copy(t, test.want)
			if got := s.engine.Count(pull); got != test.pulls {
				t.Errorf("%d pulls, want %d", got, test.pulls)
			}
		})
	}
}

// What a registry does not tell of an OCI image the engine does, once it has pulled it.
func TestCopyOfAnotherPlatform(t *testing.T) {
	img := testkit.Image(t, "app")
	for want, platform := range map[string]*ocispec.Platform{"app:1: exact": testkit.Linux("arm64"), "app:1: failed": testkit.Linux("amd64")} {
		s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", img, "1") })
		s.engine.Platforms[img.Digest] = *testkit.Linux("arm64")
		s.with.Platform = platform
		if result := s.copy(t, want)[0]; result.Outcome == transfer.Failed {
			testkit.ExpectError(t, result.Err, "only for linux/arm64", "linux/amd64 (MIGRATE_PLATFORM)")
		}
	}
}

// resolverFunc is a Resolver.
type resolverFunc func(ctx context.Context, ref string) (image.Resolved, error)

func (f resolverFunc) Resolve(ctx context.Context, ref string) (image.Resolved, error) {
	return f(ctx, ref)
}

// A token that has ended before its time is replaced while an item is planned, too.
func TestResolveWithFreshCredentials(t *testing.T) {
	renewed := false
	resolver := transfer.SourceResolver{
		Source: testkit.Source{RenewToken: func(context.Context) (bool, error) { renewed = true; return true, nil }},
		Engine: resolverFunc(func(context.Context, string) (image.Resolved, error) {
			if !renewed {
				return image.Resolved{}, docker.ErrDenied
			}
			return image.Resolved{Digest: testkit.EmptyDigest}, nil
		}),
	}
	if got, err := resolver.Resolve(t.Context(), "app"); err != nil || got.Digest != testkit.EmptyDigest {
		t.Errorf("%v: %v", got, err)
	}
}
