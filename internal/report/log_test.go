package report

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

const (
	target    = "registry.example.com/group/project"
	sourceURI = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app"
)

var (
	source = digest.FromString("source") // sha256:41cf6794ba4200b8…
	pushed = digest.FromString("pushed") // sha256:b9a22ffb5d39a8b0…
)

// tag returns the result of one tag of team/app.
func tag(name string, outcome transfer.Outcome, err error) transfer.Result {
	r := transfer.Result{
		Repository: "team/app", SourceURI: sourceURI, Tag: name, Source: source, Target: target + "/team/app:" + name, Outcome: outcome, Err: err,
	}
	switch outcome {
	case transfer.Exact, transfer.Present:
		r.Pushed = source
	case transfer.Changed, transfer.OnePlatform, transfer.Different, transfer.Conflict, transfer.Kept:
		r.Pushed = pushed
	}
	return r
}

// kept returns the result of one tag of team/app that an earlier run pushed with another digest.
func kept(name string) transfer.Result {
	r := tag(name, transfer.Present, nil)
	r.Pushed = pushed
	return r
}

func referrers(n int, outcome transfer.Outcome, err error) transfer.Result {
	r := tag("sha256-"+pushed.Encoded(), outcome, err)
	r.Referrers, r.Subject = n, pushed
	return r
}

// empty returns a plan with n tags and no blobs.
func empty(tags int) string {
	return fmt.Sprintf("Plan: %d tags to copy unless GitLab has them: 0 layers and configs, 0 B (0 B if none were shared)", tags)
}

func stepError(step transfer.Step, ref, words, remedy string) error {
	return &transfer.StepError{Step: step, Ref: ref, Err: errors.New(words), Remedy: remedy}
}

// expect compares line by line, so that a failure shows the line that differs.
func expect(t *testing.T, got string, want ...string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	if got == "" {
		lines = nil
	}
	for i := range max(len(lines), len(want)) {
		switch {
		case i >= len(lines):
			t.Errorf("line %d is missing: %q", i, want[i])
		case i >= len(want):
			t.Errorf("line %d is too much: %q", i, lines[i])
		case lines[i] != want[i]:
			t.Errorf("line %d\n got %q\nwant %q", i, lines[i], want[i])
		}
	}
}

