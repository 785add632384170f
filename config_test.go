package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/ecr"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/usage"
)

// job is the environment of a CI job with everything required.
var job = map[string]string{
	"AWS_ACCOUNT_ID":       "123456789012",
	"AWS_DEFAULT_REGION":   "eu-west-1",
	"CI_REGISTRY":          "registry.example.com",
	"CI_REGISTRY_IMAGE":    "registry.example.com/group/project",
	"CI_REGISTRY_USER":     "gitlab-ci-token",
	"CI_REGISTRY_PASSWORD": "glcbt-secret",
}

// jobWith is the job's environment with changes. All other variables of the program are set but empty.
func jobWith(changes map[string]string) usage.Environment {
	env := usage.Environment{}
	for _, v := range variables() {
		env[v.Name] = job[v.Name]
	}
	maps.Copy(env, changes)
	return env
}

// setEnv sets the process's environment, which the AWS SDK reads itself, to that of the job, with changes.
func setEnv(t *testing.T, changes map[string]string) {
	t.Helper()
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, ownPrefix) || strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	for name, value := range jobWith(changes) {
		t.Setenv(name, value)
	}
}

// processEnv is the environment that the AWS SDK reads.
func processEnv() usage.Environment { return usage.EnvironmentOf(os.Environ()) }

func TestLoadConfig(t *testing.T) {
	base := Config{
		AccountID: "123456789012", Region: "eu-west-1", DefaultRegion: "eu-west-1",
		Registry: "registry.example.com", RegistryImage: "registry.example.com/group/project",
		RegistryUser: "gitlab-ci-token", RegistryPassword: "glcbt-secret", Disk: "15GB", Stall: "5m",
	}
	tests := []struct {
		name string
		env  map[string]string
		want func(*Config)
	}{
		{"the least", nil, func(*Config) {}},
		{
			"AWS_REGION wins",
			map[string]string{"AWS_REGION": "us-gov-west-1"},
			func(c *Config) { c.Region = "us-gov-west-1" },
		},
		{
			"AWS_REGION alone",
			map[string]string{"AWS_REGION": "ap-southeast-2", "AWS_DEFAULT_REGION": ""},
			func(c *Config) { c.Region, c.DefaultRegion = "ap-southeast-2", "" },
		},
		{
			"an ID token beside an access key",
			map[string]string{"AWS_WEB_IDENTITY_TOKEN": "e.y.J", "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"},
			func(c *Config) {
				c.WebIdentityToken, c.AccessKeyID, c.SecretAccessKey = "e.y.J", "AKIAIOSFODNN7EXAMPLE", "secret"
			},
		},
		{
			"web identity",
			map[string]string{"AWS_ROLE_ARN": "arn:aws-cn:iam::123456789012:role/ci/migration", "AWS_WEB_IDENTITY_TOKEN": "e.y.J"},
			func(c *Config) {
				c.RoleARN, c.WebIdentityToken = "arn:aws-cn:iam::123456789012:role/ci/migration", "e.y.J"
			},
		},
		{
			"a role that something else may use",
			map[string]string{"AWS_ROLE_ARN": "deploy"},
			func(c *Config) { c.RoleARN = "deploy" },
		},
		{
			"a registry with a port",
			map[string]string{"CI_REGISTRY": "127.0.0.1:5005", "CI_REGISTRY_IMAGE": "127.0.0.1:5005/a/b.c/d_e"},
			func(c *Config) { c.Registry, c.RegistryImage = "127.0.0.1:5005", "127.0.0.1:5005/a/b.c/d_e" },
		},
		{
			"an engine with TLS",
			map[string]string{
				"DOCKER_HOST": "tcp://docker:2376", "DOCKER_TLS_VERIFY": "0", "DOCKER_CERT_PATH": "/certs/client", "DOCKER_TLS_CERTDIR": "/certs",
			},
			func(c *Config) {
				c.DockerHost, c.DockerTLSVerify, c.DockerCertPath, c.DockerTLSCertDir = "tcp://docker:2376", "0", "/certs/client", "/certs"
			},
		},
		{"one at a time", map[string]string{"MIGRATE_CONCURRENCY": "1"}, func(c *Config) { c.Concurrency = 1 }},
		{"as many as there may be", map[string]string{"MIGRATE_CONCURRENCY": "64"}, func(c *Config) { c.Concurrency = 64 }},
		{"a small disk", map[string]string{"MIGRATE_DISK": "500 MiB"}, func(c *Config) { c.Disk = "500 MiB" }},
		{"a platform by another name", map[string]string{"MIGRATE_PLATFORM": "linux/x86_64"}, func(c *Config) { c.Platform = "linux/amd64" }},
		{"a platform's default variant", map[string]string{"MIGRATE_PLATFORM": "linux/arm64/v8"}, func(c *Config) { c.Platform = "linux/arm64" }},
		{"a platform's variant", map[string]string{"MIGRATE_PLATFORM": "linux/arm/v6"}, func(c *Config) { c.Platform = "linux/arm/v6" }},
		{
			"a version of Windows",
			map[string]string{"MIGRATE_PLATFORM": "windows(10.0.17763.1)/amd64"},
			func(c *Config) { c.Platform = "windows(10.0.17763.1)/amd64" },
		},
		{
			"a choice", map[string]string{"MIGRATE_REPOSITORIES": "team/**", "MIGRATE_TAGS": "v*", "MIGRATE_NEWEST": "5", "MIGRATE_SINCE": "90d"},
			func(c *Config) { c.Repositories, c.Tags, c.Newest, c.Since = "team/**", "v*", 5, "90d" },
		},
		{"a share", map[string]string{"CI_NODE_INDEX": "4", "CI_NODE_TOTAL": "4"}, func(c *Config) { c.NodeIndex, c.NodeTotal = 4, 4 }},
		{"new names", map[string]string{"MIGRATE_RENAME": `team/(.*)/(.*) => \2/\1; a => b`}, func(c *Config) { c.Rename = `team/(.*)/(.*) => \2/\1; a => b` }},
		{"two underscores", map[string]string{"MIGRATE_NAME_SEPARATOR": "__"}, func(c *Config) { c.NameSeparator = "__" }},
		{"an empty variable of another program", map[string]string{"MIGRATE_NOTHING": ""}, func(*Config) {}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := loadConfig(jobWith(test.env))
			if err != nil {
				t.Fatal(err)
			}
			want := base
			test.want(&want)
			if got != want {
				t.Errorf("got\n%+v\nwant\n%+v", got, want)
			}
		})
	}
}

