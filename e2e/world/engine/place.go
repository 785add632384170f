package engine

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
)

// Place is a network namespace like that of an engine with Verify, for programs that need no engine.
type Place struct {
	HostAddrs []string // as those of an Engine

	run     *folder
	network *network
	process *process
}

// PlaceOptions configures a place. The zero value has a network without a limit.
type PlaceOptions struct {
	Hosts func(hostAddrs []string) map[string]string // as in Options
	Rate  int64                                      // as in Options
}

// StartPlace creates a place, which exists until Close or until this process ends.
func StartPlace(opts PlaceOptions) (*Place, error) {
	p := &Place{}
	if err := p.start(opts); err != nil {
		return nil, errors.Join(fmt.Errorf("start a network namespace: %w", err), p.Close())
	}
	return p, nil
}

func (p *Place) start(opts PlaceOptions) (err error) {
	if p.run, err = newFolder("/tmp", "engine-place-"); err != nil {
		return err
	}
	if p.network, err = newNetwork(); err != nil {
		return err
	}
	p.network.shared, p.network.rate = true, opts.Rate
	p.HostAddrs = p.network.hosts()
	hosts := map[string]string{}
	if opts.Hosts != nil {
		hosts = opts.Hosts(p.HostAddrs)
	}
	files, err := newEtc(p.run.path, hosts)
	if err != nil {
		return err
	}
	ready, stdout, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close() //nolint:errcheck // only read
	// Without the /proc of its own: the commands are in none of its PID namespace.
	mounts := append(files.mounts(), "umount /proc")
	p.process, err = startProcess(stdout, p.network, mounts, os.Environ(), "sh", "-c", "echo ready; exec sleep infinity >/dev/null 2>&1")
	if err := errors.Join(err, stdout.Close()); err != nil {
		return err
	}
	said, err := io.ReadAll(ready)
	if string(said) != "ready\n" {
		err = errors.Join(err, fmt.Errorf("its process said %q", said))
	}
	return err
}

// Enter makes a command that has not been started run in the place's network, where it resolves the place's names.
func (p *Place) Enter(cmd *exec.Cmd) { enter(cmd, p.pid(), p.pid()) }

// EnterNetworkOf is like Enter for the network of an engine with Verify.
func (p *Place) EnterNetworkOf(e *Engine, cmd *exec.Cmd) { enter(cmd, e.PID(), p.pid()) }

// enter puts nsenter in front of a command.
func enter(cmd *exec.Cmd, network, mount int) {
	if cmd.Err != nil {
		return
	}
	args := []string{"nsenter", "--net=" + namespace(network, "net"), "--mount=" + namespace(mount, "mnt"), "--", cmd.Path}
	enter := exec.Command(args[0], args[1:]...)
	cmd.Path, cmd.Err, cmd.Args = enter.Path, enter.Err, append(enter.Args, cmd.Args[1:]...)
}

func (p *Place) pid() int { return p.process.cmd.Process.Pid }

func namespace(pid int, kind string) string { return "/proc/" + strconv.Itoa(pid) + "/ns/" + kind }

// Close ends the place. Programs that still run in it lose their network.
func (p *Place) Close() error {
	if p.process != nil {
		p.process.kill()
	}
	if p.network != nil {
		p.network.disconnect()
	}
	if p.run == nil {
		return nil
	}
	return p.run.remove()
}
