package engine

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// process is a daemon that is the first process of its own PID and mount namespaces. When it ends, for whatever reason,
// the kernel ends everything that it started and undoes everything that it mounted.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// startProcess starts the daemon with its output in log. The kernel kills it when this process ends. With a network,
// the process also gets a network namespace, which is connected before the daemon runs. Mounts are visible only to the
// process.
func startProcess(log *os.File, network *network, mounts []string, env []string, name string, args ...string) (*process, error) {
	cmd := exec.Command("/bin/sh", append(shellArgs(mounts), append([]string{name}, args...)...)...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:      true, // ^C is for the tests, which then stop the engine
		Pdeathsig:    syscall.SIGKILL,
		Cloneflags:   syscall.CLONE_NEWPID,
		Unshareflags: syscall.CLONE_NEWNS,
	}
	if network != nil {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWNET
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	if err := p.start(); err != nil {
		return nil, err
	}
	if network != nil {
		if err := network.connect(cmd.Process.Pid); err != nil {
			p.kill()
			return nil, err
		}
	}
	if _, err := io.WriteString(stdin, "go\n"); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

// shellArgs returns a shell command that waits for a line from standard input, mounts, and executes the command that
// follows. A PID namespace needs its own /proc.
func shellArgs(mounts []string) []string {
	steps := append([]string{"read -r _", "mount -t proc proc /proc"}, mounts...)
	return []string{"-c", strings.Join(steps, " && ") + ` && exec "$@" </dev/null`, "sh"}
}

// start starts the command from a thread that lives as long as the command: Pdeathsig is sent when the thread ends.
func (p *process) start() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.cmd.Wait() //nolint:errcheck // how it ended is in its log
			close(p.ended)
		}
	}()
	return <-started
}

// stop asks the process to exit, and kills it after the grace period, which is an error.
func (p *process) stop(grace time.Duration) error {
	p.cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // fails when it has ended, which is what we want
	select {
	case <-p.ended:
		return nil
	case <-time.After(grace):
		p.kill()
		return errors.New("did not stop within " + grace.String() + " and was killed")
	}
}

// kill returns when the process and everything that it started have ended.
func (p *process) kill() {
	p.cmd.Process.Kill() //nolint:errcheck // fails when it has ended, which is what we want
	<-p.ended
}
