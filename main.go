// Ecr2gitlab copies all images of an Amazon ECR registry to a GitLab container registry, through a Docker Engine.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/report"
)

// Set by the linker: go build -ldflags "-X main.version=1.2.3 -X main.revision=0123abc".
var (
	version  = "dev"
	revision = ""
)

// Exit codes, as the README documents them for scripts.
const (
	exitDone        = 0 // every tag is at the target
	exitFailed      = 1 // nothing could be done, or nothing more: engine, credentials, network
	exitConfig      = 2 // the configuration or the command line is wrong
	exitIncomplete  = 3 // finished, and some tags are not at the target
	exitUnfinished  = 4 // out of time: run again for the rest
	exitInterrupted = 128
)

// enginePatience is how long the engine may take to come up. The runner itself waits 30 s for a service.
const enginePatience = time.Minute

// gcPercent makes the garbage collector work sooner than it would: the manifests of a large account pass through
// memory once, and the engine beside the program has more use for it.
const gcPercent = 40

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := untilSignal(context.Background())
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program: the exit code is its only result.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	hide := secretsOfEnvironment()
	stdout, stderr = hide.Writer(stdout), hide.Writer(stderr)
	command := "migrate"
	if len(args) > 0 {
		command = args[0]
	}
	switch {
	case len(args) > 1:
		return fail(stderr, usageError(fmt.Sprintf("%q takes no arguments; the configuration is in variables", command)))
	case command == "migrate":
		return migrateAll(ctx, hide, stdout, stderr)
	case command == "help" || command == "-h" || command == "--help":
		say(stdout, helpText())
		return exitDone
	case command == "version" || command == "--version":
		say(stdout, versionLine())
		return exitDone
	}
	return fail(stderr, usageError(fmt.Sprintf("there is no command %q", command)))
}

// usageError is a command line that makes no sense.
type usageError string

func (e usageError) Error() string { return string(e) + ": see ecr2gitlab help" }

// fail says what is wrong and returns its exit code.
func fail(stderr io.Writer, err error) int {
	var config configError
	var usage usageError
	var signaled signalError
	switch {
	case errors.As(err, &signaled):
		say(stderr, "ecr2gitlab: "+signaled.Error())
		return exitInterrupted + int(signaled.signal)
	case errors.Is(err, migrate.ErrDeadline):
		say(stderr, "ecr2gitlab: "+err.Error())
		return exitUnfinished
	case errors.As(err, &config):
		say(stderr, "ecr2gitlab: the configuration is not complete; nothing was touched")
		say(stderr, "  - "+strings.ReplaceAll(report.Printable(config.Error()), "\n", "\n  - "))
		return exitConfig
	case errors.As(err, &usage):
		say(stderr, "ecr2gitlab: "+report.Printable(usage.Error()))
		return exitConfig
	}
	say(stderr, "ecr2gitlab: "+report.Printable(err.Error()))
	return exitFailed
}

// migrateAll is the main command: from the configuration to the last line of the report.
func migrateAll(ctx context.Context, hide *redact.Redactor, stdout, stderr io.Writer) int {
	started := time.Now()
	cfg, err := loadConfig()
	if err != nil {
		return fail(stderr, err)
	}
	log := report.NewLogFor(stdout, os.Getenv)
	stderr = log.Ending(stderr)
	log.Begin("prepare", "Prepare")
	record, err := openRecord(cfg, hide, log)
	if err != nil {
		return fail(stderr, err)
	}
	options, err := prepare(ctx, cfg, hide, log)
	if err != nil {
		closeRecord(record, interruption(ctx, err), stderr)
		return fail(stderr, interruption(ctx, err))
	}
	log.Begin("list", "List and plan")
	options.Observe = func(e migrate.Event) { log.Observe(e); record.Observe(e) }
	options.Known = record.Known
	options.Deadline = migrate.DeadlineAt(cfg.deadline(started), started)
	summary, err := migrate.Run(ctx, options)
	closeRecord(record, interruption(ctx, err), stderr)
	if err != nil && len(summary.Results) == 0 {
		return fail(stderr, interruption(ctx, err))
	}
	log.Summary(summary, cfg.RegistryImage, time.Since(started))
	switch {
	case err != nil:
		return fail(stderr, interruption(ctx, err))
	case summary.Incomplete() > 0:
		return exitIncomplete
	}
	return exitDone
}