func TestObserve(t *testing.T) {
	refused := []transfer.Result{tag("1", transfer.Refused, errors.New("no"))}
	for _, test := range []struct {
		name   string
		events []migrate.Event
		want   []string
	}{
		{"listed", []migrate.Event{migrate.Listed{Repositories: 12, Images: 100, Tags: 108}}, []string{
			"ECR: 108 tags of 100 images in 12 repositories",
		}},
		{"listed, some empty", []migrate.Event{migrate.Listed{Repositories: 2, Empty: []string{"a", "b/c"}}}, []string{
			"ECR: 0 tags of 0 images in 2 repositories",
			"     no tags in: a, b/c",
		}},
		{"chosen", []migrate.Event{migrate.Chosen{
			Repositories: 3, AllRepositories: 12, Tags: 40, AllTags: 108, Before: 50, Surplus: 18,
			Unmatched: []plan.Unmatched{{Variable: "MIGRATE_REPOSITORIES", Pattern: "!old/*"}, {Variable: "MIGRATE_TAGS", Pattern: "v9*"}},
		}}, []string{
			"Selected: 3 of 12 repositories, and 40 of their 108 tags",
			"        MIGRATE_SINCE leaves out 50 tags, going by when their images were pushed; adding a tag later does not change that",
			"        MIGRATE_NEWEST leaves out 18 tags, going by when their images were pushed; adding a tag later does not change that",
			`        MIGRATE_REPOSITORIES: nothing matches "!old/*"`,
			`        MIGRATE_TAGS: nothing matches "v9*"`,
		}},
		{"compared", []migrate.Event{
			migrate.Comparing{Tags: 3},
			migrate.Finished{Result: tag("1", transfer.Missing, errors.New("no"))},
			migrate.Finished{Result: tag("2", transfer.Different, errors.New("no"))},
			migrate.PulledBack{Result: tag("3", transfer.Exact, nil)},
			migrate.Finished{Result: tag("3", transfer.Exact, nil)},
		}, []string{
			"Verify: 3 tags are compared with GitLab's; nothing is copied",
			"      1/3  missing       team/app:1",
			"      2/3  different     team/app:2  41cf6794ba42 -> " + pushed.Encoded()[:12],
			"           pulled        team/app:3",
			"      3/3  exact         team/app:3  41cf6794ba42",
		}},
		{"shared", []migrate.Event{migrate.Shared{Share: plan.Share{Index: 2, Total: 4}, Tags: 312, Listed: 1204}}, []string{
			"Share: job 2 of 4: 312 of 1204 tags",
		}},
		{"planned, all well", []migrate.Event{migrate.Planned{Tags: 3, Blobs: 7, Bytes: 381e6, BytesUnshared: 3.8e9, Store: image.ClassicStore}}, []string{
			"Plan: 3 tags to copy unless GitLab has them: 7 layers and configs, 381 MB (3.8 GB if none were shared)",
		}},
		{"planned for containerd", []migrate.Event{migrate.Planned{Tags: 3, Store: image.ContainerdStore, Refused: refused}}, []string{
			empty(2),
			"Plan: 1 of 3 tags cannot arrive intact and are refused; the summary says why",
		}},
		{"planned for classic", []migrate.Event{migrate.Planned{Tags: 3, Store: image.ClassicStore, Refused: refused}}, []string{
			empty(2),
			"Plan: 1 of 3 tags cannot arrive intact and are refused; the summary says why",
			"      This engine uses the classic image store, which holds only single-platform images and recompresses their",
			"      layers; an engine with the containerd image store (docker:29-dind) copies everything unchanged",
		}},
		{"started", []migrate.Event{migrate.Started{}}, nil},
		{"an earlier run was killed", []migrate.Event{migrate.Entered{Images: 2, Removed: 3, Restored: 1}}, []string{
			"Engine: an earlier run was killed: 3 references that it left have been removed, and 1 tags are back on the images that had them",
		}},
		{"another run", []migrate.Event{migrate.Entered{Images: 2, Others: true}}, []string{"Engine: another run of ecr2gitlab is using it"}},
		{"entered", []migrate.Event{migrate.Entered{}, migrate.Entered{Images: 2}}, nil},
		{"recovering", []migrate.Event{migrate.Recovering{Images: 2}}, []string{
			"Copying 2 images again, one at a time: the engine had skipped some of their layers (moby/moby#52897)",
		}},
		{"finished", []migrate.Event{
			migrate.Planned{Tags: 12},
			migrate.Finished{Result: tag("1", transfer.Exact, nil)},
			migrate.Finished{Result: tag("2", transfer.Present, nil)},
			migrate.Finished{Result: tag("3", transfer.Changed, nil)},
			migrate.Finished{Result: tag("4", transfer.OnePlatform, nil)},
			migrate.Finished{Result: tag("5", transfer.Refused, errors.New("no"))},
			migrate.Finished{Result: tag("6", transfer.Failed, errors.New("no"))},
			migrate.Finished{Result: tag("7", transfer.NotStarted, errors.New("no"))},
			migrate.Finished{Result: kept("8")},
		}, []string{
			empty(12),
			"     1/12  exact         team/app:1  41cf6794ba42",
			"     2/12  present       team/app:2  41cf6794ba42",
			"     3/12  changed       team/app:3  41cf6794ba42 -> " + pushed.Encoded()[:12],
			"     4/12  one platform  team/app:4  41cf6794ba42 -> " + pushed.Encoded()[:12],
			"     5/12  refused       team/app:5",
			"     6/12  failed        team/app:6",
			"     7/12  not started   team/app:7",
			"     8/12  present       team/app:8  41cf6794ba42 -> " + pushed.Encoded()[:12],
		}},
		{"what is no tag does not count", []migrate.Event{
			migrate.Planned{Tags: 1},
			migrate.Finished{Result: transfer.Result{Repository: "broken", Outcome: transfer.Failed}},
			migrate.Finished{Result: referrers(2, transfer.Exact, nil)},
			migrate.Finished{Result: tag("1", transfer.Exact, nil)},
		}, []string{
			empty(1),
			"           failed        broken",
			"           exact         team/app@" + pushed.String() + " (its referrers: 2)  41cf6794ba42",
			"      1/1  exact         team/app:1  41cf6794ba42",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			log := NewLog(&out)
			for _, event := range test.events {
				log.Observe(event)
			}
			expect(t, out.String(), test.want...)
		})
	}
}

