// Ecr2gitlab copies all images of an Amazon ECR registry to a GitLab container registry, through a Docker Engine.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/ecr"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/interrupt"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/record"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/report"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/usage"
)

// Set by the linker: go build -ldflags "-X main.version=1.2.3 -X main.revision=0123abc".
var (
	version  = "dev"
	revision = ""
)

// Exit codes, documented in the README for scripts.
const (
	exitDone       = 0 // every tag is at the target, or a plan says that it can be
	exitFailed     = 1 // cannot start or continue: engine, credentials, network
	exitConfig     = 2 // the configuration or the command line is wrong
	exitIncomplete = 3 // finished, but some tags are not at the target, or a plan says that they cannot be
	exitUnfinished = 4 // out of time, or job credentials expired: run again for the rest; signals have codes of their own
)

// gcPercent makes the garbage collector run more often than by default: the manifests of a large account pass through
// memory once, and the engine on the same machine needs that memory more.
const gcPercent = 40

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := interrupt.Context(context.Background())
	defer stop()
	os.Exit(run(ctx, os.Args[1:], usage.EnvironmentOf(os.Environ()), os.Stdout, os.Stderr))
}

// run is the entire program. It returns the exit code.
func run(ctx context.Context, args []string, env usage.Environment, stdout, stderr io.Writer) int {
	hide := secretsOf(env)
	stdout, stderr = hide.Writer(stdout), hide.Writer(stderr)
	line, err := usage.Parse(args)
	if err != nil {
		return fail(stderr, err)
	}
	switch line.Command {
	case usage.Help:
		say(stdout, usage.Text(variables()))
		return exitDone
	case usage.Version:
		say(stdout, versionLine())
		return exitDone
	case usage.Plan:
		return planAll(ctx, line, env, hide, outputFor(line, stdout, stderr))
	}
	return doAll(ctx, line, env, hide, outputFor(line, stdout, stderr))
}

// output is where a command writes its log, its errors, and, with --format json, its result.
type output struct {
	log, errors io.Writer
	json        io.Writer // nil: without --format json
}

func outputFor(line usage.Line, stdout, stderr io.Writer) output {
	if line.JSON {
		return output{log: stderr, errors: stderr, json: stdout}
	}
	return output{log: stdout, errors: stderr}
}

// writeJSON writes the result with --format json. An error means that standard output is incomplete.
func (o output) writeJSON(write func(io.Writer) error) error {
	if o.json == nil {
		return nil
	}
	if err := write(o.json); err != nil {
		return fmt.Errorf("the result cannot be written to standard output: %w", err)
	}
	return nil
}

// fail prints the error and returns its exit code.
func fail(stderr io.Writer, err error) int {
	var config configError
	var line usage.Error
	var interruption interrupt.Error
	var aws *ecr.Error
	switch {
	case errors.As(err, &interruption):
		say(stderr, "ecr2gitlab: "+interruption.Error())
		return interruption.ExitCode()
	case errors.Is(err, migrate.ErrDeadline):
		say(stderr, "ecr2gitlab: "+err.Error())
		return exitUnfinished
	case errors.As(err, &config):
		say(stderr, "ecr2gitlab: the configuration is invalid; nothing was changed")
		say(stderr, "  - "+strings.ReplaceAll(redact.Printable(config.Error()), "\n", "\n  - "))
		return exitConfig
	case errors.As(err, &line):
		say(stderr, "ecr2gitlab: "+redact.Printable(line.Error()))
		return exitConfig
	}
	say(stderr, "ecr2gitlab: "+redact.Printable(err.Error()))
	if errors.As(err, &aws) && aws.NewJob {
		return exitUnfinished
	}
	return exitFailed
}

// doAll runs a migration or a verification, from the configuration to the summary.
func doAll(ctx context.Context, line usage.Line, env usage.Environment, hide *redact.Redactor, out output) int {
	started := time.Now()
	cfg, err := loadConfig(env)
	if err != nil {
		return fail(out.errors, err)
	}
	log := report.NewLogFor(out.log, env.Get, hide.Text)
	out.errors = log.Ending(out.errors)
	log.Begin("prepare", "Prepare")
	rec, err := openRecord(cfg, hide, log)
	if err != nil {
		return fail(out.errors, err)
	}
	options, err := prepare(ctx, cfg, env, hide, log)
	if err != nil {
		closeRecord(rec, interrupt.Of(ctx, err), out.errors)
		return fail(out.errors, interrupt.Of(ctx, err))
	}
	log.Begin("list", "List and plan")
	options.Observe = func(e migrate.Event) { log.Observe(e); rec.Observe(e) }
	options.Known, options.Earlier = rec.Known, rec.Earlier()
	options.Deadline = migrate.DeadlineAt(cfg.deadline(started), started)
	summary, err := do(ctx, line, options)
	closeRecord(rec, interrupt.Of(ctx, err), out.errors)
	if err != nil && len(summary.Results) == 0 {
		return fail(out.errors, interrupt.Of(ctx, err))
	}
	log.Summary(summary, cfg.RegistryImage, time.Since(started))
	unwritten := out.writeJSON(func(w io.Writer) error {
		return report.WriteVerification(w, about(cfg, hide), summary, interrupt.Of(ctx, err))
	})
	switch {
	case err != nil:
		return fail(out.errors, interrupt.Of(ctx, err))
	case unwritten != nil:
		return fail(out.errors, unwritten)
	case summary.Incomplete() > 0:
		return exitIncomplete
	}
	return exitDone
}