// openRecord opens the report in MIGRATE_REPORT_DIR before anything is touched: a folder that does not take it is a
// fault of the configuration.
func openRecord(cfg Config, hide *redact.Redactor, log *report.Log) (*report.Record, error) {
	about := report.About{Program: versionLine(), Target: cfg.RegistryImage, Share: cfg.NodeTotal > 1, Redact: hide.Text}
	record, err := report.Open(cfg.ReportDir, about, log)
	if err != nil {
		var problem configError
		problem.add("MIGRATE_REPORT_DIR", err.Error())
		return nil, problem
	}
	return record, nil
}

// closeRecord writes the report's last state. A report that cannot be written takes nothing from what has arrived.
func closeRecord(record *report.Record, cause error, stderr io.Writer) {
	if err := record.Close(cause); err != nil {
		say(stderr, "ecr2gitlab: "+report.Printable(err.Error()))
	}
}

// prepare checks both sides and the engine between them, in the order of the tutorial's script.
func prepare(ctx context.Context, cfg Config, hide *redact.Redactor, log *report.Log) (migrate.Options, error) {
	source, err := newAmazon(ctx, cfg, hide)
	if err != nil {
		return migrate.Options{}, err
	}
	identity, err := source.CallerIdentity(ctx)
	if err != nil {
		return migrate.Options{}, err
	}
	log.Line("AWS: account %s, %s", identity.Account, identity.ARN)
	if identity.Account != cfg.AccountID {
		log.Line("     this identity is not of the account whose registry is migrated, %s: "+
			"the registry's policy has to allow it", cfg.AccountID)
	}
	engine, err := prepareEngine(ctx, cfg, hide, source, log)
	if err != nil {
		return migrate.Options{}, err
	}
	return migrate.Options{
		Source:      source,
		Engine:      engine,
		Store:       engine.store,
		Dedicated:   engine.images == 0,
		Namer:       migrate.Namer{Base: cfg.RegistryImage, Separator: cfg.NameSeparator},
		Share:       migrate.Share{Index: cfg.NodeIndex, Total: cfg.NodeTotal},
		Platform:    wantedPlatform(cfg),
		Concurrency: cmp.Or(cfg.Concurrency, engine.concurrency()),
		Disk:        cfg.diskBytes(),
	}, nil
}

// prepareEngine waits for the engine and has it log in on both sides.
func prepareEngine(ctx context.Context, cfg Config, hide *redact.Redactor, source *amazon, log *report.Log) (*engine, error) {
	engine, err := waitForEngine(ctx, cfg, enginePatience, func(host string) {
		log.Line("Engine: waiting for it at %s, for up to %s", host, enginePatience)
	})
	if err != nil {
		return nil, err
	}
	log.Line("Engine: Docker %s at %s, with the %s image store", engine.version, engine.at.Host, engine.store)
	if err := engine.usable(); err != nil {
		return nil, err
	}
	if engine.images > 0 {
		log.Line("        it holds images of its own, which are left alone; a fresh engine, as a job's dind is, would be faster")
	}
	engine.source = registryAuth(source.engineAuth).learned(hide)
	engine.target, engine.targetHost = registryAuth(cfg.targetAuth).learned(hide), cfg.Registry
	engine.stall = cfg.stallAfter()
	return engine, login(ctx, cfg, source, engine, log)
}

