// Package engine finds or builds real Docker Engines, and starts and stops them alongside each other and any engine on
// the machine. It requires Linux and root.
package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Kind identifies an engine by its image store.
type Kind string

const (
	// Classic is Debian 12's Engine 20.10, with the overlay2 driver.
	Classic Kind = "classic"
	// Containerd is a current engine, with the containerd image store.
	Containerd Kind = "containerd"
)

// Kinds lists all kinds of engines.
func Kinds() []Kind { return []Kind{Classic, Containerd} }

// EmbeddedContainerd is the experimental option with which dockerd runs containerd in its own process.
const EmbeddedContainerd = "--feature=embedded-containerd=true"

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
)

// Options configures the start of an engine. The zero value is an engine without container networks that listens only
// on a Unix socket.
type Options struct {
	Args     []string // additional arguments of dockerd
	Env      []string // additional variables of dockerd, KEY=value
	DataRoot string   // an existing folder for images, which Close keeps; empty: a temporary one
	TCPAddr  string   // additional host:port to listen on, without TLS; with Bridge, in the engine's own network

	// Hosts returns the names that only the engine resolves, with their addresses, as in /etc/hosts. It is given the engine's
	// HostAddrs; nil: none.
	Hosts func(hostAddrs []string) map[string]string

	// Disk puts the temporary data root on its own file system with this many bytes, which DiskUsed measures; 0: it is
	// on the file system for temporary files.
	Disk int64

	// Bridge allows running containers: the engine gets its own network namespace, from which it and its containers reach
	// this machine at HostAddrs, and nothing else. Registries there may use plain HTTP, unless Verify is set.
	Bridge bool

	// Verify makes the engine require TLS, with certificates that it trusts, from registries at HostAddrs, in a network
	// namespace of its own: like every engine, it accepts anything from those on loopback.
	Verify bool

	// Rate limits the network of an engine with Bridge or Verify to so many bits per second in each direction, for all of its
	// connections together; 0: no limit.
	Rate int64

	// Confined makes only the last of HostAddrs reachable for the engine. A proxy can listen there. It requires Verify, or
	// Bridge.
	Confined bool

	// EnvFor returns more variables of dockerd, such as those for a proxy, given the engine's HostAddrs; nil: none.
	EnvFor func(hostAddrs []string) []string
}

// Engine is a running Docker Engine with its own containerd. Its methods are not safe for concurrent use.
type Engine struct {
	Kind     Kind
	Host     string // unix://…, for DOCKER_HOST
	Version  string // as reported by the engine
	DataRoot string
	Hosts    map[string]string // as from Options

	// HostAddrs are five IP addresses of this machine that an engine with Bridge or Verify, its containers and this machine
	// itself can reach. Servers can listen on them as soon as Start has returned.
	HostAddrs []string

	run     *folder // the engine's files in /run and /etc, and its log
	data    *folder // nil: the data root is the caller's
	disk    *disk   // of an engine with Disk
	etc     *etc
	args    []string
	env     []string
	network *network // of an engine with Bridge or Verify
	process *process
}

// Start starts an engine, which is ready when Start returns. The start, without a first install, is limited by ctx and
// to one minute. The engine runs until Close, or until this process ends. If the start fails, the error includes the
// end of the engine's log.
func Start(ctx context.Context, kind Kind, opts Options) (*Engine, error) {
	bin, err := BinDir(ctx, kind)
	if err != nil {
		return nil, err
	}
	return startFrom(ctx, kind, []string{bin}, opts)
}

// StartSmall starts a current engine that cannot run containers, from as few programs as possible unless the cache has
// the complete engine: only dockerd if it can run containerd inside itself, which is experimental, or else both.
func StartSmall(ctx context.Context, opts Options) (*Engine, error) {
	dirs, err := smallDirs(ctx, dockerdTool)
	if err != nil {
		return nil, err
	}
	embedded := opts
	embedded.Args = append(slices.Clone(opts.Args), EmbeddedContainerd)
	e, err := startFrom(ctx, Containerd, dirs, embedded)
	if err == nil || ctx.Err() != nil {
		return e, err
	}
	say("dockerd does not run containerd inside itself (%v)", err)
	if dirs, err = smallDirs(ctx, dockerdTool, containerdTool); err != nil {
		return nil, err
	}
	return startFrom(ctx, Containerd, dirs, opts)
}

// EnsureSmall builds what StartSmall needs, as a separate step: it takes minutes the first time.
func EnsureSmall(ctx context.Context) error {
	_, err := smallDirs(ctx, dockerdTool)
	return err
}

