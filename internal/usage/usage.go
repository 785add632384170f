// Package usage is the command line, and what the program says of itself.
package usage

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime/debug"
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

// commands are those of the help, each with the lines that it has there.
var commands = []struct {
	name string
	does []string
}{
	{Migrate, []string{"copy what GitLab does not have yet; the same without a command"}},
	{Plan, []string{
		"copy nothing, and say what would be moved, what not, and how long it takes",
		"--rate 20MB   what a job moves in a second",
		"--within 3h   find how many jobs (parallel:) are done in that time",
	}},
	{Verify, []string{
		"copy nothing, and compare each tag with GitLab's",
		"--pull 10     have the engine pull so many of them from GitLab",
	}},
	{Help, []string{"this"}},
	{Version, []string{"its version"}},
}

// flagNames are commands in the form of flags, as other programs have them.
var flagNames = map[string]string{"-h": Help, "-help": Help, "--help": Help, "-version": Version, "--version": Version}

// Line is a command line.
type Line struct {
	Command string
	Pull    int           // tags that Verify has pulled
	Rate    int64         // bytes a second that Plan counts with; 0: as it finds usual
	Within  time.Duration // for which Plan finds the number of jobs; 0: it does not
}

// Error is a command line that makes no sense.
type Error string

func (e Error) Error() string { return string(e) + ": see ecr2gitlab help" }

// Parse reads the arguments of the program. Its error is an Error.
func Parse(args []string) (Line, error) {
	line := Line{Command: Migrate}
	if len(args) > 0 {
		line.Command, args = args[0], args[1:]
	}
	if command, ok := flagNames[line.Command]; ok {
		line.Command = command
	}
	if !known(line.Command) {
		return Line{}, noCommand(line.Command)
	}
	flags := line.flags()
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return Line{Command: Help}, nil
	case err != nil:
		return Line{}, Error(line.Command + ": " + err.Error())
	case flags.NArg() > 0:
		return Line{}, Error(fmt.Sprintf("%q takes no argument %q; the configuration is in variables", line.Command, flags.Arg(0)))
	case line.Pull < 0 || line.Within < 0:
		return Line{}, Error(line.Command + ": a number below zero makes no sense")
	}
	return line, nil
}

// flags are those of the line's command.
func (l *Line) flags() *flag.FlagSet {
	flags := flag.NewFlagSet(l.Command, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // what is wrong is in the error
	switch l.Command {
	case Verify:
		flags.IntVar(&l.Pull, "pull", 0, "")
	case Plan:
		flags.DurationVar(&l.Within, "within", 0, "")
		flags.Func("rate", "", func(text string) error {
			rate, err := humanize.ParseBytes(text)
			if err != nil || rate == 0 || rate > 1<<50 {
				return errors.New("it must be bytes a second, such as 20MB")
			}
			l.Rate = int64(rate)
			return nil
		})
	}
	return flags
}

func known(command string) bool {
	for _, c := range commands {
		if c.name == command {
			return true
		}
	}
	return false
}

func noCommand(command string) Error {
	var names []string
	for _, c := range commands {
		names = append(names, c.name)
	}
	text := fmt.Sprintf("there is no command %q", command)
	if near := Nearest(command, names); near != "" {
		text += ", but there is " + near
	}
	return Error(text)
}

// Nearest is the name that was meant, if one is close: a few letters off, or with more at its end.
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

// Text is the help: it has room on one screen.
func Text(variables []Variable) string {
	var b strings.Builder
	b.WriteString("ecr2gitlab copies images of an Amazon ECR registry to a GitLab project, through a Docker Engine.\n\n")
	for _, c := range commands {
		fmt.Fprintf(&b, "  ecr2gitlab %-7s  %s\n", c.name, strings.Join(c.does, "\n"+strings.Repeat(" ", 22)))
	}
	b.WriteString("\nVariables (* must be set; the README has more on each):\n")
	for _, v := range variables {
		mark := " "
		if v.Required {
			mark = "*"
		}
		fmt.Fprintf(&b, "%s %-22s  %s", mark, v.Name, v.Short)
		if v.Default != "" {
			fmt.Fprintf(&b, " (default %s)", v.Default)
		}
		b.WriteByte('\n')
	}
	b.WriteString(`
AWS credentials are whatever the AWS SDK finds: keys, a profile, a role.
Exit codes: 0 everything is there, or can come; 1 nothing could be done, or nothing more;
2 the configuration is wrong; 3 some tags are not there, or cannot come; 4 out of time, run again;
130 or 143 interrupted.`)
	return b.String()
}

// VersionLine is what the program calls itself. Where the linker has set no revision, the build may know it.
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
