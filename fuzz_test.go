package main

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/distribution/reference"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/ecr"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/usage"
)

func FuzzDecodeToken(f *testing.F) {
	for _, token := range []string{"AWS:ey:J", "AWS:", ":secret", "secret", "", "AWS:\x00\n"} {
		f.Add(base64.StdEncoding.EncodeToString([]byte(token)), "https://"+sourceHost)
		f.Add(token, "localhost:4566")
	}
	f.Add("QVdTOnNlY3JldA==", "https://user:password@host/path")
	f.Add("QVdTOnNlY3JldA==", "")
	f.Add("QVdTOnNlY3JldA", "http://[::1")
	messages := []string{"what came is not valid base64", "what came is not of the form user:password", "it came without a registry endpoint"}
	f.Fuzz(func(t *testing.T, token, endpoint string) {
		auth, err := ecr.DecodeToken(token, endpoint)
		if err != nil {
			if !slices.Contains(messages, err.Error()) || auth != (ecr.RegistryAuth{}) {
				t.Errorf("an error that may hold the token: %v, %+v", err, auth)
			}
			return
		}
		decoded, _ := base64.StdEncoding.DecodeString(token)
		if auth.Username+":"+string(auth.Password) != string(decoded) || strings.Contains(auth.Username, ":") || auth.Username == "" ||
			auth.Password == "" || auth.ServerAddress == "" {
			t.Errorf("%q is of %q at %q", decoded, auth.Username, auth.ServerAddress)
		}
	})
}

// hostileSecret is hard to hide: its form differs in Go's quotes, in JSON, in a URL and on a line.
const hostileSecret = "glcbt-\"sécret\"\\ <&>%20\x1b+/"

// FuzzLoadConfig uses its own environment, in the format of /proc/self/environ. The secrets are always the same.
func FuzzLoadConfig(f *testing.F) {
	var good []string
	for name, value := range job {
		good = append(good, name+"="+value)
	}
	slices.Sort(good)
	complete := strings.Join(good, "\x00")
	for _, more := range []string{
		"", "MIGRATE_CONCURRENCY=many\x00MIGRATE_DISK=1e999GB\x00MIGRATE_STALL=-1s\x00MIGRATE_DEADLINE=tomorrow", "AWS_ACCOUNT_ID=\x00CI_REGISTRY=",
		"MIGRATE_REPOSITORIES=team/{a,b}/**, !*-old\x00MIGRATE_TAGS=[\x00MIGRATE_NEWEST=-1\x00MIGRATE_SINCE=90d", "MIGRATE_SINCE=2026-01-31\x00MIGRATE_TAGS= ",
		"MIGRATE_PLATFORM=linux/arm/v7\x00MIGRATE_DEADLINE=2h30m\x00CI_JOB_TIMEOUT=3600", "MIGRATE_PLATFORM=windows(10.0.17763.1)/amd64\x00MIGRATE_A\nB=x",
		"AWS_WEB_IDENTITY_TOKEN=x\x00AWS_ROLE_ARN=arn:aws:iam::123456789012:role/r", "CI_NODE_INDEX=3\x00CI_NODE_TOTAL=2\x00MIGRATE_:=1",
		"DOCKER_HOST=tcp://docker:2376\nsection_start:1:x\r\x1b[0K\x00AWS_REGION=\xff", "CI_REGISTRY_IMAGE=registry.example.com/g/p@" + imageHash,
	} {
		f.Add(complete + "\x00" + more)
	}
	f.Fuzz(func(t *testing.T, environ string) {
		set := usage.Environment{}
		for entry := range strings.SplitSeq(environ, "\x00") {
			if name, value, ok := strings.Cut(entry, "="); ok && ours(name) && !strings.Contains(value, hostileSecret) {
				set[name] = value
			}
		}
		for _, v := range variables() {
			if v.Secret && set[v.Name] != "" {
				set[v.Name] = hostileSecret
			}
		}
		cfg, err := loadConfig(set)
		if err == nil {
			testAccepted(t, cfg)
			return
		}
		var problems configError
		if !errors.As(err, &problems) || cfg != (Config{}) || strings.Contains(err.Error(), hostileSecret) {
			t.Fatalf("refused with %+v, %v", cfg, err)
		}
		for _, problem := range problems {
			if name := problemOf(problem); strings.Contains(problem, "\n") || !ours(name) {
				t.Errorf("a problem of %q is %q", name, problem)
			}
		}
		testAllAtOnce(t, set, problems)
	})
}

// ours reports whether the variable is part of the configuration.
func ours(name string) bool {
	return strings.HasPrefix(name, ownPrefix) || slices.ContainsFunc(variables(), func(v usage.Variable) bool { return v.Name == name })
}

// testAccepted checks that the rest of the program works with an accepted configuration, and that no secret is visible.
func testAccepted(t *testing.T, cfg Config) {
	assertHidden(t, cfg, hostileSecret)
	named, err := reference.ParseNamed(cfg.RegistryImage)
	if err != nil || !strings.HasPrefix(cfg.RegistryImage, cfg.Registry+"/") || reference.Domain(named) != cfg.Registry {
		t.Errorf("%q at %q: %v", cfg.RegistryImage, cfg.Registry, err)
	}
	cfg.platform() // panics if it is invalid
	if cfg.diskBytes() < minDisk || cfg.stallAfter() < minStall || cfg.Concurrency < 0 || cfg.Concurrency > maxConcurrency {
		t.Errorf("a disk of %d bytes, a stall of %s, %d at a time", cfg.diskBytes(), cfg.stallAfter(), cfg.Concurrency)
	}
	now := time.Now()
	everything := cfg.Repositories+cfg.Tags == "" && cfg.Newest == 0
	if choice := cfg.choice(now); cfg.Since == "" && choice.Everything() != everything || choice.Newest < 0 {
		t.Errorf("chosen is %+v of %+v", choice, cfg)
	}
	if end := cfg.deadline(now); cfg.Deadline != "" && end.IsZero() || cfg.NodeTotal > 1 && (cfg.NodeIndex < 1 || cfg.NodeIndex > cfg.NodeTotal) {
		t.Errorf("the deadline %q is %s, job %d of %d", cfg.Deadline, end, cfg.NodeIndex, cfg.NodeTotal)
	}
}

// testAllAtOnce checks that all invalid variables in an otherwise valid environment are reported.
func testAllAtOnce(t *testing.T, env usage.Environment, problems configError) {
	for name, value := range env {
		switch name { // whether the value is valid depends on others
		case "AWS_DEFAULT_REGION", "AWS_ROLE_ARN", "CI_REGISTRY", "CI_REGISTRY_IMAGE", "CI_NODE_INDEX", "CI_NODE_TOTAL":
			continue
		}
		alone := jobWith(nil)
		alone[name] = value
		_, err := loadConfig(alone)
		if err == nil || name == "AWS_WEB_IDENTITY_TOKEN" {
			continue
		}
		if !slices.ContainsFunc(problems, func(p string) bool { return slices.Contains(strings.Split(err.Error(), "\n"), p) }) {
			t.Errorf("%q alone is refused with\n%v\nand with others the problems are\n%v", name, err, problems)
		}
	}
}
