package transfer_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// The target is asked for the tags of an image at once, but not for any number of them, and their order stays.
func TestAskForAllTagsAtOnce(t *testing.T) {
	for _, test := range []struct{ tags, seconds int }{{1, 1}, {5, 1}, {transfer.MaxQuestions, 1}, {transfer.MaxQuestions + 1, 2}, {4 * transfer.MaxQuestions, 4}} {
		t.Run(fmt.Sprint(test.tags), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var tags []string
				for n := range test.tags {
					tags = append(tags, fmt.Sprintf("1.%03d", n))
				}
				s := newSetup(t, image.ContainerdStore, func(r *testkit.Registry) { r.Push("app", testkit.Image(t, "app"), tags...) })
				s.engine.Tags[s.target(tags[0])] = s.item.Root
				s.engine.Before = func(call string) {
					if strings.HasPrefix(call, "resolve ") {
						time.Sleep(time.Second)
					}
				}
				began, c := time.Now(), transfer.NewCopy(s.item)
				settled := s.copier().Ask(t.Context(), c)
				if took := time.Since(began); took != time.Duration(test.seconds)*time.Second {
					t.Errorf("it took %s", took)
				}
				if len(settled) != 1 || settled[0].Tag != tags[0] || !slices.Equal(c.Pending, tags[1:]) {
					t.Errorf("settled %q, pending %q", outcomes(settled), c.Pending)
				}
			})
		})
	}
}