func TestSummary(t *testing.T) {
	denied := func(name string) error {
		return stepError(transfer.StepPush, target+"/team/app:"+name, "denied: requested access", "GitLab denies it")
	}
	for _, test := range []struct {
		name    string
		tags    int
		results []transfer.Result
		want    []string
	}{
		{"nothing there is", 0, nil, []string{
			"0 of 0 tags are at " + target + ", after 1m1.2s",
			"",
			"Nothing was migrated, because ECR has no tag to migrate here. If that is not what you expected, check the region, the account, " +
				"and what MIGRATE_REPOSITORIES, MIGRATE_TAGS and MIGRATE_SINCE choose.",
		}},
		{
			"all well", 2,
			[]transfer.Result{tag("1", transfer.Exact, nil), tag("2", transfer.Present, nil), referrers(3, transfer.Exact, nil)},
			[]string{
				"2 of 2 tags are at " + target + ", after 1m1.2s",
				"      1  exact         the digest at GitLab is the digest at ECR",
				"      1  present       were already there, with the digest at ECR",
				"      3  exact         signatures, SBOMs and other referrers of images",
			},
		},
		{
			"digests that differ", 4,
			[]transfer.Result{tag("1", transfer.Changed, nil), tag("2", transfer.Exact, nil), tag("3", transfer.OnePlatform, nil), kept("4")},
			[]string{
				"4 of 4 tags are at " + target + ", after 1m1.2s",
				"      1  exact         the digest at GitLab is the digest at ECR",
				"      1  one platform  one platform of an index, as MIGRATE_PLATFORM asks",
				"      1  changed       the digest changed: the engine recompresses layers",
				"      1  present       were already there, with the digest that an earlier run pushed",
				"",
				"Digests that differ, ECR -> GitLab:",
				"  team/app:1",
				"    " + source.String() + " -> " + pushed.String(),
				"  team/app:3",
				"    " + source.String() + " -> " + pushed.String(),
				"  team/app:4",
				"    " + source.String() + " -> " + pushed.String(),
			},
		},
		{
			"one cause of many, and others", 6,
			[]transfer.Result{
				tag("1", transfer.Failed, denied("1")),
				tag("2", transfer.Refused, errors.New("classic: no index")),
				tag("3", transfer.Failed, denied("3")),
				tag("4", transfer.Failed, stepError(transfer.StepPull, "ecr/team/app@sha256:1", "no space left\non device", "")),
				tag("5", transfer.NotStarted, errors.New("context canceled")),
				tag("6", transfer.Refused, errors.New("classic: no index")),
				{Repository: "broken", Outcome: transfer.Failed, Err: stepError(transfer.StepList, "broken", "throttled", "")},
				referrers(2, transfer.Failed, errors.New("archived")),
			},
			[]string{
				"0 of 6 tags are at " + target + ", after 1m1.2s",
				"      2  refused       cannot arrive intact, so GitLab does not have them",
				"      3  failed        started, but did not arrive",
				"      1  not started   the run ended before it reached them",
				"      2  failed        signatures, SBOMs and other referrers of images",
				"      1  failed        repositories that could not be listed",
				"",
				"Not migrated:",
				"  team/app:1",
				"  team/app:3",
				"    push: denied: requested access",
				"    GitLab denies it",
				"  team/app:2",
				"  team/app:6",
				"    classic: no index",
				"  team/app:4",
				"    pull ecr/team/app@sha256:1: no space left",
				"    on device",
				"  broken",
				"    list broken: throttled",
				"  team/app@" + pushed.String() + " (its referrers: 2)",
				"    archived",
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			log := NewLog(&out)
			log.Observe(migrate.Planned{Tags: test.tags})
			out.Reset()
			log.Summary(migrate.Summary{Results: test.results}, target, 61234*time.Millisecond)
			expect(t, out.String(), append([]string{""}, test.want...)...)
		})
	}
}

// A registry or a pattern without tags does not pass unnoticed: the last line reports it.
func TestSummaryOfNothing(t *testing.T) {
	unmatched := []plan.Unmatched{{Variable: "MIGRATE_TAGS", Pattern: "v*"}}
	for _, test := range []struct {
		name   string
		events []migrate.Event
		says   string // in the last line
	}{
		{"an empty registry", []migrate.Event{migrate.Listed{}}, "Nothing was migrated, because ECR has no tag"},
		{"all filtered out", []migrate.Event{migrate.Chosen{AllRepositories: 3}, migrate.Listed{}}, "Nothing was migrated"},
		{"a pattern of two", []migrate.Event{migrate.Chosen{Unmatched: unmatched}, migrate.Listed{Tags: 1}}, `Nothing in ECR matches MIGRATE_TAGS "v*"`},
		{"some tags", []migrate.Event{migrate.Listed{Tags: 1}, migrate.Planned{Tags: 1}}, "tags are at"},
	} {
		var out strings.Builder
		log := NewLog(&out)
		for _, event := range test.events {
			log.Observe(event)
		}
		log.Summary(migrate.Summary{}, target, time.Second)
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if last := lines[len(lines)-1]; !strings.Contains(last, test.says) {
			t.Errorf("%s: the last line is %q, want %q in it", test.name, last, test.says)
		}
	}
}

