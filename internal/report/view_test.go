package report

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// step is an event after some time.
type step struct {
	after time.Duration
	event migrate.Event // nil: nothing
}

// image returns an image of team/app.
func imageWith(tags ...string) image.Image {
	return image.Image{
		Repository: image.Repository{Name: "team/app"}, Digest: digest.FromString(strings.Join(tags, " ")), Tags: tags,
	}
}

// inGitLab is the environment of a job.
func inGitLab(changes map[string]string) func(string) string {
	return func(name string) string {
		if value, changed := changes[name]; changed {
			return value
		}
		return map[string]string{"CI": "true", "GITLAB_CI": "true"}[name]
	}
}

// A log reports the progress every half minute.
func TestHeartbeat(t *testing.T) {
	const planned = "      0/4"
	planOf4 := migrate.Planned{Tags: 4}
	exact := migrate.Finished{Result: tag("1", transfer.Exact, nil)}
	line := "      1/4  exact         team/app:1  41cf6794ba42"
	for _, test := range []struct {
		name  string
		steps []step
		want  []string
	}{
		{"before there is a plan", []step{{time.Minute, nil}}, []string{
			"           under way     List, for 30s",
			"           under way     List, for 1m",
		}},
		{"bytes, rate and time left", []step{
			{0, planOf4}, {0, migrate.Moved{Of: 100e6}},
			{10 * time.Second, migrate.Moved{Bytes: 25e6, Of: 100e6}},
			{10 * time.Second, migrate.Moved{Bytes: 50e6, Of: 100e6}},
			{10 * time.Second, nil},
		}, []string{empty(4), planned + "  under way     50 of 100 MB, 1.7 MB/s, 33s left"}},
		{"whatever else there is to say", []step{
			{0, planOf4}, {0, migrate.Moved{Of: 1e9}}, {29 * time.Second, exact}, {30 * time.Second, nil},
		}, []string{empty(4), line, "      1/4  under way     0 B of 1.0 GB, 0 B/s, 7h58m left"}},
		{"nothing has moved", []step{
			{0, planOf4}, {0, migrate.Moved{Of: 1e9}}, {30 * time.Second, nil},
		}, []string{empty(4), planned + "  under way     0 B of 1.0 GB, 0 B/s"}},
		{"the rate is that of the last minute", []step{
			{0, planOf4}, {0, migrate.Moved{Of: 1e9}},
			{time.Second, migrate.Moved{Bytes: 700e6, Of: 1e9}},
			{99 * time.Second, migrate.Moved{Bytes: 700e6, Of: 1e9}},
			{20 * time.Second, nil},
		}, []string{
			empty(4),
			planned + "  under way     700 MB of 1.0 GB, 23 MB/s, 13s left",
			planned + "  under way     700 MB of 1.0 GB, 12 MB/s, 26s left, nothing has moved for 59s",
			planned + "  under way     700 MB of 1.0 GB, 0 B/s, nothing has moved for 1m30s",
			planned + "  under way     700 MB of 1.0 GB, 0 B/s, nothing has moved for 2m",
		}},
		{"what is waited for", []step{
			{0, planOf4}, {0, migrate.Moved{Of: 1e9}},
			{0, migrate.Working{Image: imageWith("1"), Step: transfer.StepPull}},
			{0, migrate.Working{Image: imageWith("2"), Step: transfer.StepPull}},
			{0, migrate.Working{Image: imageWith("3"), Step: transfer.StepPush}},
			{time.Minute, nil},
		}, []string{
			empty(4),
			planned + "  under way     0 B of 1.0 GB, 0 B/s",
			planned + "  under way     0 B of 1.0 GB, 0 B/s, nothing has moved for 1m (images: 2 pulling, 1 pushing)",
		}},
	} {
		synctestRun(t, test.name, func(t *testing.T) {
			var out strings.Builder
			log := NewLog(&out)
			log.Begin("list", "List")
			for _, step := range test.steps {
				time.Sleep(step.after)
				if step.event != nil {
					log.Observe(step.event)
				}
				synctest.Wait()
			}
			log.End()
			time.Sleep(time.Hour)
			expect(t, out.String(), test.want...)
		})
	}
}