// login has the engine log in on both sides at once.
func login(ctx context.Context, cfg Config, source *amazon, engine *engine, log *report.Log) error {
	credentials, err := source.Credentials(ctx)
	if err != nil {
		return err
	}
	refusals := make(chan error, 1)
	try := func(auth registryAuth) error {
		return migrate.Retry(ctx, func() error { return engine.Login(ctx, auth) })
	}
	go func() { refusals <- try(engine.target) }()
	ofECR, ofGitLab := try(engine.source), <-refusals
	if ofECR != nil {
		return fmt.Errorf("the ECR registry %s refuses the login of AWS's own token: %w\n"+
			"AWS_ACCOUNT_ID and the region must be those of the registry, and the engine needs a way to it",
			credentials.ServerAddress, ofECR)
	}
	log.Line("ECR: logged in to %s", credentials.ServerAddress)
	if ofGitLab != nil {
		return fmt.Errorf("the GitLab registry %s refuses the login of %s: %w\n"+
			"In a job, CI_REGISTRY_USER and CI_REGISTRY_PASSWORD come from GitLab and die with the job; elsewhere use a deploy "+
			"token or an access token with read_registry and write_registry", cfg.Registry, cfg.RegistryUser, ofGitLab)
	}
	log.Line("GitLab: logged in to %s as %s", cfg.Registry, cfg.RegistryUser)
	return nil
}

// wantedPlatform is the one platform that the user asked for, or nil.
func wantedPlatform(cfg Config) *ocispec.Platform {
	if cfg.Platform == "" {
		return nil
	}
	platform := platforms.MustParse(cfg.Platform) // loadConfig has checked it
	return &platform
}

// signalError is the interruption of a run.
type signalError struct{ signal syscall.Signal }

func (e signalError) Error() string { return "interrupted by " + unix.SignalName(e.signal) }

// untilSignal returns a context that the first SIGINT or SIGTERM cancels; the second ends the program at once.
func untilSignal(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		first := (<-signals).(syscall.Signal)
		cancel(signalError{first})
		second := (<-signals).(syscall.Signal)
		os.Exit(exitInterrupted + int(second))
	}()
	return ctx, func() { signal.Stop(signals) }
}

// interruption returns the signal that cancelled the context, where one did, and the error else.
func interruption(ctx context.Context, err error) error {
	var signaled signalError
	if err != nil && errors.As(context.Cause(ctx), &signaled) {
		return signaled
	}
	return err
}

func versionLine() string {
	rev := revision
	if info, ok := debug.ReadBuildInfo(); ok && rev == "" {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				rev = setting.Value
			}
		}
	}
	if rev == "" {
		return "ecr2gitlab " + version
	}
	return fmt.Sprintf("ecr2gitlab %s (%s)", version, rev)
}

// say writes a line. Who has closed the output has no use for the error.
func say(w io.Writer, line string) { _, _ = fmt.Fprintln(w, line) }

func helpText() string {
	var b strings.Builder
	b.WriteString(`ecr2gitlab copies all images of an Amazon ECR registry to a GitLab project, through a Docker Engine.

  ecr2gitlab [migrate]   copy everything, and end with what did not arrive
  ecr2gitlab help        this
  ecr2gitlab version     its version

Variables (* must be set):
`)
	for _, v := range variables() {
		mark := " "
		if v.Required {
			mark = "*"
		}
		fmt.Fprintf(&b, "%s %-24s %s", mark, v.Name, v.Description)
		if v.Default != "" {
			fmt.Fprintf(&b, " (default %s)", v.Default)
		}
		b.WriteByte('\n')
	}
	b.WriteString(`
AWS credentials are whatever the AWS SDK finds: keys, a profile, a role.

Exit codes: 0 everything is there; 1 nothing could be done, or nothing more; 2 the configuration is wrong;
3 finished, some tags are not there; 4 out of time, run again for the rest; 130 or 143 interrupted.`)
	return b.String()
}