// do runs the command given on the command line.
func do(ctx context.Context, line usage.Line, options migrate.Options) (migrate.Summary, error) {
	if line.Command == usage.Verify {
		return migrate.Verify(ctx, options, line.Pull)
	}
	return migrate.Run(ctx, options)
}

// planAll examines both sides and prints what a migration would do.
func planAll(ctx context.Context, line usage.Line, env usage.Environment, hide *redact.Redactor, out output) int {
	cfg, err := loadConfig(env)
	if err != nil {
		return fail(out.errors, err)
	}
	log := report.NewLogFor(out.log, env.Get, hide.Text)
	out.errors = log.Ending(out.errors)
	log.Begin("prepare", "Prepare")
	options, err := prepare(ctx, cfg, env, hide, log)
	if err != nil {
		return fail(out.errors, interrupt.Of(ctx, err))
	}
	log.Begin("list", "List and ask")
	options.Observe = log.Observe
	if cfg.ReportDir != "" {
		options.Known = record.ReadKnown(cfg.ReportDir, log.Line)
	}
	outlook, err := migrate.Plan(ctx, options, paceOf(cfg, line))
	if err != nil {
		return fail(out.errors, interrupt.Of(ctx, err))
	}
	log.Outlook(outlook, cfg.RegistryImage, cfg.diskBytes())
	if err := out.writeJSON(func(w io.Writer) error { return report.WritePlan(w, about(cfg, hide), outlook, cfg.diskBytes()) }); err != nil {
		return fail(out.errors, err)
	}
	if outlook.Troubles() > 0 {
		return exitIncomplete
	}
	return exitDone
}

// paceOf returns the pace by which plan estimates times, as far as it is known before the engine is.
func paceOf(cfg Config, line usage.Line) plan.Pace {
	return plan.Pace{Bytes: line.Rate, PerTag: plan.PerTagAt(cfg.Registry), Within: line.Within}
}

// openRecord opens the report in MIGRATE_REPORT_DIR before anything else is touched. A directory that is not writable is
// a configuration error.
func openRecord(cfg Config, hide *redact.Redactor, log *report.Log) (*record.Record, error) {
	rec, err := record.Open(cfg.ReportDir, about(cfg, hide), report.Pages, log.Line)
	if err != nil {
		return nil, configError{problemWith("MIGRATE_REPORT_DIR", cfg.ReportDir, err.Error())}
	}
	return rec, nil
}

// about returns what reports say about the run itself.
func about(cfg Config, hide *redact.Redactor) record.About {
	return record.About{
		Program: versionLine(), Target: cfg.RegistryImage, Redact: hide.Text,
		Partial: cfg.NodeTotal > 1 || !cfg.choice(time.Now()).Everything(),
	}
}

// closeRecord writes the final report. Failing to write it does not change the exit code: the images have arrived.
func closeRecord(rec *record.Record, cause error, stderr io.Writer) {
	if err := rec.Close(cause); err != nil {
		say(stderr, "ecr2gitlab: "+redact.Printable(err.Error()))
	}
}

// prepare checks AWS, the engine and both registries, in the order of the tutorial's script.
func prepare(ctx context.Context, cfg Config, env usage.Environment, hide *redact.Redactor, log *report.Log) (migrate.Options, error) {
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
		log.Line("     this identity does not belong to the account whose registry is migrated, %s: "+
			"the registry's policy has to allow it", cfg.AccountID)
	}
	engine, err := prepareEngine(ctx, cfg, env, hide, source, log)
	if err != nil {
		return migrate.Options{}, err
	}
	return migrate.Options{
		Source:      source,
		Access:      source.Access,
		Engine:      engine,
		Store:       engine.store,
		Namer:       cfg.namer(),
		Choice:      cfg.choice(time.Now()),
		Share:       plan.Share{Index: cfg.NodeIndex, Total: cfg.NodeTotal},
		Platform:    cfg.platform(),
		LeaveOut:    cfg.leaveOut(),
		Conflict:    transfer.ConflictPolicy(cfg.Conflict),
		Concurrency: cmp.Or(cfg.Concurrency, engine.concurrency()),
		Disk:        cfg.diskBytes(),
		Journal:     docker.Journal{Client: engine.client},
	}, nil
}

