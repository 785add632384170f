// Package usage parses the command line and prints help and version.
package usage

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/agext/levenshtein"
	"github.com/dustin/go-humanize"
)

// Commands.
const (
	Migrate = "migrate"
	Plan    = "plan"
	Verify  = "verify"
	Help    = "help"
	Version = "version"
)

// formatHelp is the help of an option that plan and verify share.
const formatHelp = "--format json print the result as JSON, and the log to standard error"

// commands lists the commands in the order of the help, each with its lines of help.
var commands = []struct {
	name string
	does []string
}{
	{Migrate, []string{"copy what is not at GitLab yet; this is the default"}},
	{Plan, []string{
		"copy nothing; report what would be copied, what cannot be, and how long",
		"--rate 20MB   bytes that one job moves per second",
		"--within 3h   find how many parallel jobs finish in this time",
		formatHelp,
	}},
	{Verify, []string{
		"copy nothing; compare every tag with GitLab",
		"--pull 10     also have the engine pull this many tags from GitLab",
		formatHelp,
	}},
	{Help, []string{"print this help"}},
	{Version, []string{"print the version"}},
}

// flagNames maps flags that other programs use to commands.
var flagNames = map[string]string{"-h": Help, "-help": Help, "--help": Help, "-version": Version, "--version": Version}

// Line is a parsed command line.
type Line struct {
	Command string
	Pull    int           // tags that Verify also pulls
	Rate    int64         // bytes per second that Plan assumes; 0: the default
	Within  time.Duration // time limit for which Plan finds the number of jobs; 0: none
	JSON    bool          // Plan or Verify prints its result as JSON, and nothing else, to standard output
}

// Error describes what is wrong with a command line.
type Error string

func (e Error) Error() string { return string(e) + ": see ecr2gitlab help" }

// Parse parses the arguments of the program. Its error is an Error.
func Parse(args []string) (Line, error) {
	line := Line{Command: Migrate}
	if len(args) > 0 {
		line.Command, args = args[0], args[1:]
	}
	if command, ok := flagNames[line.Command]; ok {
		line.Command = command
	}
	if !slices.Contains(commandNames(), line.Command) {
		return Line{}, unknownCommand(line.Command)
	}
	flags := line.flags()
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return Line{Command: Help}, nil
	case err != nil:
		return Line{}, Error(line.Command + ": " + err.Error())
	case flags.NArg() > 0:
		return Line{}, Error(fmt.Sprintf("%s: unexpected argument %q (configuration comes from environment variables)", line.Command, flags.Arg(0)))
	case line.Pull < 0 || line.Within < 0:
		return Line{}, Error(line.Command + ": a value must not be negative")
	}
	return line, nil
}

// flags returns the flags of the line's command.
func (l *Line) flags() *flag.FlagSet {
	flags := flag.NewFlagSet(l.Command, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the returned error describes the problem
	if l.Command == Plan || l.Command == Verify {
		flags.Func("format", "", l.setFormat)
	}
	switch l.Command {
	case Verify:
		flags.IntVar(&l.Pull, "pull", 0, "")
	case Plan:
		flags.DurationVar(&l.Within, "within", 0, "")
		flags.Func("rate", "", l.setRate)
	}
	return flags
}

func (l *Line) setFormat(format string) error {
	if format != "text" && format != "json" {
		return errors.New("must be text or json")
	}
	l.JSON = format == "json"
	return nil
}

func (l *Line) setRate(text string) error {
	rate, err := humanize.ParseBytes(text)
	if err != nil || rate == 0 || rate > 1<<50 {
		return errors.New("must be a number of bytes per second, such as 20MB")
	}
	l.Rate = int64(rate)
	return nil
}

func commandNames() []string {
	var names []string
	for _, c := range commands {
		names = append(names, c.name)
	}
	return names
}

func unknownCommand(command string) Error {
	text := fmt.Sprintf("unknown command %q", command)
	if near := Nearest(command, commandNames()); near != "" {
		text += fmt.Sprintf(" (did you mean %q?)", near)
	}
	return Error(text)
}

// Nearest returns the name that was probably meant: one that differs by a few letters, or that the given name
// abbreviates. It returns "" if none is close.
func Nearest(name string, names []string) string {
	nearest, least := "", len(name)/3+1
	for _, candidate := range names {
		distance := levenshtein.Distance(name, candidate, nil)
		if len(name) > 2 && strings.HasPrefix(candidate, name) {
			distance = 0
		}
		if distance < least {
			nearest, least = candidate, distance
		}
	}
	return nearest
}

// Text returns the help, which fits on one screen.
func Text(variables []Variable) string {
	var b strings.Builder
	b.WriteString("ecr2gitlab copies images from an Amazon ECR registry to a GitLab project, through a Docker Engine.\n\n")
	for _, c := range commands {
		fmt.Fprintf(&b, "  ecr2gitlab %-7s  %s\n", c.name, strings.Join(c.does, "\n"+strings.Repeat(" ", 22)))
	}
	b.WriteString("\nVariables (* is required; docs/reference.md has the details):\n")
	for _, v := range variables {
		if v.Short != "" {
			b.WriteString(v.line())
		}
	}
	b.WriteString(`
AWS credentials come from wherever the AWS SDK finds them: access keys, a profile, or a role.
Exit codes: 0 every tag is at GitLab (plan: can be); 1 the run could not start or continue;
2 the configuration is wrong; 3 some tags are not at GitLab (plan: cannot be); 4 out of time,
run again; 130 or 143 interrupted.`)
	return b.String()
}

// line is the variable's line in the help.
func (v Variable) line() string {
	mark, value := " ", ""
	if v.Required {
		mark = "*"
	}
	if v.Default != "" {
		value = " (default " + v.Default + ")"
	}
	return fmt.Sprintf("%s %-22s  %s%s\n", mark, v.Name, v.Short, value)
}

// VersionLine returns the name and version of the program. If the linker set no revision, it uses the one that Go
// recorded.
func VersionLine(version, revision string) string {
	if info, ok := debug.ReadBuildInfo(); ok && revision == "" {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				revision = setting.Value
			}
		}
	}
	if revision == "" {
		return "ecr2gitlab " + version
	}
	return fmt.Sprintf("ecr2gitlab %s (%s)", version, revision)
}