// Names and causes come from registries: they must reach a terminal as plain text.
func TestHostileNames(t *testing.T) {
	hostile := "\x1b[0Ksection_end:1:x\r\x1b[0K %s %!d(MISSING) \x00\xff" + strings.Repeat("x", 1<<16)
	var out strings.Builder
	log := NewLog(&out)
	log.Line("%s", hostile)
	log.Observe(migrate.Listed{Empty: []string{hostile}})
	results := []transfer.Result{
		{Repository: hostile, Tag: hostile, Source: digest.Digest(hostile), Pushed: pushed, Outcome: transfer.Changed},
		{Repository: hostile, Tag: hostile, Source: "", Pushed: "sha256:", Outcome: transfer.Exact},
		{Repository: hostile, Outcome: transfer.Failed, Err: stepError(transfer.Step(hostile), hostile, hostile, hostile)},
		{Repository: hostile, Referrers: 1, Subject: digest.Digest(hostile), Outcome: transfer.Refused, Err: errors.New(hostile)},
	}
	for _, r := range results {
		log.Observe(migrate.Finished{Result: r})
	}
	log.Summary(migrate.Summary{Results: results}, hostile, time.Second)
	for i, r := range out.String() {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Fatalf("%q at %d", r, i)
		}
	}
	if strings.Contains(out.String(), "%!s(") {
		t.Error("a name was taken for a format")
	}
}

// A closed output does not end a migration.
func TestLogWithoutReader(t *testing.T) {
	log := NewLog(brokenPipe{})
	log.Observe(migrate.Listed{Tags: 1})
	log.Summary(migrate.Summary{Results: []transfer.Result{tag("1", transfer.Failed, fmt.Errorf("no"))}}, target, time.Second)
	if count := log.tally.count(); count != "0/0" {
		t.Error(count)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// A cause that many tags share is given once, with enough of the tags to find the others.
func TestManyOfOneCause(t *testing.T) {
	const images = 1000
	words := "KmsError: The KMS key is disabled\n  the KMS key of the repository must be enabled"
	var out strings.Builder
	log := NewLog(&out)
	log.Observe(migrate.Planned{Tags: images})
	before := strings.Count(out.String(), "\n")
	var summary migrate.Summary
	for i := range images {
		r := tag(fmt.Sprintf("v1.%d", i), transfer.Failed, stepError(transfer.StepPlan, digest.FromString(fmt.Sprint(i)).String(), words, ""))
		log.Observe(migrate.Finished{Result: r})
		summary.Results = append(summary.Results, r)
	}
	log.Summary(summary, target, time.Minute)
	if lines := strings.Count(out.String(), "\n") - before; lines >= 20 {
		t.Errorf("%d lines:\n%s", lines, &out)
	}
	for _, part := range []string{
		"   5/1000  failed        team/app:v1.4\n           and more for the same cause as the last 5: see the summary\n\n0 of 1000 tags",
		"\n   1000  failed ",
		"\nNot migrated:\n  team/app: v1.0, v1.1, v1.2, v1.3, v1.4, v1.5, v1.6, v1.7, v1.8, v1.9 and 990 more\n    plan: KmsError: The KMS key is disabled\n",
	} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("%q is not in\n%s", part, &out)
		}
	}
}

// After a verification, the summary reports what was found, not what was copied.
func TestSummaryOfVerification(t *testing.T) {
	var out strings.Builder
	log := NewLog(&out)
	log.Observe(migrate.Comparing{Tags: 2})
	out.Reset()
	log.Summary(migrate.Summary{Results: []transfer.Result{
		tag("1", transfer.Exact, nil),
		tag("2", transfer.Failed, stepError(transfer.StepVerify, target+"/team/app:2", "no answer", "")),
	}}, target, time.Minute)
	for _, part := range []string{"could not be compared, or not be pulled from GitLab", "\nNot verified:\n  team/app:2\n"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("%q is missing in\n%s", part, out.String())
		}
	}
}

// TestSecretsAreHiddenBeforeTextsAreShortened: a truncated secret could not be recognized.
func TestSecretsAreHiddenBeforeTextsAreShortened(t *testing.T) {
	const secret = "correct horse battery staple"
	hide := redact.New()
	hide.Learn(secret)
	words := errors.New(strings.Repeat("x", 2000-len(secret)/2) + secret)
	var out strings.Builder
	log := NewLogFor(&out, inGitLab(nil), hide.Text)
	log.Observe(migrate.Retrying{Err: words, Wait: time.Minute})
	log.Observe(migrate.Stopping{Cause: words})
	log.Summary(migrate.Summary{Results: []transfer.Result{tag("1", transfer.Failed, words)}}, target, time.Second)
	if got := strings.Count(out.String(), redact.Hidden); got != 3 || strings.Contains(out.String(), "correct") {
		t.Errorf("%d of 3 secrets are hidden:\n%s", got, out.String())
	}
}