func TestDeadline(t *testing.T) {
	now := time.Date(2026, 11, 26, 20, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name string
		env  map[string]string
		want time.Time
	}{
		{"none", nil, time.Time{}},
		{"a duration", map[string]string{"MIGRATE_DEADLINE": "2h30m"}, now.Add(150 * time.Minute)},
		{"a time", map[string]string{"MIGRATE_DEADLINE": "2026-11-27T07:00:00+01:00"}, now.Add(10 * time.Hour)},
		{
			"the job's", map[string]string{"CI_JOB_STARTED_AT": "2026-11-26T19:59:00Z", "CI_JOB_TIMEOUT": "3600"},
			now.Add(59 * time.Minute),
		},
		{
			"before the job's", map[string]string{"MIGRATE_DEADLINE": "1h", "CI_JOB_STARTED_AT": "2026-11-26T19:59:00Z", "CI_JOB_TIMEOUT": "36000"},
			now.Add(time.Hour),
		},
		{"a start without a timeout", map[string]string{"CI_JOB_STARTED_AT": "2026-11-26T19:59:00Z"}, time.Time{}},
		{"a timeout without a start", map[string]string{"CI_JOB_TIMEOUT": "3600"}, time.Time{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg, err := loadConfig(jobWith(test.env))
			if got := cfg.deadline(now); err != nil || !got.Equal(test.want) {
				t.Errorf("got %s, want %s (%v)", got, test.want, err)
			}
		})
	}
}

