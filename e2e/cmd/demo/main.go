// Demo shows the main job: a real migration of an account at the AWS stand-in to a project at the GitLab stand-in,
// through a real engine, and what an independent client finds there afterwards.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/check"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := demo(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// demo takes one step after the other and says which.
func demo(ctx context.Context) (err error) {
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

	step("3. ecr2gitlab: compiled, and run with the variables of a CI job")
	if err := migrate(ctx, w); err != nil {
		return err
	}

	step("4. GitLab: what an independent client reads there, every manifest and every layer compared with ECR's")
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

func migrate(ctx context.Context, w *world.World) error {
	dir, err := os.MkdirTemp("", "ecr2gitlab-demo")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	program, err := world.Build(ctx, dir)
	if err != nil {
		return err
	}
	return program.Stream(ctx, os.Stdout, os.Stderr, w.Env())
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
