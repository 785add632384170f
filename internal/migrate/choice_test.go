package migrate

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

// Each of the jobs copies its share, and tells its own of what is refused. None can know whether another could list what
// it could not.
func TestRunShares(t *testing.T) {
	source := testkit.NewRegistry()
	for i := range 12 {
		source.Push(fmt.Sprintf("app-%02d", i), testkit.Image(t, fmt.Sprint(i)), "1", "latest")
	}
	source.Push("deep/er/app", testkit.Image(t, "deep"), "1")
	source.Push("broken", testkit.Image(t, "broken"), "1")
	source.Failing["broken"] = errors.New("ThrottlingException")
	engine := testkit.NewEngine(source)
	told := map[string]int{}
	for job := range 3 {
		summary, events, err := runIn(t, engine, func(o *Options) { o.Share = plan.Share{Index: job + 1, Total: 3} })
		if err != nil {
			t.Fatal(err)
		}
		listed, shared, planned := events[0].(Listed), events[1].(Shared), events[2].(Planned)
		tags := len(summary.Results) - 1 // beside the repository that was not listed
		if listed.Tags != 25 || shared.Listed != 25 || shared.Tags != tags || planned.Tags != tags || planned.Blobs != 8 {
			t.Errorf("job %d: %+v, %+v, %+v for %d tags", job+1, listed, shared, planned, tags)
		}
		for _, line := range outcomes(summary.Results) {
			told[line]++
		}
	}
	want := map[string]int{"broken: failed": 3, "deep/er/app:1: refused": 1}
	for i := range 12 {
		want[fmt.Sprintf("app-%02d:1: exact", i)], want[fmt.Sprintf("app-%02d:latest: exact", i)] = 1, 1
	}
	if !reflect.DeepEqual(told, want) {
		t.Errorf("the jobs tell %v, want %v", told, want)
	}
	engine.ExpectEmpty(t)
}

// More jobs than images are no failure.
func TestRunEmptyShares(t *testing.T) {
	source := testkit.NewRegistry()
	source.Push("app", testkit.Image(t, "app"), "1")
	engine, arrived := testkit.NewEngine(source), 0
	for job := range 4 {
		summary, events, err := runIn(t, engine, func(o *Options) { o.Share = plan.Share{Index: job + 1, Total: 4} })
		if err != nil || summary.Incomplete() > 0 {
			t.Errorf("job %d: %q, error %v", job+1, told(events), err)
		}
		if len(summary.Results) == 0 && !slices.Equal(told(events), []string{
			"listed 1 tags", fmt.Sprintf("job %d of 4: 0 of 1 tags", job+1), "planned 0 tags, 0 refused",
		}) {
			t.Errorf("job %d: %q", job+1, told(events))
		}
		arrived += len(summary.Results)
	}
	if arrived != 1 {
		t.Errorf("%d jobs have copied the tag", arrived)
	}
}

// What is not wanted is not listed, and what is wanted of an image is all that is copied of it.
func TestRunOfAChoice(t *testing.T) {
	signed := testkit.Image(t, "signed")
	source := testkit.NewRegistry()
	source.Push("team/app", signed, "1.0", "latest")
	source.Push("team/app", testkit.Artifact(t, "application/x", "signature", signed))
	source.Push("team/app", testkit.Image(t, "old"), "0.9")
	source.Push("other/app", testkit.Image(t, "other"), "1.0")
	source.Failing["other/app"] = errors.New("nobody lists it")
	source.Push("deep/er/app", testkit.Image(t, "deep"), "1.0") // whose name would be refused
	engine := testkit.NewEngine(source)
	var chosen Chosen
	summary, events, err := runIn(t, engine, func(o *Options) {
		o.Choice = plan.Choice{Repositories: plan.Patterns{"team/**", "!nowhere"}, Tags: plan.Patterns{"1.*", "2.*"}}
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range events {
		if e, ok := event.(Chosen); ok {
			chosen = e
		}
	}
	want := Chosen{
		Repositories: 1, AllRepositories: 3, Tags: 1, AllTags: 3,
		Unmatched: []plan.Unmatched{{Variable: "MIGRATE_REPOSITORIES", Pattern: "!nowhere"}, {Variable: "MIGRATE_TAGS", Pattern: "2.*"}},
	}
	if !reflect.DeepEqual(chosen, want) {
		t.Errorf("chosen %+v, want %+v", chosen, want)
	}
	got := slices.Sorted(slices.Values(outcomes(summary.Results)))
	if want := []string{referrersOf(signed, "1") + ": exact", "team/app:1.0: exact"}; !slices.Equal(got, want) {
		t.Errorf("results %q, want %q", got, want)
	}
	if engine.Tags[testkit.TargetBase+"/team/app:latest"] != "" {
		t.Error("a tag that was not chosen has arrived")
	}
	engine.ExpectEmpty(t)
}

// The shares of a choice are together what is chosen.
func TestSharesOfAChoice(t *testing.T) {
	source := testkit.NewRegistry()
	for i := range 20 {
		source.Push(fmt.Sprintf("app-%02d", i), testkit.Image(t, fmt.Sprint(i)), "1", "2")
	}
	engine, tags := testkit.NewEngine(source), 0
	for job := range 3 {
		summary, _, err := runIn(t, engine, func(o *Options) {
			o.Choice, o.Share = plan.Choice{Repositories: plan.Patterns{"app-1*"}, Tags: plan.Patterns{"1"}}, plan.Share{Index: job + 1, Total: 3}
		})
		if err != nil || len(summary.Results) > 5 {
			t.Errorf("job %d: %q, error %v", job+1, outcomes(summary.Results), err)
		}
		tags += len(summary.Results)
	}
	if tags != 10 {
		t.Errorf("%d tags are copied", tags)
	}
}