func TestChoice(t *testing.T) {
	now := time.Date(2026, 11, 26, 20, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name string
		cfg  Config
		want plan.Choice
	}{
		{"everything", Config{}, plan.Choice{}},
		{"repositories", Config{Repositories: "team/*, !team/old\nlib/**"}, plan.Choice{Repositories: plan.Patterns{"team/*", "!team/old", "lib/**"}}},
		{"tags", Config{Tags: "v{1,2}.* latest,"}, plan.Choice{Tags: plan.Patterns{"v{1,2}.*", "latest"}}},
		{"newest", Config{Newest: 3}, plan.Choice{Newest: 3}},
		{"a date", Config{Since: "2026-01-31"}, plan.Choice{Since: time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)}},
		{"a time", Config{Since: "2026-01-31T06:30:00Z"}, plan.Choice{Since: time.Date(2026, 1, 31, 6, 30, 0, 0, time.UTC)}},
		{"days", Config{Since: "90d"}, plan.Choice{Since: now.AddDate(0, 0, -90)}},
		{"hours", Config{Since: "36h"}, plan.Choice{Since: now.Add(-36 * time.Hour)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := test.cfg.choice(now)
			if !reflect.DeepEqual(got, test.want) || got.Everything() != (test.name == "everything") {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestLoadConfigRefuses(t *testing.T) {
	tests := []struct {
		name, value string
		want        string // the beginning of the line
	}{
		{"AWS_ACCOUNT_ID", "", `AWS_ACCOUNT_ID: missing; it is the ID of the AWS account whose ECR registry is migrated, 12 digits (Settings > CI/CD > Variables)`},
		{"AWS_ACCOUNT_ID", "12345", `AWS_ACCOUNT_ID "12345": must be 12 digits; it is the ID of the AWS account`},
		{"AWS_ACCOUNT_ID", "1234-5678-9012", `AWS_ACCOUNT_ID "1234-5678-9012": must be 12 digits`},
		{"AWS_ACCOUNT_ID", "123456789012\n", `AWS_ACCOUNT_ID: must not begin or end with white space (it ends with a line break); it is the ID of the AWS account`},
		{"AWS_ACCOUNT_ID", `"123456789012"`, `AWS_ACCOUNT_ID: must not be in quotes; it is the ID of the AWS account`},
		{"AWS_ACCESS_KEY_ID", "AKIA EXAMPLE", `AWS_ACCESS_KEY_ID: must not contain white space; it is the ID of an access key (Settings`},
		{"AWS_SECRET_ACCESS_KEY", "'secret'", `AWS_SECRET_ACCESS_KEY: must not be in quotes`},
		{"AWS_ROLE_ARN", " arn:aws:iam::123456789012:role/r", `AWS_ROLE_ARN: must not begin or end with white space (it begins with a space)`},
		{"CI_REGISTRY_PASSWORD", "glpat-\nsecret", `CI_REGISTRY_PASSWORD: must not contain line breaks`},
		{"CI_REGISTRY_USER", "somebody\t", `CI_REGISTRY_USER: must not begin or end with white space (it ends with a tab)`},
		{"AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token\n", `AWS_WEB_IDENTITY_TOKEN_FILE: must not begin or end with white space`},
		{"AWS_DEFAULT_REGION", "", `AWS_DEFAULT_REGION: missing`},
		{"AWS_DEFAULT_REGION", "eu-west-1a", `AWS_DEFAULT_REGION "eu-west-1a": must be the name of an AWS region`},
		{"AWS_REGION", "Ireland", `AWS_REGION "Ireland": must be the name of an AWS region`},
		{"AWS_WEB_IDENTITY_TOKEN", "e.y.J", `AWS_ROLE_ARN: missing, but AWS_WEB_IDENTITY_TOKEN is set`},
		{"CI_REGISTRY", "https://registry.example.com", `CI_REGISTRY "https://registry.example.com": must be a host name`},
		{"CI_REGISTRY_IMAGE", "", `CI_REGISTRY_IMAGE: missing; it is the registry path of the project to migrate to, such as registry.gitlab.com/group/project (GitLab sets it`},
		{"CI_REGISTRY_IMAGE", "registry.example.com", `CI_REGISTRY_IMAGE "registry.example.com": must start with "registry.example.com/"`},
		{"CI_REGISTRY_IMAGE", "registry.example.com.evil/g/p", `CI_REGISTRY_IMAGE "registry.example.com.evil/g/p": must start with`},
		{"CI_REGISTRY_IMAGE", "registry.example.com/Group/project", `CI_REGISTRY_IMAGE "registry.example.com/Group/project": must be a repository name: `},
		{"CI_REGISTRY_IMAGE", "registry.example.com/g/p:tag", `CI_REGISTRY_IMAGE "registry.example.com/g/p:tag": must not have a tag`},
		{"CI_REGISTRY_USER", "", `CI_REGISTRY_USER: missing`},
		{"CI_REGISTRY_PASSWORD", "", `CI_REGISTRY_PASSWORD: missing`},
		{"DOCKER_HOST", "docker:2375", `DOCKER_HOST "docker:2375": must start with unix:// or tcp://`},
		{"DOCKER_HOST", "ssh://root@docker", `DOCKER_HOST "ssh://root@docker": must start with`},
		{"MIGRATE_CONCURRENCY", "many", `MIGRATE_CONCURRENCY "many": must be a whole number; it is`},
		{"MIGRATE_CONCURRENCY", "0", `MIGRATE_CONCURRENCY "0": must be from 1 to 64`},
		{"MIGRATE_CONCURRENCY", "65", `MIGRATE_CONCURRENCY "65": must be from 1 to 64`},
		{"MIGRATE_DISK", "much", `MIGRATE_DISK "much": must be a size, such as 20GB or 500MiB; it is`},
		{"MIGRATE_DISK", "-1GB", `MIGRATE_DISK "-1GB": must be a size`},
		{"MIGRATE_DISK", "20", `MIGRATE_DISK "20": must be at least 50 MB`},
		{"MIGRATE_DISK", "9999999999TB", `MIGRATE_DISK "9999999999TB": must be`},
		{"MIGRATE_PLATFORM", "amd64", `MIGRATE_PLATFORM "amd64": must be os/architecture`},
		{"MIGRATE_PLATFORM", "linux/amd64,linux/arm64", `MIGRATE_PLATFORM "linux/amd64,linux/arm64": must be os/architecture`},
		{"MIGRATE_RENAME", "team/app", `MIGRATE_RENAME "team/app": "team/app" is not a rule, such as team/(.*)/(.*) => \2/\1; it is the rules`},
		{"MIGRATE_RENAME", `a => \1`, `MIGRATE_RENAME "a => \\1": "a => \\1" refers to group \1`},
		{"MIGRATE_NAME_SEPARATOR", "--", `MIGRATE_NAME_SEPARATOR "--": must be one of -, _, . and __`},
		{"MIGRATE_NAME_SEPARATOR", "/", `MIGRATE_NAME_SEPARATOR "/": must be one of`},
		{"MIGRATE_CONCURENCY", "8", `MIGRATE_CONCURENCY: unknown; there is MIGRATE_CONCURRENCY`},
		{"MIGRATE_WHATEVER", "8", `MIGRATE_WHATEVER: unknown; there are MIGRATE_REPOSITORIES, MIGRATE_TAGS, MIGRATE_NEWEST, MIGRATE_SINCE, MIGRATE_CONCURRENCY, `},
		{"MIGRATE_REPOSITORIES", ",", `MIGRATE_REPOSITORIES ",": contains no pattern; it is the repositories to migrate`},
		{"MIGRATE_REPOSITORIES", "team/[", `MIGRATE_REPOSITORIES "team/[": "team/[" is not a pattern, such as team/*, team/** or !*-rc*`},
		{"MIGRATE_TAGS", "v*, !", `MIGRATE_TAGS "v*, !": "!" is not a pattern`},
		{"MIGRATE_TAGS", "semver:newest", `MIGRATE_TAGS "semver:newest": "semver:newest" is not a range of versions, such as semver:>=1.2 <3`},
		{"MIGRATE_REPOSITORIES", "semver:>=1", `MIGRATE_REPOSITORIES "semver:>=1": "semver:>=1" is for tags only`},
		{"MIGRATE_NEWEST", "0", `MIGRATE_NEWEST "0": must be at least 1`},
		{"MIGRATE_SINCE", "90", `MIGRATE_SINCE "90": must be a date, such as 2026-01-31, a time, such as`},
		{"MIGRATE_SINCE", "-3h", `MIGRATE_SINCE "-3h": must be a date`},
		{"MIGRATE_STALL", "5", `MIGRATE_STALL "5": must be a duration of at least 1s, such as 90s`},
		{"MIGRATE_STALL", "100ms", `MIGRATE_STALL "100ms": must be a duration of at least 1s`},
		{"MIGRATE_DEADLINE", "tomorrow", `MIGRATE_DEADLINE "tomorrow": must be a duration, such as 2h30m, or a time`},
		{"MIGRATE_DEADLINE", "-2h", `MIGRATE_DEADLINE "-2h": must be a duration`},
		{"MIGRATE_DEADLINE", "06:00", `MIGRATE_DEADLINE "06:00": must be a duration`},
		{"CI_JOB_TIMEOUT", "1h", `CI_JOB_TIMEOUT "1h": must be a whole number`},
		{"CI_JOB_TIMEOUT", "-1", `CI_JOB_TIMEOUT "-1": must be a number of seconds`},
		{"CI_JOB_STARTED_AT", "yesterday", `CI_JOB_STARTED_AT "yesterday": must be a time, such as 2026-11-27T06:00:00Z; it is the time at which the job started (GitLab sets it in a job)`},
		{"CI_NODE_TOTAL", "0", `CI_NODE_TOTAL "0": must be at least 1`},
		{"CI_NODE_TOTAL", "4", `CI_NODE_INDEX: missing, but CI_NODE_TOTAL is set`},
		{"CI_NODE_INDEX", "2", `CI_NODE_INDEX "2": must be from 1 to CI_NODE_TOTAL`},
		{"CI_NODE_INDEX", "0", `CI_NODE_INDEX "0": must be from 1 to CI_NODE_TOTAL`},
	}
	for _, test := range tests {
		t.Run(test.name+"="+test.value, func(t *testing.T) {
			cfg, err := loadConfig(jobWith(map[string]string{test.name: test.value}))
			if cfg != (Config{}) {
				t.Errorf("a refused configuration is returned all the same: %+v", cfg)
			}
			var problems configError
			if !errors.As(err, &problems) || len(problems) != 1 || !strings.HasPrefix(problems[0], test.want) {
				t.Errorf("got\n%v\nwant one line that starts with\n%s", err, test.want)
			}
		})
	}
}

func TestLoadConfigWantsARoleBesideHalfAnAccessKey(t *testing.T) {
	_, err := loadConfig(jobWith(map[string]string{"AWS_WEB_IDENTITY_TOKEN": "e.y.J", "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"}))
	if want := "AWS_ROLE_ARN: missing, but AWS_WEB_IDENTITY_TOKEN is set; "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s…", err, want)
	}
}

func TestLoadConfigChecksTheRole(t *testing.T) {
	_, err := loadConfig(jobWith(map[string]string{"AWS_WEB_IDENTITY_TOKEN": "e.y.J", "AWS_ROLE_ARN": "migration"}))
	if want := `AWS_ROLE_ARN "migration": must be the ARN of an IAM role; it is `; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s…", err, want)
	}
}

func TestLoadConfigWantsAHostThatDockerTakes(t *testing.T) {
	_, err := loadConfig(jobWith(map[string]string{"CI_REGISTRY": "registry", "CI_REGISTRY_IMAGE": "registry/group/project"}))
	if want := "must begin with a host that has a dot"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestLoadConfigNamesEverythingAtOnce(t *testing.T) {
	changes := map[string]string{"MIGRATE_CONCURRENCY": "x", "MIGRATE_TYPO": "y", "DOCKER_HOST": "z"}
	for name := range job {
		changes[name] = ""
	}
	_, err := loadConfig(jobWith(changes))
	if err == nil {
		t.Fatal("no error")
	}
	var got []string
	for line := range strings.Lines(err.Error()) {
		got = append(got, problemOf(line))
	}
	want := slices.Sorted(maps.Keys(changes))
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("problems with %v, want %v", got, want)
	}
}

func TestVariables(t *testing.T) {
	all := variables()
	if len(all) != reflect.TypeFor[Config]().NumField() {
		t.Errorf("%d variables for %d fields", len(all), reflect.TypeFor[Config]().NumField())
	}
	for _, v := range all {
		if v.Name == "" || v.Description == "" || v.Short == "" && !strings.HasPrefix(v.Name, "AWS_") {
			t.Errorf("incomplete: %+v", v)
		}
		if v.Instead != "" && variableNamed(v.Instead).Required {
			t.Errorf("%s stands in for %s, but is required itself", v.Instead, v.Name)
		}
	}
	if v := variableNamed("MIGRATE_DISK"); v.Default != "15GB" || v.Required || v.Secret {
		t.Errorf("got %+v", v)
	}
	if v := variableNamed("CI_REGISTRY_PASSWORD"); !v.Required || !v.Secret {
		t.Errorf("got %+v", v)
	}
}

func TestDiskBytes(t *testing.T) {
	for size, want := range map[string]int64{"15GB": 15e9, "500MiB": 500 << 20, "1.5 GB": 15e8, "50000000": 50e6} {
		if err := validDisk(size); err != nil {
			t.Errorf("%s: %v", size, err)
		}
		if got := (&Config{Disk: size}).diskBytes(); got != want {
			t.Errorf("%s is %d bytes, want %d", size, got, want)
		}
	}
}

// exposures are the ways in which a value can end up in a log.
func exposures(t *testing.T, value any) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		texts[verb] = fmt.Sprintf(verb, value)
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	texts["JSON"] = string(encoded)
	if encoded, err = xml.Marshal(value); err != nil {
		t.Fatal(err)
	}
	texts["XML"] = string(encoded)
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"slog JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		"slog text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
	} {
		var log bytes.Buffer
		slog.New(handler(&log)).Info("value", "value", value)
		texts[name] = log.String()
	}
	return texts
}

