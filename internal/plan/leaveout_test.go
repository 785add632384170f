package plan

import (
	"slices"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

const soci = "application/vnd.amazon.soci.index.v2+json"

func TestPlanLeavesOut(t *testing.T) {
	img := testkit.Image(t, "app")
	lazy := testkit.Artifact(t, soci, "lazy", img)
	both := testkit.Index(t, testkit.Child(img, testkit.Linux("amd64")), testkit.Child(lazy, testkit.Linux("amd64")))
	alone := testkit.Index(t, testkit.Child(lazy, nil))
	for _, test := range []struct {
		name      string
		leaveOut  Patterns
		fill      func(*testkit.Registry)
		changed   bool // the root
		leftOut   []string
		unknown   []string
		referrers int
		says      string // of the refusal
	}{
		{
			name: "nothing unless asked", unknown: []string{soci},
			fill: func(s *testkit.Registry) { s.Push("app", both, "1"); s.Hold("app", img, lazy) },
		},
		{
			name: "a child", leaveOut: Patterns{"application/vnd.amazon.soci.*"}, changed: true, leftOut: []string{soci},
			fill: func(s *testkit.Registry) { s.Push("app", both, "1"); s.Hold("app", img, lazy) },
		},
		{
			name: "another kind", leaveOut: Patterns{"application/vnd.wasm.*"}, unknown: []string{soci},
			fill: func(s *testkit.Registry) { s.Push("app", both, "1"); s.Hold("app", img, lazy) },
		},
		{
			name: "a referrer", leaveOut: Patterns{soci},
			fill: func(s *testkit.Registry) { s.Push("app", img, "1"); s.Push("app", lazy) },
		},
		{
			name: "never a tag's own image", leaveOut: Patterns{"**"}, unknown: []string{soci},
			fill: func(s *testkit.Registry) { s.Push("app", lazy, "1") },
		},
		{
			name: "never all of an index", leaveOut: Patterns{soci}, says: "MIGRATE_LEAVE_OUT would leave nothing of this image",
			fill: func(s *testkit.Registry) { s.Push("app", alone, "1"); s.Hold("app", lazy) },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			source := testkit.NewRegistry()
			test.fill(source)
			i := planOf(t, source, func(p *Planner) { p.LeaveOut = test.leaveOut })[0]
			testkit.ExpectError(t, reason(i), testkit.Saying(test.says)...)
			if test.says != "" {
				return
			}
			if changed := i.Root != i.Image.Digest; changed != test.changed {
				t.Errorf("the root has changed: %t", changed)
			}
			if !slices.Equal(i.LeftOut, test.leftOut) || !slices.Equal(i.Unknown, test.unknown) {
				t.Errorf("%v left out and %v unknown, want %v and %v", i.LeftOut, i.Unknown, test.leftOut, test.unknown)
			}
			if len(i.LeftOut) > 0 && i.Tree == nil {
				t.Error("nobody could read the tree again")
			}
			if got := len(i.Referrers); got != test.referrers {
				t.Errorf("%d subjects have referrers, want %d", got, test.referrers)
			}
		})
	}
}
