package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/record"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// aForecast has an example of everything.
func aForecast() migrate.Forecast {
	return migrate.Forecast{
		Listed: migrate.Listed{Tags: 108, Images: 100, Repositories: 12}, Store: "containerd",
		Present: 40, Pending: 63, Replaced: 3, Images: 60, Referrers: 2, Left: 5, Manifests: 140,
		Blobs: 207, Fetched: 381e6, Unshared: 3.8e9, Added: 380e6, Largest: "team/app:1.2", LargestBytes: 1.2e9,
		Pace:    plan.Pace{Bytes: 20e6, PerTag: 100 * time.Millisecond, Within: time.Hour},
		Times:   []plan.JobTime{{Jobs: 1, Takes: 200 * time.Minute}, {Jobs: 2, Takes: 100*time.Minute + 1234567*time.Microsecond}},
		Enough:  4,
		Unknown: []plan.UnknownType{{MediaType: "application/vnd.example", Tags: 3, Bound: 1, Referrers: 2}},
		Renamed: []migrate.Renaming{{Repository: "a/b/c", Target: target + "/a/b-c"}},
		Denied: []migrate.Denial{{
			Action: "ecr:GetDownloadUrlForLayer", Repositories: []string{"a", "b"}, Err: errors.New("cannot get a layer of a: no\n  must allow it"),
		}},
		Buckets: []string{"bucket.example"},
		Results: []transfer.Result{
			tag("3", transfer.Failed, stepError(transfer.StepVerify, target+"/team/app:3", "denied", "GitLab denies reading")),
			tag("1", transfer.Refused, errors.New("archived <in ECR>")),
			{Repository: "broken", Outcome: transfer.Failed, Err: stepError(transfer.StepList, "broken", "no", "")},
			referrers(2, transfer.Refused, errors.New("classic")),
		},
		Conflicts: []transfer.Result{tag("5", transfer.Conflict, stepError(transfer.StepVerify, target+"/team/app:5", "GitLab has another image", "delete it"))},
	}
}

func aSummary() migrate.Summary {
	return migrate.Summary{Pulled: 1, Results: []transfer.Result{
		tag("2", transfer.Missing, stepError(transfer.StepVerify, target+"/team/app:2", "GitLab does not have it", "")),
		tag("1", transfer.Exact, nil),
		tag("4", transfer.Changed, nil),
		tag("3", transfer.Different, errors.New("GitLab has another image under this tag")),
		referrers(2, transfer.Exact, nil),
		referrers(3, transfer.Missing, errors.New("missing")),
		{Repository: "broken", Outcome: transfer.Failed, Err: stepError(transfer.StepList, "broken", "throttled", "")},
	}}
}

// Scripts depend on the formats, which do not change within a version.
func TestJSONFormats(t *testing.T) {
	for _, test := range []struct {
		golden string
		write  func(*strings.Builder) error
	}{
		{"plan.json", func(out *strings.Builder) error { return WritePlan(out, about, aForecast(), 15e9) }},
		{"plan-empty.json", func(out *strings.Builder) error {
			return WritePlan(out, about, migrate.Forecast{Store: "classic", Pace: plan.Pace{}.On("classic")}, 15e9)
		}},
		{"verify.json", func(out *strings.Builder) error { return WriteVerification(out, about, aSummary(), nil) }},
		{"verify-early.json", func(out *strings.Builder) error {
			stopped := errors.New("out of time: run again for the rest")
			return WriteVerification(out, about, migrate.Summary{Results: []transfer.Result{tag("1", transfer.NotStarted, stopped)}}, stopped)
		}},
	} {
		t.Run(test.golden, func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join("testdata", test.golden))
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			if err := test.write(&out); err != nil {
				t.Fatal(err)
			}
			expect(t, out.String(), strings.Split(strings.TrimSuffix(string(want), "\n"), "\n")...)
		})
	}
}

// The documents contain no secrets, URL queries or control characters, wherever a text comes from.
func TestJSONFormatsShowNoSecret(t *testing.T) {
	const secret = `glcbt-"secret"`
	hide := redact.New()
	hide.Learn(secret)
	about := record.About{Program: "ecr2gitlab 1.2.3", Target: target, Redact: hide.Text}
	said := fmt.Errorf("GET https://user:pass@bucket.example/layer?X-Amz-Signature=0123abcd: you said %s\x1b[2J", secret)
	r := tag("1", transfer.Failed, &transfer.StepError{Step: transfer.StepVerify, Ref: "ref", Err: said, Remedy: said.Error()})
	r.Repository, r.Target = "team\x1b[2J", "host/\x1b[2J"
	hostile := migrate.Forecast{
		Results: []transfer.Result{r}, Denied: []migrate.Denial{{Action: "a\x1b", Repositories: []string{"r\x1b"}, Err: said}},
		Largest: "l\x1b", Buckets: []string{"b\x1b"}, Unknown: []plan.UnknownType{{MediaType: "m\x1b"}}, Renamed: []migrate.Renaming{{Repository: "r\x1b", Target: "t\x1b"}},
	}
	var planned, compared strings.Builder
	if err := errors.Join(WritePlan(hide.Writer(&planned), about, hostile, 1),
		WriteVerification(hide.Writer(&compared), about, migrate.Summary{Results: []transfer.Result{r}}, said)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"plan": planned.String(), "verify": compared.String()} {
		if !json.Valid([]byte(text)) {
			t.Errorf("%s is not JSON:\n%s", name, text)
		}
		for _, part := range []string{"glcbt", "secret", "user:pass", "X-Amz", "0123abcd", "\x1b", `\u001b`} {
			if strings.Contains(text, part) {
				t.Errorf("%s shows %q:\n%s", name, part, text)
			}
		}
		if said := "https://bucket.example/layer: you said [hidden]"; strings.Count(text, said) != 3 {
			t.Errorf("%s does not say three times %q:\n%s", name, said, text)
		}
	}
}

// A failed write is an error, because half a document is useless.
func TestJSONThatCannotBeWritten(t *testing.T) {
	full := errors.New("no space left on device")
	if err := WritePlan(failing{full}, about, aForecast(), 1); !errors.Is(err, full) {
		t.Errorf("plan: %v", err)
	}
	if err := WriteVerification(failing{full}, about, aSummary(), nil); !errors.Is(err, full) {
		t.Errorf("verify: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
