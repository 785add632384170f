package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/dustin/go-humanize"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/usage"
)

// Config holds the settings from the environment. Every field is one variable, and its tags are the reference: short is
// the text in the help (the AWS SDK itself reads variables without one), desc describes the variable in error messages,
// required means that it must be set, and instead names a variable that can be set in its place.
type Config struct {
	AccountID        string `envconfig:"AWS_ACCOUNT_ID" required:"true" short:"account ID of the ECR registry, 12 digits" desc:"the ID of the AWS account whose ECR registry is migrated, 12 digits"`
	Region           string `envconfig:"AWS_REGION" short:"region of the registry; overrides AWS_DEFAULT_REGION" desc:"the AWS region of the registry; it overrides AWS_DEFAULT_REGION, as in the AWS CLI"`
	DefaultRegion    string `envconfig:"AWS_DEFAULT_REGION" required:"true" instead:"AWS_REGION" short:"region of the registry, unless AWS_REGION is set" desc:"the AWS region of the registry, such as eu-west-1"`
	RoleARN          string `envconfig:"AWS_ROLE_ARN" short:"IAM role to assume with a web identity token" desc:"the IAM role to assume with a web identity token, such as arn:aws:iam::123456789012:role/migration"`
	WebIdentityToken Secret `envconfig:"AWS_WEB_IDENTITY_TOKEN" short:"ID token from id_tokens:; access keys take precedence" desc:"the ID token that id_tokens: provides in the job, exchanged for credentials of the role; access keys and AWS_WEB_IDENTITY_TOKEN_FILE take precedence"`
	WebIdentityFile  string `envconfig:"AWS_WEB_IDENTITY_TOKEN_FILE" desc:"the path of a file with a web identity token, as in the pods of runners with an IAM role (IRSA)"`
	AccessKeyID      Secret `envconfig:"AWS_ACCESS_KEY_ID" desc:"the ID of an access key"`
	SecretAccessKey  Secret `envconfig:"AWS_SECRET_ACCESS_KEY" desc:"the secret access key that belongs to AWS_ACCESS_KEY_ID"`
	SessionToken     Secret `envconfig:"AWS_SESSION_TOKEN" desc:"the session token of a temporary access key"`

	Registry         string `envconfig:"CI_REGISTRY" required:"true" short:"host of the GitLab container registry" desc:"the host of the GitLab container registry"`
	RegistryImage    string `envconfig:"CI_REGISTRY_IMAGE" required:"true" short:"registry path of the project to migrate to" desc:"the registry path of the project to migrate to, such as registry.gitlab.com/group/project"`
	RegistryUser     string `envconfig:"CI_REGISTRY_USER" required:"true" short:"user name for the GitLab container registry" desc:"the user name for the GitLab container registry"`
	RegistryPassword Secret `envconfig:"CI_REGISTRY_PASSWORD" required:"true" short:"password or token of that user" desc:"the password or token of CI_REGISTRY_USER"`

	JobStartedAt string `envconfig:"CI_JOB_STARTED_AT" short:"when the job started" desc:"the time at which the job started"`
	JobTimeout   int    `envconfig:"CI_JOB_TIMEOUT" short:"timeout of the job, in seconds" desc:"the timeout of the job in seconds"`
	NodeIndex    int    `envconfig:"CI_NODE_INDEX" short:"number of this job under parallel:, from 1" desc:"the number of this job under parallel:, starting at 1; each job copies its share"`
	NodeTotal    int    `envconfig:"CI_NODE_TOTAL" short:"number of jobs under parallel:; each copies its share" desc:"the number of jobs under parallel:"`

	DockerHost       string `envconfig:"DOCKER_HOST" short:"Docker Engine (default: local socket, then tcp://docker:2375 or :2376)" desc:"the address of the Docker Engine; by default /var/run/docker.sock, or else tcp://docker:2375, or port 2376 with TLS"`
	DockerTLSVerify  string `envconfig:"DOCKER_TLS_VERIFY" short:"any value: verify the engine's TLS certificate" desc:"the switch for verified TLS to the engine: any value turns it on"`
	DockerCertPath   string `envconfig:"DOCKER_CERT_PATH" short:"directory with ca.pem, cert.pem and key.pem for the engine" desc:"the directory with ca.pem, cert.pem and key.pem for TLS to the engine"`
	DockerTLSCertDir string `envconfig:"DOCKER_TLS_CERTDIR" short:"directory where docker:dind creates them, such as /certs" desc:"the directory where docker:dind creates its certificates, such as /certs"`

	Repositories string `envconfig:"MIGRATE_REPOSITORIES" short:"patterns: team/*, team/**, !team/old-* (default: all)" desc:"the repositories to migrate: patterns separated by commas or white space, such as team/**, or !team/old-* for all but those; by default all of them"`
	Tags         string `envconfig:"MIGRATE_TAGS" short:"patterns: v*, !*-rc*, semver:>=1.2 <3 (default: all)" desc:"the tags to migrate: patterns separated by commas or white space, such as v*, or !*-rc* for all but those, or semver:>=1.2 <3 for versions in a range; by default all of them"`
	Newest       int    `envconfig:"MIGRATE_NEWEST" short:"only the N most recently pushed tags of each repository" desc:"the number of tags to migrate of each repository, the most recently pushed ones; by default all of them"`
	Since        string `envconfig:"MIGRATE_SINCE" short:"only tags pushed since 2026-01-31, or within 90d" desc:"the earliest push of a tag to migrate: a date, such as 2026-01-31, a time, such as 2026-01-31T06:00:00Z, or an age, such as 90d or 36h; by default any"`

	Concurrency   int    `envconfig:"MIGRATE_CONCURRENCY" short:"concurrent pulls, and pushes (default: 8 per processor, 8 to 16)" desc:"the number of concurrent pulls, and of concurrent pushes, from 1 to 64; by default eight per processor of the engine, 8 to 16"`
	Disk          string `envconfig:"MIGRATE_DISK" default:"15GB" short:"disk space that images may take up in the engine" desc:"the disk space that images may take up in the engine at any time, such as 20GB"`
	Platform      string `envconfig:"MIGRATE_PLATFORM" short:"only one platform, such as linux/amd64 (default: all)" desc:"the only platform to copy from multi-platform images, such as linux/amd64; by default all platforms are copied"`
	LeaveOut      string `envconfig:"MIGRATE_LEAVE_OUT" short:"artifacts to leave out: application/vnd.amazon.soci.*" desc:"the artifacts to leave out of indexes and referrers: patterns for media types separated by commas or white space, such as application/vnd.amazon.soci.*; by default none"`
	Conflict      string `envconfig:"MIGRATE_CONFLICT" short:"tags that others pushed to GitLab: overwrite or keep (default: fail)" desc:"what to do with a tag under which someone else has pushed another image to GitLab: overwrite replaces it, keep leaves it alone; by default it is left alone and counts as not migrated"`
	Stall         string `envconfig:"MIGRATE_STALL" default:"5m" short:"retry a pull or push that makes no progress for this long" desc:"the time without progress after which a pull or push is canceled and retried, such as 90s"`
	Deadline      string `envconfig:"MIGRATE_DEADLINE" short:"when to end: 2h30m or 2026-11-27T06:00:00Z (default: job timeout)" desc:"the end of the run: a duration, such as 2h30m, or a time, such as 2026-11-27T06:00:00Z; by default when the job times out"`
	ReportDir     string `envconfig:"MIGRATE_REPORT_DIR" short:"directory for the reports: report.html, report.json, …" desc:"the directory for report.html, junit.xml, references.csv and report.json, from which a later run continues; by default no report is written"`
	Rename        string `envconfig:"MIGRATE_RENAME" short:"rules: team/(.*)/(.*) => \\2/\\1; old => new" desc:"the rules that rename repositories, one per line or separated by semicolons, of which the first that matches counts: a regular expression for the whole name, =>, and the new name with \\1 to \\9 for its groups, such as team/(.*)/(.*) => \\2/\\1"`
	NameSeparator string `envconfig:"MIGRATE_NAME_SEPARATOR" short:"joins path segments too deep for GitLab: - _ . or __" desc:"the separator that joins path segments too deep for GitLab, one of - _ . and __: with -, a/b/c becomes a/b-c"`
}

