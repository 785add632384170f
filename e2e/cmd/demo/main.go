// Demo shows the main job: a real migration of an account at the AWS stand-in to a project at the GitLab stand-in,
// through a real engine, looked ahead at, verified, and compared by an independent client. With -stay it leaves the
// commands to its user.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/check"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

func main() {
	stay := flag.Bool("stay", false, "start the world, write its variables to "+envFile+", and wait for Ctrl-C")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := demo(ctx, *stay); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// What the demo leaves, beside the program's sources.
const (
	reportDir = "../demo-report"
	envFile   = "../world.env"
)

// demo takes one step after the other and says which.
func demo(ctx context.Context, stay bool) (err error) {
	step("1. Docker Engine: started; built first where this machine has none yet, which lasts about five minutes, once")
	e, err := engine.Start(ctx, engine.Containerd, engine.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()

	step("2. Stand-ins for AWS and GitLab, and an account of images made from this machine's files")
	w, err := world.Start(ctx, e, world.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	account, err := fill(ctx, w)
	if err != nil {
		return err
	}
	if stay {
		return waitForUser(ctx, w)
	}
	if err := migrate(ctx, w); err != nil {
		return err
	}

	step("6. GitLab: what an independent client reads there, every manifest and every layer compared with ECR's")
	return compare(ctx, w, account)
}

func step(text string) { fmt.Printf("\n== %s\n\n", text) }

func fill(ctx context.Context, w *world.World) ([]corpus.Repository, error) {
	account, err := corpus.Account(ctx, corpus.AccountOptions{Empty: true})
	if err != nil {
		return nil, err
	}
	if err := w.Fill(ctx, account); err != nil {
		return nil, err
	}
	images := 0
	for _, repository := range account {
		images += len(repository.Images)
	}
	fmt.Printf("%d repositories with %d images, at %s\n", len(account), images, w.AWS.RegistryHost)
	return account, nil
}

// migrate compiles the program and runs its commands one after the other, with the variables of a CI job.
func migrate(ctx context.Context, w *world.World) error {
	dir, err := os.MkdirTemp("", "ecr2gitlab-demo")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	if err := os.RemoveAll(reportDir); err != nil {
		return err
	}
	program, err := world.Build(ctx, dir, false)
	if err != nil {
		return err
	}
	env := append(w.Env(), "MIGRATE_REPORT_DIR="+reportDir)
	for _, command := range []struct {
		title string
		args  []string
	}{
		{"3. ecr2gitlab plan: what would be moved, and what could not", []string{"plan"}},
		{"4. ecr2gitlab: the migration", nil},
		{"5. ecr2gitlab verify --pull 5: everything compared by the program itself, and five tags pulled from GitLab", []string{"verify", "--pull", "5"}},
	} {
		step(command.title)
		if err := program.Stream(ctx, os.Stdout, os.Stderr, env, command.args...); err != nil {
			return err
		}
		if command.args == nil {
			fmt.Printf("\nFor the morning after: %s\n", absolute(filepath.Join(reportDir, "report.html")))
			env = w.Env() // the reports are of the migration
		}
	}
	return nil
}

// waitForUser keeps the world until the user has had enough of it.
func waitForUser(ctx context.Context, w *world.World) (err error) {
	var exports strings.Builder
	for _, variable := range w.Env() {
		key, value, _ := strings.Cut(variable, "=")
		fmt.Fprintf(&exports, "export %s='%s'\n", key, value)
	}
	if err := os.WriteFile(envFile, []byte(exports.String()), 0o600); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(envFile)) }()
	step("3. Yours: in another shell")
	fmt.Printf("make build\n. %s\n./ecr2gitlab plan\n\nCtrl-C here ends it.\n", absolute(envFile))
	<-ctx.Done()
	return nil
}

func absolute(path string) string {
	if whole, err := filepath.Abs(path); err == nil {
		return whole
	}
	return path
}

// compare fails where a tag is missing or differs.
func compare(ctx context.Context, w *world.World, account []corpus.Repository) error {
	started := time.Now()
	var checker check.Checker
	var differences, tags, bytes int64
	for _, repository := range account {
		digests, err := repository.Tags()
		if err != nil {
			return err
		}
		for tag := range digests {
			report, err := checker.Same(ctx, w.Source(repository.Name, ":"+tag), w.Target(repository.Name, ":"+tag))
			if err != nil {
				return err
			}
			tags++
			bytes += report.Bytes
			differences += int64(len(report.Differences))
			for _, difference := range report.Differences {
				fmt.Printf("%s:%s: %s\n", repository.Name, tag, difference)
			}
		}
		fmt.Printf("%-32s %3d tags at %s\n", repository.Name, len(digests), w.Target(repository.Name, "").Name)
	}
	if differences > 0 {
		return fmt.Errorf("%d differences", differences)
	}
	fmt.Printf("\n%d tags, %d MB of layers read and compared in %s: no difference\n",
		tags, bytes/1e6, time.Since(started).Round(time.Second/10))
	return nil
}
