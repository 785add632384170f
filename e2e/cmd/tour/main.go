// Command tour demonstrates a real migration of an account at the AWS stand-in to a project at the GitLab stand-in,
// through a real engine: planned, run, verified, and compared by an independent client. With -stay, it leaves the
// commands to the user. It must be run from e2e/, by cmd/demo.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/check"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

func main() {
	stay := flag.Bool("stay", false, "start the world, write its variables to "+envFile+", and wait for Ctrl-C")
	program := flag.String("program", "", "the path of the ecr2gitlab to show")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := tour(ctx, *program, *stay)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// The names of the tour's files, next to the program's source.
const (
	reportDir = "../demo-report"
	envFile   = "../world.env"
)

// archivedRepository and archivedTag name an image that nothing can pull, so that a refusal is among what is shown.
const archivedRepository, archivedTag = "tools/ci-runner", "1.0.0"

// disputedRepository and disputedTag name a tag under which somebody else has pushed another image to GitLab, so that a
// conflict is among what is shown.
const disputedRepository, disputedTag = "shop/web_frontend", "latest"

// notMigrated reports whether the tour expects that ECR's image is not at GitLab.
func notMigrated(repository, tag string) bool {
	return repository == archivedRepository && tag == archivedTag || repository == disputedRepository && tag == disputedTag
}

// tour performs and announces the steps.
func tour(ctx context.Context, path string, stay bool) (err error) {
	step("1. A Docker Engine")
	options := engine.Options{Verify: true}
	if !stay { // otherwise the user's own program could not resolve the bucket's name
		options.Hosts = world.Hosts
	}
	e, err := engine.StartSmall(ctx, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	fmt.Printf("Docker Engine %s at %s\n", e.Version, e.Host)

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
	program, err := world.Built(path)
	if err != nil {
		return err
	}
	if err := migrate(ctx, program, w); err != nil {
		return err
	}

	step("6. What an independent client reads at GitLab: every manifest and every layer, compared with ECR's")
	if err := compare(ctx, w, account); err != nil {
		return err
	}
	sayWhatIsLeft()
	return nil
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
	if err := archive(w, account); err != nil {
		return nil, err
	}
	images := 0
	for _, repository := range account {
		images += len(repository.Images)
	}
	fmt.Printf("%d repositories with %d images, at %s\n", len(account), images, w.AWS.RegistryHost)
	fmt.Printf("%s:%s is in ECR's archive, from which nothing can be pulled.\n", archivedRepository, archivedTag)
	if err := dispute(ctx, w, account); err != nil {
		return nil, err
	}
	fmt.Printf("%s:%s is at GitLab already: somebody else has pushed another image there.\n", disputedRepository, disputedTag)
	return account, nil
}

// dispute pushes another repository's image to GitLab under a tag that ECR has, too.
func dispute(ctx context.Context, w *world.World, account []corpus.Repository) error {
	repo, err := name.NewRepository(w.Target(disputedRepository, "").Name, name.Insecure)
	if err != nil {
		return err
	}
	theirs := corpus.Shape{Name: "somebody else's", Tags: []string{disputedTag}, Object: account[0].Images[0].Object}
	return theirs.Push(ctx, repo, w.GitLab.Auth())
}

// archive archives the one image in ECR.
func archive(w *world.World, account []corpus.Repository) error {
	for _, repository := range account {
		if repository.Name != archivedRepository {
			continue
		}
		tags, err := repository.Tags()
		if err != nil {
			return err
		}
		return w.AWS.Archive(repository.Name, digest.Digest(tags[archivedTag].String()))
	}
	return fmt.Errorf("the account has no repository %s", archivedRepository)
}

// migrate runs the program's commands in order, with the variables of a CI job.
func migrate(ctx context.Context, program world.Program, w *world.World) error {
	if err := os.RemoveAll(reportDir); err != nil {
		return err
	}
	withReports := append(w.Env(), "MIGRATE_REPORT_DIR="+reportDir)
	for _, command := range []struct {
		title string
		env   []string
		args  []string
	}{
		{"3. ecr2gitlab plan: what would be copied, and what cannot be", w.Env(), []string{"plan"}},
		{"4. ecr2gitlab: the migration", withReports, nil},
		{"5. ecr2gitlab verify --pull 5: every tag compared by the program itself, and five pulled from GitLab", w.Env(), []string{"verify", "--pull", "5"}},
	} {
		step(command.title)
		if err := runOne(ctx, program, command.env, command.args); err != nil {
			return err
		}
	}
	return nil
}

// someMissing is the program's exit code when some tags are not migrated, as with the archived image and the disputed tag.
const someMissing = 3

func runOne(ctx context.Context, program world.Program, env, args []string) error {
	err := program.Stream(ctx, os.Stdout, os.Stderr, env, args...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == someMissing:
		fmt.Printf("\nExit code %d: not every tag can be migrated.\n", someMissing)
		return nil
	case err == nil:
		return errors.New("ecr2gitlab has neither refused the archived image nor found the conflict")
	}
	return err
}

// sayWhatIsLeft ends the tour.
func sayWhatIsLeft() {
	step("To look at")
	for _, file := range []struct{ name, what string }{
		{"report.html", "open it in a browser: what was migrated, what was refused and why, and what took how long"},
		{"references.csv", "every old and new reference with its digests, for changing manifests and Dockerfiles"},
		{"junit.xml", "the same for GitLab's Tests tab"},
		{"report.json", "the same for scripts, and for the next run"},
	} {
		fmt.Printf("%s\n    %s\n", absolute(filepath.Join(reportDir, file.name)), file.what)
	}
	fmt.Print("\nmake world keeps all this running, for you to try the commands in.\n")
}

// waitForUser keeps the world running until the user ends it.
func waitForUser(ctx context.Context, w *world.World) (err error) {
	var exports strings.Builder
	for _, variable := range w.ShellEnv() {
		key, value, _ := strings.Cut(variable, "=")
		fmt.Fprintf(&exports, "export %s='%s'\n", key, value)
	}
	if err := os.WriteFile(envFile, []byte(exports.String()), 0o600); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(envFile)) }()
	step("3. Yours: in another shell")
	fmt.Printf("make build\n. %s\n./ecr2gitlab plan\n./ecr2gitlab\n./ecr2gitlab verify --pull 5\n\n"+
		"Each ends with exit code 3, because of the two tags above. The AWS CLI and the Docker CLI can use the variables, too.\n"+
		"Ctrl-C here ends it.\n", absolute(envFile))
	<-ctx.Done()
	return nil
}