// enginePatience is how long the engine may take to start. GitLab Runner itself waits 30 s for a service.
const enginePatience = time.Minute

// prepareEngine waits for the engine and has it log in to both registries.
func prepareEngine(
	ctx context.Context, cfg Config, env usage.Environment, hide *redact.Redactor, source *amazon, log *report.Log,
) (*engine, error) {
	settings := docker.Settings{
		Host: cfg.DockerHost, TLSVerify: cfg.DockerTLSVerify, CertPath: cfg.DockerCertPath, TLSCertDir: cfg.DockerTLSCertDir, Home: env.Get("HOME"),
	}
	connection, err := settings.Wait(ctx, enginePatience, func(host string) {
		log.Line("Engine: waiting for it at %s, for up to %s", host, enginePatience)
	})
	if err != nil {
		return nil, err
	}
	engine := newEngine(connection, hide)
	log.Line("Engine: Docker %s at %s, with the %s image store", engine.version, engine.at.Host, engine.store)
	if err := engine.usable(); err != nil {
		return nil, err
	}
	if why := connection.WhyClassic(env.Get("DOCKER_DRIVER")); why != "" {
		log.Line("        %s", why)
	}
	if engine.images > 0 {
		log.Line("        it holds images of its own, which are left alone; a fresh engine, as a job's dind is, would be faster")
	}
	engine.source, engine.isSource = source.engineAuth, source.hosts.Has
	engine.target, engine.targetHost = cfg.targetAuth, cfg.Registry
	engine.region = cfg.Region
	engine.stall, engine.loading = cfg.stallAfter(), loadLimit
	return engine, login(ctx, cfg, source, engine, log)
}

// login has the engine log in to both registries at once.
func login(ctx context.Context, cfg Config, source *amazon, engine *engine, log *report.Log) error {
	credentials, err := source.Credentials(ctx)
	if err != nil {
		return err
	}
	refusals := make(chan error, 1)
	try := func(registry string, auth registryAuth) error {
		told := false
		return migrate.Retry(ctx, func(r migrate.Retrying) {
			if !told {
				log.Line("        logging in to %s again, because of: %v", registry, r.Err)
			}
			told = true
		}, func() error { return engine.Login(ctx, auth) })
	}
	go func() { refusals <- try(cfg.Registry, engine.target) }()
	ofECR, ofGitLab := try(credentials.ServerAddress, engine.source), <-refusals
	if ofECR != nil {
		return loginError(engine, "the ECR registry", credentials.ServerAddress, "refuses the login of AWS's own token", ofECR,
			"AWS_ACCOUNT_ID and the region must be those of the registry")
	}
	log.Line("ECR: logged in to %s", credentials.ServerAddress)
	if ofGitLab != nil {
		return loginError(engine, "the GitLab registry", cfg.Registry, "refuses the login of "+cfg.RegistryUser, ofGitLab,
			"In a job, CI_REGISTRY_USER and CI_REGISTRY_PASSWORD come from GitLab and expire with the job; elsewhere, use a deploy "+
				"token or an access token with read_registry and write_registry")
	}
	log.Line("GitLab: logged in to %s as %s", cfg.Registry, cfg.RegistryUser)
	return nil
}

// loginError explains why the engine cannot log in. A refusal with its own remedy is unrelated to the token.
func loginError(engine *engine, which, host, refuses string, err error, remedy string) error {
	registry := which + " " + host
	if refusal := new(docker.Refusal); errors.As(err, &refusal) {
		return fmt.Errorf("the engine cannot log in to %s: %w\n%s", registry, err, refusal.Remedy())
	}
	if errors.Is(err, docker.ErrUnreachable) {
		return fmt.Errorf("the engine cannot reach %s: %w\n%s", registry, err, docker.ReachRemedy(host, engine.proxied))
	}
	return fmt.Errorf("%s %s: %w\n%s", registry, refuses, err, remedy)
}

func versionLine() string { return usage.VersionLine(version, revision) }

// say writes a line. Errors are ignored: if the output is closed, there is nowhere to report them.
func say(w io.Writer, line string) { _, _ = fmt.Fprintln(w, line) }