func TestPeople(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                               "1s",
		33400 * time.Millisecond:        "33s",
		59700 * time.Millisecond:        "1m",
		95 * time.Second:                "1m40s",
		12*time.Minute + 34*time.Second: "13m",
		3*time.Hour + 7*time.Minute:     "3h7m",
		2*time.Hour + 3*time.Second:     "2h",
		26*time.Hour + 40*time.Minute:   "27h",
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}

func TestAmount(t *testing.T) {
	for _, test := range []struct {
		bytes, of int64
		want      string
	}{
		{0, 0, "0 of 0 B"}, {12e6, 45e6, "12 of 45 MB"}, {999e3, 1.2e9, "999 kB of 1.2 GB"}, {0, 3.8e9, "0 B of 3.8 GB"},
	} {
		if got := amount(test.bytes, test.of); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

// In GitLab's job log, phases are collapsible, and the summary is outside any section, however the run ends.
func TestSections(t *testing.T) {
	const now = 946684800 // when a synctest bubble begins
	start := func(name, title string) string {
		return fmt.Sprintf("\x1b[0Ksection_start:%d:ecr2gitlab_%s\r\x1b[0K%s\n", now, name, title)
	}
	end := func(name string) string {
		return fmt.Sprintf("\x1b[0Ksection_end:%d:ecr2gitlab_%s\r\x1b[0K", now, name)
	}
	prepare := start("prepare", "Prepare") + "AWS\n" + end("prepare")
	list := start("list", "List and plan") + "ECR: 1 tags of 1 images in 1 repositories\n"
	plan := prepare + list + empty(1) + "\n" + end("list")
	summary := func(arrived int, lines string) string {
		return start("summary", "Summary") + "\n" + fmt.Sprintf("%d of 1 tags are at %s, after 1s\n", arrived, target) + lines + end("summary")
	}
	begun := func(log *Log) {
		log.Begin("prepare", "Prepare")
		log.Line("AWS")
	}
	listed := func(log *Log) {
		begun(log)
		log.Begin("list", "List and plan")
		log.Observe(migrate.Listed{Repositories: 1, Images: 1, Tags: 1})
	}
	copied := func(log *Log, r transfer.Result) {
		listed(log)
		log.Observe(migrate.Planned{Tags: 1})
		log.Observe(migrate.Moved{})
		log.Observe(migrate.Finished{Result: r})
		log.Observe(migrate.Moved{})
		log.Summary(migrate.Summary{Results: []transfer.Result{r}}, target, time.Second)
	}
	for _, test := range []struct {
		name string
		run  func(log *Log, stderr io.Writer)
		want string
	}{
		{"an end before the plan", func(log *Log, stderr io.Writer) {
			listed(log)
			_, _ = io.WriteString(stderr, "interrupted\n")
		}, prepare + list + end("list") + "interrupted\n"},
		{"all well", func(log *Log, _ io.Writer) { copied(log, tag("1", transfer.Exact, nil)) },
			plan + start("copy", "Copy") + "      1/1  exact         team/app:1  41cf6794ba42\n" + end("copy") +
				summary(1, "      1  exact         "+meaningOf(transfer.Exact)+"\n")},
		{"interrupted", func(log *Log, stderr io.Writer) {
			copied(log, tag("1", transfer.NotStarted, errors.New("no")))
			_, _ = io.WriteString(stderr, "interrupted\n")
		}, plan + start("copy", "Copy") + "      1/1  not started   team/app:1\n" + end("copy") +
			summary(0, "      1  not started   "+meaningOf(transfer.NotStarted)+"\n") + "interrupted\n"},
	} {
		synctestRun(t, test.name, func(t *testing.T) {
			var out strings.Builder
			log := NewLogFor(&out, inGitLab(map[string]string{"NO_COLOR": "1"}), redact.URLs)
			test.run(log, log.Ending(&out))
			if out.String() != test.want {
				t.Errorf("got\n%q\nwant\n%q", &out, test.want)
			}
			time.Sleep(time.Hour)
			if out.String() != test.want {
				t.Errorf("it goes on after its end:\n%q", &out)
			}
		})
	}
}

func meaningOf(outcome transfer.Outcome) string {
	for _, m := range meanings {
		if m.outcome == outcome {
			return m.meaning
		}
	}
	return ""
}

// Text from a registry cannot create sections in the log.
func TestSectionsAreOurs(t *testing.T) {
	hostile := "\x1b[0Ksection_end:1:ecr2gitlab_copy\r\x1b[0K\x1b[0Ksection_start:1:x\r\x1b[0K"
	var out strings.Builder
	log := NewLogFor(&out, inGitLab(nil), redact.URLs)
	log.Begin("list", "List and plan")
	log.Observe(migrate.Listed{Empty: []string{hostile}})
	log.Observe(migrate.Moved{})
	result := tag(hostile, transfer.Failed, stepError(transfer.StepPush, hostile, hostile, hostile))
	log.Observe(migrate.Retrying{Wait: time.Minute, Ref: hostile, Err: errors.New(hostile)})
	log.Observe(migrate.Stopping{Cause: errors.New(hostile)})
	log.Observe(migrate.Finished{Result: result})
	log.Summary(migrate.Summary{Results: []transfer.Result{result}}, hostile, time.Second)
	var found []string
	for _, match := range regexp.MustCompile(`\x1b\[0Ksection_(\w+):\d+:ecr2gitlab_(\w+)\r\x1b\[0K`).FindAllStringSubmatch(out.String(), -1) {
		found = append(found, match[1]+" "+match[2])
	}
	if want := []string{"start list", "end list", "start copy", "end copy", "start summary", "end summary"}; !slices.Equal(found, want) {
		t.Errorf("%q, want %q", found, want)
	}
	if escapes := strings.Count(out.String(), "\x1b") - strings.Count(out.String(), "\x1b[31m") - strings.Count(out.String(), "\x1b[0m"); escapes != 2*len(found) {
		t.Errorf("%d escapes", escapes)
	}
}

// Outcomes are coloured where colours work, and have the same text without.
func TestColours(t *testing.T) {
	for _, test := range []struct {
		env  map[string]string
		want string
	}{
		{nil, "      1/0  \x1b[32mexact\x1b[0m         team/app:1  41cf6794ba42"},
		{map[string]string{"NO_COLOR": "1"}, "      1/0  exact         team/app:1  41cf6794ba42"},
		{map[string]string{"NO_COLOR": ""}, "      1/0  \x1b[32mexact\x1b[0m         team/app:1  41cf6794ba42"},
		{map[string]string{"TERM": "dumb"}, "      1/0  exact         team/app:1  41cf6794ba42"},
		{map[string]string{"GITLAB_CI": ""}, "      1/0  exact         team/app:1  41cf6794ba42"},
		{map[string]string{"GITLAB_CI": "false"}, "      1/0  exact         team/app:1  41cf6794ba42"},
	} {
		var out strings.Builder
		log := NewLogFor(&out, inGitLab(test.env), redact.URLs)
		log.Observe(migrate.Finished{Result: tag("1", transfer.Exact, nil)})
		if expect(t, out.String(), test.want); t.Failed() {
			t.Fatal(test.env)
		}
	}
	for _, m := range meanings {
		if colours[m.outcome] == "" {
			t.Errorf("%s has no colour", m.outcome)
		}
	}
}

// counter counts the bytes written, and keeps the last of them.
type counter struct {
	bytes int
	end   string
}

func (c *counter) Write(p []byte) (int, error) {
	c.bytes += len(p)
	c.end = (c.end + string(p))[max(0, len(c.end)+len(p)-200):]
	return len(p), nil
}

// GitLab Runner keeps 4 MiB of a log: even a large account stays far below, including its summary, whatever the
// outcomes.
func TestLogIsShortEnough(t *testing.T) {
	const repositories, tags, most = 2000, 20000, 3 << 20
	name := func(i int) (repository, tag string) {
		return fmt.Sprintf("platform/service-%04d/component", i%repositories), fmt.Sprintf("v1.%d-build.%d-1a2b3c4", i%7, 100000+i)
	}
	longest := func(i int) (repository, tag string) {
		return fmt.Sprintf("%0256d", i%repositories), fmt.Sprintf("%0128d", i)
	}
	long := strings.Repeat("words of an engine ", 160)
	for _, test := range []struct {
		name    string
		named   func(int) (string, string)
		outcome transfer.Outcome
		err     func(i int) error
	}{
		{"all arrive", name, transfer.Exact, nil},
		{"all are there", name, transfer.Present, nil},
		{"all change", name, transfer.Changed, nil},
		{"all fail for one cause", name, transfer.Failed, func(int) error { return errors.New("denied") }},
		{"all fail for causes of their own", name, transfer.Failed, func(i int) error { return fmt.Errorf("cause %d: %s", i, long) }},
		{"all are left", name, transfer.NotStarted, func(int) error { return errors.New("no") }},
		{"the longest names", longest, transfer.Exact, nil},
		{"the longest names, changed", longest, transfer.Changed, nil},
		{"the longest names, failed", longest, transfer.Failed, func(i int) error { return fmt.Errorf("cause %d: %s", i, long) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out counter
			log := NewLogFor(&out, inGitLab(nil), redact.URLs)
			log.Begin("list", "List and plan")
			listed := migrate.Listed{Repositories: 2 * repositories, Images: tags, Tags: tags}
			for i := range repositories {
				empty, _ := test.named(i)
				listed.Empty = append(listed.Empty, empty)
			}
			log.Observe(listed)
			log.Observe(migrate.Planned{Tags: tags})
			log.Observe(migrate.Moved{})
			var summary migrate.Summary
			for i := range tags {
				r := tag("", test.outcome, nil)
				r.Repository, r.Tag = test.named(i)
				if test.err != nil {
					r.Err = test.err(i)
				}
				log.Observe(migrate.Finished{Result: r})
				summary.Results = append(summary.Results, r)
			}
			before := out.bytes
			log.Summary(summary, target, time.Hour)
			t.Logf("%d bytes, %d of them the summary", out.bytes, out.bytes-before)
			if out.bytes > most {
				t.Errorf("%d bytes", out.bytes)
			}
			if !strings.Contains(out.end, "section_end:") || !strings.HasSuffix(out.end, ":ecr2gitlab_summary\r\x1b[0K") {
				t.Errorf("it ends with %q", out.end)
			}
		})
	}
}

// Tags without a line of their own are still counted, and tags that do not arrive have one.
func TestTerseLog(t *testing.T) {
	var out strings.Builder
	log := NewLog(&out)
	long := strings.Repeat("x", roomForAll)
	log.Observe(migrate.Planned{Tags: 4})
	log.Line("%s", long)
	for i, outcome := range []transfer.Outcome{transfer.Exact, transfer.Failed, transfer.Present} {
		log.Observe(migrate.Finished{Result: tag(fmt.Sprint(i), outcome, errors.New("no"))})
	}
	log.Line("%s", long)
	log.Observe(migrate.Finished{Result: tag("3", transfer.Failed, errors.New("no"))})
	expect(t, out.String(),
		empty(4),
		long,
		"From here on, only tags that do not arrive are listed: a runner keeps no more than 4 MiB of a log",
		"      2/4  failed        team/app:1",
		long,
	)
}

// Every outcome has a line in the summary.
func TestEveryOutcomeHasAMeaning(t *testing.T) {
	for _, outcome := range transfer.Outcomes {
		if !slices.ContainsFunc(meanings, func(m explanation) bool { return m.outcome == outcome }) {
			t.Errorf("%q has none", outcome)
		}
	}
	if len(meanings) != len(transfer.Outcomes) {
		t.Errorf("%d meanings of %d outcomes", len(meanings), len(transfer.Outcomes))
	}
}