const (
	maxConcurrency = 64
	ownPrefix      = "MIGRATE_"
)

var (
	accountPattern = regexp.MustCompile(`^[0-9]{12}$`)
	regionPattern  = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-[0-9]+$`)
	rolePattern    = regexp.MustCompile(`^arn:[a-z-]+:iam::[0-9]{12}:role/\S+$`)
	hostPattern    = regexp.MustCompile(`^[^\s/@]+$`)
	// enginePattern excludes ssh, for which the docker CLI runs a command that the job image does not have.
	enginePattern  = regexp.MustCompile(`^(unix|tcp)://\S+$`)
	nameSeparators = []string{"-", "_", ".", "__"}

	conflictPolicies = []string{string(transfer.ConflictOverwrite), string(transfer.ConflictKeep)}
)

// loadConfig reads the configuration from an environment. It treats an empty variable as not set, because GitLab often
// sets empty variables. Its error is a configError with every problem.
func loadConfig(env usage.Environment) (Config, error) {
	var cfg Config
	p := problems{env: env}
	cfg.read(&p)
	cfg.validate(&p)
	p.found = append(p.found, usage.Unknown(ownPrefix, variables(), env)...)
	if len(p.found) > 0 {
		return Config{}, p.found
	}
	cfg.Region = cmp.Or(cfg.Region, cfg.DefaultRegion)
	return cfg, nil
}

