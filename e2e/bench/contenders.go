package bench

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

// Names of contenders, for -only and the tables. Scale is not a contender, but is measured as well.
const (
	nameScript   = "script"
	nameScript8  = "script8"
	nameOurs     = "ours"
	nameEmbedded = "embedded"
	nameDisk     = "disk"
	nameCrane    = "crane"
	nameRegsync  = "regsync"
	nameScale    = "scale"
)

// Names lists the valid names in Options.Only.
func Names() []string {
	return []string{nameScript, nameScript8, nameOurs, nameEmbedded, nameDisk, nameCrane, nameRegsync, nameScale}
}

// contender is one way to migrate the account.
type contender struct {
	name       string
	kind       engine.Kind // empty: needs no engine
	engineArgs []string    // of dockerd, as the contender's own documentation starts it
	parallel   int         // for daemonless tools
	atOnce     int         // concurrent commands; 0: 1
	single     bool        // a single process, whose memory is meaningful

	// commands returns the commands of one phase, for the current tags in ECR. Creating them is not measured.
	commands func(ctx context.Context, s *site) ([]*exec.Cmd, error)
}

// String names the contender in progress output and errors.
func (c contender) String() string {
	switch {
	case c.kind != "":
		return string(c.kind) + ", " + c.name
	case c.parallel > 0:
		return fmt.Sprintf("%s, %d at once", c.name, c.parallel)
	}
	return c.name
}

// exact reports whether digests stay the same: the classic store recompresses layers.
func (c contender) exact() bool { return c.kind != engine.Classic }

// Parallelisms are the values from which the best of each daemonless tool is chosen.
func Parallelisms() []int { return []int{4, 8, 16} }

// contenders returns the selected contenders, in the order of a round.
func (b *bench) contenders(ctx context.Context) ([]contender, error) {
	var list []contender
	for _, kind := range b.Kinds {
		list = append(list, b.onEngine(kind)...)
	}
	for _, tool := range []struct {
		name string
		make func(ctx context.Context, parallel int) (contender, error)
	}{{nameCrane, newCrane}, {nameRegsync, newRegsync}} {
		for _, parallel := range b.Parallel {
			if !b.wants(tool.name) {
				continue
			}
			c, err := tool.make(ctx, parallel)
			if err != nil {
				return nil, err
			}
			list = append(list, c)
		}
	}
	return slices.DeleteFunc(list, func(c contender) bool { return !b.wants(c.name) }), nil
}

// onEngine returns the contenders for a kind of engine. All but two are only for the current one.
func (b *bench) onEngine(kind engine.Kind) []contender {
	ours := contender{name: nameOurs, kind: kind, engineArgs: shippedArgs(), single: true, commands: b.ours()}
	list := []contender{{name: nameScript, kind: kind, commands: script(tutorial)}, ours}
	if kind != engine.Containerd {
		return list
	}
	limited := ours
	limited.name = nameDisk
	limited.commands = b.ours(fmt.Sprintf("MIGRATE_DISK=%dMB", b.results.DiskBudget/1e6))
	embedded := ours
	embedded.name = nameEmbedded
	embedded.engineArgs = append(shippedArgs(), engine.EmbeddedContainerd)
	return append(list, contender{name: nameScript8, kind: kind, commands: script(eightLoops)}, embedded, limited)
}

// shippedArgs are those of the engine in the README's job. The tutorial's job does not set any.
func shippedArgs() []string {
	return []string{"--max-concurrent-downloads=8", "--max-concurrent-uploads=8"}
}

func (b *bench) ours(env ...string) func(context.Context, *site) ([]*exec.Cmd, error) {
	return func(ctx context.Context, s *site) ([]*exec.Cmd, error) {
		cmd := command(ctx, b.program.Path())
		cmd.Env = world.ProgramEnv(slices.Concat(s.Env(), env, b.Env))
		return []*exec.Cmd{cmd}, nil
	}
}

var (
	//go:embed tutorial.sh
	tutorial string
	//go:embed eight-loops.sh
	eightLoops string
)

// script runs a shell script with the machine's AWS CLI and the classic engine's docker CLI.
func script(text string) func(context.Context, *site) ([]*exec.Cmd, error) {
	return func(ctx context.Context, s *site) ([]*exec.Cmd, error) {
		docker, err := s.Engine.Command(ctx)
		if err != nil {
			return nil, err
		}
		cmd := command(ctx, "bash", "-c", text)
		cmd.Env = append(docker.Env, s.Env()...)
		cmd.Env = append(cmd.Env, "ECR_REGISTRY="+s.AWS.RegistryHost, "AWS_PAGER=", "AWS_EC2_METADATA_DISABLED=true")
		return []*exec.Cmd{cmd}, nil
	}
}

// command returns a command that ends with ctx, along with the processes that it has started.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = os.Environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}