func assertHidden(t *testing.T, value any, secrets ...string) {
	t.Helper()
	for how, text := range exposures(t, value) {
		for _, secret := range secrets {
			if strings.Contains(text, secret) || strings.Contains(strings.ToLower(text), fmt.Sprintf("%x", secret)) {
				t.Errorf("%T with %s shows a secret: %s", value, how, text)
			}
		}
		if strings.HasPrefix(how, "%") && !strings.Contains(text, redact.Hidden) {
			t.Errorf("%T with %s does not say that something is hidden: %s", value, how, text)
		}
	}
}

func TestSecretsStayHidden(t *testing.T) {
	const password, token = "glcbt-secret", "header.payload.signature"
	cfg, err := loadConfig(jobWith(map[string]string{
		"AWS_WEB_IDENTITY_TOKEN": token, "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/r", "CI_REGISTRY_PASSWORD": password,
	}))
	if err != nil {
		t.Fatal(err)
	}
	if string(cfg.RegistryPassword) != password || string(cfg.WebIdentityToken) != token {
		t.Fatal("the secrets have not arrived")
	}
	assertHidden(t, cfg, password, token)
	assertHidden(t, &cfg, password, token)
	assertHidden(t, cfg.RegistryPassword, password)
	assertHidden(t, []Secret{cfg.RegistryPassword}, password)
	assertHidden(t, ecr.RegistryAuth{Username: "AWS", Password: password, ServerAddress: "host"}, password)
}

func TestProblemsHoldNoSecret(t *testing.T) {
	for _, v := range variables() {
		if !v.Secret {
			continue
		}
		if got := problemWith(v.Name, "glcbt-secret", "must be another"); strings.Contains(got, "glcbt-secret") || !strings.HasPrefix(got, v.Name+": must be another; it is ") {
			t.Errorf("got %s", got)
		}
	}
}