// read has envconfig fill the fields one at a time, so that every problem is found. On its own, envconfig stops at the
// first.
func (c *Config) read(p *problems) {
	fields := reflect.ValueOf(c).Elem()
	for i, v := range variables() {
		value := p.env[v.Name]
		if value == "" && v.Required && p.env[v.Instead] == "" {
			p.add(v.Name, "missing")
		}
		if err := usage.ReadField(fields.Type().Field(i), fields.Field(i), v.Name, value); err != nil {
			p.add(v.Name, "must be a whole number")
		}
	}
}

// validate checks the variables that are set; read reports the missing ones.
func (c *Config) validate(p *problems) {
	p.checkPasted()
	p.check("AWS_ACCOUNT_ID", accountPattern.MatchString(c.AccountID), "must be 12 digits")
	p.check("AWS_REGION", regionPattern.MatchString(c.Region), "must be the name of an AWS region")
	p.check("AWS_DEFAULT_REGION", regionPattern.MatchString(c.DefaultRegion), "must be the name of an AWS region")
	if c.WebIdentityToken != "" {
		p.check("AWS_ROLE_ARN", rolePattern.MatchString(c.RoleARN), "must be the ARN of an IAM role")
		if c.RoleARN == "" && !c.login().HasAccessKey() { // with access keys, an ID token needs no role
			p.add("AWS_ROLE_ARN", "missing, but AWS_WEB_IDENTITY_TOKEN is set")
		}
	}
	p.check("CI_REGISTRY", hostPattern.MatchString(c.Registry), "must be a host name, with a port if needed, and nothing else")
	p.checkError("CI_REGISTRY_IMAGE", validTarget(c.Registry, c.RegistryImage))
	p.check("DOCKER_HOST", enginePattern.MatchString(c.DockerHost), "must start with unix:// or tcp://")
	c.validateChoice(p)
	p.checkError("MIGRATE_DISK", validDisk(c.Disk))
	p.check("MIGRATE_CONCURRENCY", c.Concurrency >= 1 && c.Concurrency <= maxConcurrency, fmt.Sprintf("must be from 1 to %d", maxConcurrency))
	p.check("MIGRATE_STALL", c.stallAfter() >= minStall, fmt.Sprintf("must be a duration of at least %s, such as 90s", minStall))
	p.checkError("MIGRATE_DEADLINE", validDeadline(c.Deadline))
	p.checkError("MIGRATE_PLATFORM", c.normalizePlatform())
	p.check("MIGRATE_CONFLICT", slices.Contains(conflictPolicies, c.Conflict), "must be overwrite or keep")
	p.checkError("CI_JOB_STARTED_AT", validTime(c.JobStartedAt))
	p.check("CI_JOB_TIMEOUT", c.JobTimeout > 0, "must be a number of seconds")
	c.validateShare(p)
	_, err := plan.ParseRules(c.Rename)
	p.checkError("MIGRATE_RENAME", err)
	p.check("MIGRATE_NAME_SEPARATOR", slices.Contains(nameSeparators, c.NameSeparator), "must be one of -, _, . and __")
}