// startFrom starts the engine whose programs are in these folders.
func startFrom(ctx context.Context, kind Kind, dirs []string, opts Options) (*Engine, error) {
	if opts.Disk > 0 && opts.DataRoot != "" {
		return nil, errors.New("an engine with Disk has a data root of its own")
	}
	path := searchPath(dirs)
	var err error
	e := &Engine{Kind: kind, DataRoot: opts.DataRoot}
	if err = e.setUp(path, opts); err == nil {
		err = e.start(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the %s engine: %w", kind, err), e.abandon())
	}
	return e, nil
}

// setUp creates what is needed from the first start until Close.
func (e *Engine) setUp(path string, opts Options) (err error) {
	// Not below TMPDIR, whose path may be long: a socket's path is limited to 107 bytes.
	if e.run, err = newFolder("/tmp", "engine-run-"); err != nil {
		return err
	}
	if err := e.setUpNetwork(opts); err != nil {
		return err
	}
	if e.etc, err = newEtc(e.run.path, e.Hosts); err != nil {
		return err
	}
	if e.DataRoot == "" {
		if e.data, err = newFolder("", "engine-data-"); err != nil {
			return err
		}
		e.DataRoot = filepath.Join(e.data.path, "root")
	}
	if opts.Disk > 0 {
		if e.disk, err = newDisk(opts.Disk, filepath.Join(e.data.path, "disk"), e.DataRoot); err != nil {
			return err
		}
	}
	e.Host = "unix://" + e.path("docker.sock")
	e.args = e.arguments(opts)
	e.env = append([]string{"PATH=" + path, "HOME=" + e.run.path}, opts.Env...)
	if opts.EnvFor != nil {
		e.env = append(e.env, opts.EnvFor(e.HostAddrs)...)
	}
	return nil
}

// setUpNetwork chooses the engine's addresses and those of its names.
func (e *Engine) setUpNetwork(opts Options) (err error) {
	if opts.Bridge || opts.Verify {
		if e.network, err = newNetwork(); err != nil {
			return err
		}
		e.network.shared, e.network.confined = !opts.Bridge && !opts.Confined, opts.Confined
		e.network.rate = opts.Rate
		e.HostAddrs = e.network.hosts()
	}
	if opts.Hosts != nil {
		e.Hosts = opts.Hosts(e.HostAddrs)
	}
	return nil
}

// abandon is Close for an engine that may not handle signals yet.
func (e *Engine) abandon() error {
	if e.process != nil {
		e.process.kill()
	}
	return e.Close()
}

// searchPath puts the engine's own programs first, whatever is installed on the machine.
func searchPath(dirs []string) string {
	return strings.Join(append(slices.Clone(dirs), "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"), ":")
}

func (e *Engine) arguments(opts Options) []string {
	args := []string{
		"--config-file", e.path("daemon.json"), // not the machine's
		"--data-root", e.DataRoot,
		"--exec-root", e.execRoot(),
		"--pidfile", filepath.Join(e.execRoot(), "docker.pid"),
		"--host", e.Host,
		"--userland-proxy=false",
	}
	if opts.TCPAddr != "" {
		args = append(args, "--host", "tcp://"+opts.TCPAddr, "--tls=false")
	}
	if !opts.Bridge {
		args = append(args, "--bridge=none", "--iptables=false", "--ip6tables=false") // leaves the machine as it is
	} else if !opts.Verify {
		args = append(args, "--insecure-registry", Subnet.String())
	}
	return append(args, opts.Args...)
}

func (e *Engine) path(name string) string { return filepath.Join(e.run.path, name) }
func (e *Engine) execRoot() string        { return e.path("exec") }
func (e *Engine) logFile() string         { return e.path("log") }

func (e *Engine) start(ctx context.Context) error {
	if err := e.prepare(); err != nil {
		return err
	}
	log, err := os.OpenFile(e.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the engine has its own descriptor
	if e.process, err = startProcess(log, e.network, e.mounts(), e.env, "dockerd", e.args...); err != nil {
		e.process = nil
		return err
	}
	if err := e.waitUntilReady(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, tail(e.Log()))
	}
	return nil
}

// mounts returns the commands that give the engine its own folders.
func (e *Engine) mounts() []string {
	mounts := e.etc.mounts()
	if e.disk != nil {
		mounts = append(mounts, e.disk.mount())
	}
	return mounts
}

// prepare leaves what survives a reboot: the data, but no PID files and sockets.
func (e *Engine) prepare() error {
	if err := os.RemoveAll(e.execRoot()); err != nil {
		return err
	}
	if err := os.Mkdir(e.execRoot(), 0o711); err != nil {
		return err
	}
	if e.disk != nil {
		if err := e.disk.released(); err != nil {
			return err
		}
	}
	config := "{}"
	if e.Kind == Classic {
		config = fmt.Sprintf(`{"deprecated-key-path": %q}`, e.path("key.json")) // instead of /etc/docker
	}
	return os.WriteFile(e.path("daemon.json"), []byte(config), 0o644)
}

func (e *Engine) waitUntilReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, errors.New("not ready after "+startTimeout.String()))
	defer cancel()
	for {
		version, err := e.version(ctx)
		if err == nil {
			e.Version = version
			return nil
		}
		select {
		case <-e.process.ended:
			return errors.New("it ended")
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", context.Cause(ctx), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// PID returns dockerd's process ID, for measurements: its containerd is among its descendants.
func (e *Engine) PID() int { return e.process.cmd.Process.Pid }

// Log returns everything that the engine has logged so far.
func (e *Engine) Log() string {
	log, err := os.ReadFile(e.logFile())
	if err != nil {
		return err.Error()
	}
	return string(log)
}

// Kill ends the engine like a power failure. Its data are kept until Close.
func (e *Engine) Kill() { e.process.kill() }

// Restart stops the engine, unless it has ended, and starts it again with the same data and the same addresses. After
// an error, the engine can only be closed.
func (e *Engine) Restart(ctx context.Context) error {
	if err := e.process.stop(stopTimeout); err != nil {
		return fmt.Errorf("restart the %s engine: %w", e.Kind, err)
	}
	if err := e.start(ctx); err != nil {
		return fmt.Errorf("restart the %s engine: %w", e.Kind, err)
	}
	return nil
}

// Close stops the engine with everything that it runs, and removes its folders. It returns an error if the engine had
// to be killed. It may be called more than once.
func (e *Engine) Close() error {
	var errs []error
	if e.process != nil {
		if err := e.process.stop(stopTimeout); err != nil {
			errs = append(errs, fmt.Errorf("stop the %s engine: %w", e.Kind, err))
		}
	}
	if e.network != nil {
		e.network.disconnect()
	}
	if e.disk != nil {
		errs = append(errs, e.disk.released())
	}
	for _, f := range []*folder{e.run, e.data} {
		if f != nil {
			errs = append(errs, f.remove())
		}
	}
	return errors.Join(errs...)
}
