package usage

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		args string
		want Line
		says string
	}{
		{args: "", want: Line{Command: Migrate}},
		{args: "migrate", want: Line{Command: Migrate}},
		{args: "plan --rate 1.5GB --within=2h30m", want: Line{Command: Plan, Rate: 15e8, Within: 150 * time.Minute}},
		{args: "verify -pull 3", want: Line{Command: Verify, Pull: 3}},
		{args: "plan --format json", want: Line{Command: Plan, JSON: true}},
		{args: "verify --format=json --pull 3", want: Line{Command: Verify, Pull: 3, JSON: true}},
		{args: "verify --format text", want: Line{Command: Verify}},
		{args: "plan --format JSON", says: `plan: invalid value "JSON" for flag -format: must be text or json: see ecr2gitlab help`},
		{args: "verify --format=", says: `verify: invalid value "" for flag -format: must be text or json`},
		{args: "migrate --format json", says: `migrate: flag provided but not defined: -format`},
		{args: "--version", want: Line{Command: Version}},
		{args: "verify --help", want: Line{Command: Help}},
		{args: "plann", says: `unknown command "plann" (did you mean "plan"?): see ecr2gitlab help`},
		{args: "copy", says: `unknown command "copy": see ecr2gitlab help`},
		{args: "--pull 3", says: `unknown command "--pull"`},
		{args: "plan --rate fast", says: `plan: invalid value "fast" for flag -rate: must be a number of bytes per second, such as 20MB`},
		{args: "plan --rate 0", says: `must be a number of bytes per second`},
		{args: "plan --within 3", says: `plan: invalid value "3" for flag -within`},
		{args: "plan --within -3h", says: `plan: a value must not be negative`},
		{args: "verify --pull -1", says: `verify: a value must not be negative`},
		{args: "verify team/app", says: `verify: unexpected argument "team/app" (configuration comes from environment variables): see ecr2gitlab help`},
	} {
		t.Run(test.args, func(t *testing.T) {
			got, err := Parse(strings.Fields(test.args))
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			var line Error
			if (err != nil) != (test.says != "") || err != nil && (!errors.As(err, &line) || !strings.Contains(err.Error(), test.says)) {
				t.Errorf("error %v, want %q", err, test.says)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	names := []string{"REPOSITORIES", "TAGS", "NEWEST", "SINCE", "DISK", "REPORT_DIR"}
	for name, want := range map[string]string{
		"REPOSITORY": "REPOSITORIES", "REPOS": "REPOSITORIES", "TAG": "TAGS", "NEWST": "NEWEST", "DISC": "DISK",
		"REPORT": "REPORT_DIR", "SINCE": "SINCE", "PLATFORM": "", "X": "", "": "",
	} {
		if got := Nearest(name, names); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}