// validTarget checks the path that every repository's name will be appended to.
func validTarget(registry, image string) error {
	if hostPattern.MatchString(registry) && !strings.HasPrefix(image, registry+"/") {
		return fmt.Errorf("must start with %q, which is CI_REGISTRY", registry+"/")
	}
	named, err := reference.ParseNamed(image)
	if errors.Is(err, reference.ErrNameNotCanonical) {
		return errors.New("must begin with a host that has a dot or a port, or with localhost: Docker takes anything else for a name on Docker Hub")
	}
	if err != nil {
		return fmt.Errorf("must be a repository name: %w", err)
	}
	if !reference.IsNameOnly(named) {
		return errors.New("must not have a tag or a digest")
	}
	return nil
}

// validateChoice checks what to migrate.
func (c *Config) validateChoice(p *problems) {
	_, err := plan.ParsePatterns(c.Repositories)
	p.checkError("MIGRATE_REPOSITORIES", err)
	_, err = plan.ParseTagPatterns(c.Tags)
	p.checkError("MIGRATE_TAGS", err)
	p.check("MIGRATE_NEWEST", c.Newest >= 1, "must be at least 1")
	_, err = plan.ParseSince(c.Since, time.Now())
	p.checkError("MIGRATE_SINCE", err)
	_, err = plan.ParsePatterns(c.LeaveOut)
	p.checkError("MIGRATE_LEAVE_OUT", err)
}

// choice returns what a run that starts now migrates. loadConfig has validated it.
func (c *Config) choice(now time.Time) plan.Choice {
	choice := plan.Choice{Newest: c.Newest}
	choice.Repositories, _ = plan.ParsePatterns(c.Repositories)
	choice.Tags, _ = plan.ParseTagPatterns(c.Tags)
	if c.Since != "" {
		choice.Since, _ = plan.ParseSince(c.Since, now)
	}
	return choice
}

// leaveOut returns the kinds of artifacts to leave out. loadConfig has validated them.
func (c *Config) leaveOut() plan.Patterns {
	patterns, _ := plan.ParsePatterns(c.LeaveOut)
	return patterns
}

// namer maps repositories to their targets, with rules that loadConfig has validated.
func (c *Config) namer() plan.Namer {
	rules, _ := plan.ParseRules(c.Rename)
	return plan.Namer{Base: c.RegistryImage, Rules: rules, Separator: c.NameSeparator}
}

// minDisk is the smallest disk that an engine can work with, in bytes.
const minDisk = 50e6

func validDisk(size string) error {
	bytes, err := humanize.ParseBytes(size)
	switch {
	case err != nil:
		return errors.New("must be a size, such as 20GB or 500MiB")
	case bytes < minDisk || bytes > math.MaxInt64/2:
		return fmt.Errorf("must be at least %s", humanize.Bytes(minDisk))
	}
	return nil
}

// diskBytes returns MIGRATE_DISK in bytes. loadConfig has validated it.
func (c *Config) diskBytes() int64 {
	bytes, _ := humanize.ParseBytes(c.Disk)
	return int64(bytes)
}

// minStall allows for the time that an engine takes between two messages about a large layer.
const minStall = time.Second

// stallAfter returns how long a pull or push may make no progress, or 0 if MIGRATE_STALL is invalid.
func (c *Config) stallAfter() time.Duration {
	stall, _ := time.ParseDuration(c.Stall)
	return stall
}

func validDeadline(deadline string) error {
	life, err := time.ParseDuration(deadline)
	if err == nil && life > 0 || validTime(deadline) == nil {
		return nil
	}
	return errors.New("must be a duration, such as 2h30m, or a time, such as 2026-11-27T06:00:00Z")
}

func validTime(text string) error {
	if _, err := time.Parse(time.RFC3339, text); err != nil {
		return errors.New("must be a time, such as 2026-11-27T06:00:00Z")
	}
	return nil
}

// deadline returns when a run that starts now has to end, or the zero time if there is no limit.
func (c *Config) deadline(now time.Time) time.Time {
	if life, err := time.ParseDuration(c.Deadline); err == nil {
		return now.Add(life)
	}
	if at, err := time.Parse(time.RFC3339, c.Deadline); err == nil {
		return at
	}
	started, err := time.Parse(time.RFC3339, c.JobStartedAt)
	if err != nil || c.JobTimeout == 0 {
		return time.Time{}
	}
	return started.Add(time.Duration(c.JobTimeout) * time.Second)
}