func absolute(path string) string {
	if whole, err := filepath.Abs(path); err == nil {
		return whole
	}
	return path
}

// compare fails if a tag is missing or differs.
func compare(ctx context.Context, w *world.World, account []corpus.Repository) error {
	started := time.Now()
	var checker check.Checker
	var differences, tags, bytes int64
	for _, repository := range account {
		digests, err := repository.Tags()
		if err != nil {
			return err
		}
		before := tags
		for tag := range digests {
			if notMigrated(repository.Name, tag) {
				continue
			}
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
		fmt.Printf("%-32s %3d tags at %s\n", repository.Name, tags-before, w.Target(repository.Name, "").Name)
	}
	if differences > 0 {
		return fmt.Errorf("%d differences", differences)
	}
	if err := expectUntouched(ctx, w, account); err != nil {
		return err
	}
	fmt.Printf("\n%d tags, %d MB of layers read and compared in %s: no difference\n",
		tags, bytes/1e6, time.Since(started).Round(time.Second/10))
	return nil
}

// expectUntouched fails if the archived image is at GitLab, or if the disputed tag is no longer somebody else's.
func expectUntouched(ctx context.Context, w *world.World, account []corpus.Repository) error {
	at, err := check.Digest(ctx, w.Target(archivedRepository, ":"+archivedTag))
	if err != nil || at != "" {
		return fmt.Errorf("%s:%s was refused, and is at GitLab as %q (%w)", archivedRepository, archivedTag, at, err)
	}
	theirs, err := account[0].Images[0].Object.Digest()
	if err != nil {
		return err
	}
	at, err = check.Digest(ctx, w.Target(disputedRepository, ":"+disputedTag))
	if err != nil || at != theirs.String() {
		return fmt.Errorf("%s:%s was somebody else's, and is at GitLab as %q (%w)", disputedRepository, disputedTag, at, err)
	}
	return nil
}