// validateShare checks the job's number. A job without parallel: has neither variable, or is the only one.
func (c *Config) validateShare(p *problems) {
	p.check("CI_NODE_TOTAL", c.NodeTotal >= 1, "must be at least 1")
	p.check("CI_NODE_INDEX", c.NodeIndex >= 1 && c.NodeIndex <= max(1, c.NodeTotal), "must be from 1 to CI_NODE_TOTAL")
	if c.NodeTotal > 1 && c.NodeIndex == 0 {
		p.add("CI_NODE_INDEX", "missing, but CI_NODE_TOTAL is set")
	}
}

func (c *Config) normalizePlatform() error {
	if c.Platform == "" {
		return nil
	}
	if !strings.Contains(c.Platform, "/") {
		return errors.New("must be os/architecture, such as linux/amd64") // Parse would take the rest from this machine
	}
	platform, err := platforms.Parse(c.Platform)
	if err != nil {
		return errors.New("must be os/architecture or os/architecture/variant, such as linux/arm64 or linux/arm/v7")
	}
	c.Platform = platforms.FormatAll(platforms.Normalize(platform))
	return nil
}

// platform returns the requested platform, or nil.
func (c *Config) platform() *ocispec.Platform {
	if c.Platform == "" {
		return nil
	}
	platform := platforms.MustParse(c.Platform) // loadConfig has validated it
	return &platform
}

// variables returns the reference of all variables, in the order of Config's fields.
func variables() []usage.Variable { return usage.VariablesOf(reflect.TypeFor[Config]()) }

// configError lists everything that is wrong with the configuration, one problem per line. It contains no secrets.
type configError []string

func (e configError) Error() string { return strings.Join(e, "\n") }

// problemWith describes a problem with a variable: its value, unless that is secret, what is wrong, and where to set
// it.
func problemWith(name, value, fault string) string {
	v := variableNamed(name)
	subject := name
	if value != "" && !v.Secret {
		subject += fmt.Sprintf(" %q", value)
	}
	return fmt.Sprintf("%s: %s; it is %s (%s)", subject, fault, v.Description, origin(name))
}

// problems collects the problems of an environment. Only the first problem of each variable counts.
type problems struct {
	env   usage.Environment
	found configError
}

// check adds a problem if the variable is set and its value is not good.
func (p *problems) check(name string, good bool, fault string) {
	if !good && p.env[name] != "" {
		p.add(name, fault)
	}
}

// checkPasted finds characters that were pasted along with a value. The message does not show the value, because
// anything may have been pasted there.
func (p *problems) checkPasted() {
	for _, v := range variables() {
		if !strings.HasPrefix(v.Name, "AWS_") && !strings.HasPrefix(v.Name, "CI_REGISTRY") {
			continue
		}
		fault := usage.Pasted(p.env[v.Name])
		if fault == "" && v.Secret && strings.HasPrefix(v.Name, "AWS_") && strings.ContainsFunc(p.env[v.Name], unicode.IsSpace) {
			fault = "must not contain white space"
		}
		if fault != "" {
			p.found = append(p.found, problemWith(v.Name, "", fault))
		}
	}
}

func (p *problems) checkError(name string, err error) {
	if err != nil {
		p.check(name, false, err.Error())
	}
}

func (p *problems) add(name, fault string) {
	if !slices.ContainsFunc(p.found, func(line string) bool { return problemOf(line) == name }) {
		p.found = append(p.found, problemWith(name, p.env[name], fault))
	}
}

func problemOf(line string) string {
	return line[:strings.IndexAny(line, ": ")]
}

func variableNamed(name string) usage.Variable {
	all := variables()
	return all[slices.IndexFunc(all, func(v usage.Variable) bool { return v.Name == name })]
}

// origin says who sets a variable.
func origin(name string) string {
	switch {
	case strings.HasPrefix(name, "CI_REGISTRY"):
		return "GitLab sets it in a job when the project's container registry is on: Settings > General > Visibility"
	case strings.HasPrefix(name, "CI_"):
		return "GitLab sets it in a job"
	}
	return "Settings > CI/CD > Variables"
}

// Secret is a string that no output shows.
type Secret = redact.Secret

// secretsOf returns a redactor that knows the secrets of an environment.
func secretsOf(env usage.Environment) *redact.Redactor {
	hide := redact.New()
	for _, v := range variables() {
		if v.Secret {
			hide.Learn(env[v.Name])
		}
	}
	return hide
}
