package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// phaseLimit limits one run: the script on the classic store takes three minutes for the account at 30 ms.
	phaseLimit = 20 * time.Minute

	// pollInterval is the interval between samples for peak values.
	pollInterval = 20 * time.Millisecond
)

// measureContender runs the phases on a new site.
func (b *bench) measureContender(ctx context.Context, src *source, c contender, where string) (err error) {
	s, err := newSite(ctx, src, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if s.Engine != nil {
		b.results.Engines[c.kind] = s.Engine.Version
	}
	for _, phase := range b.Phases {
		sample, err := b.measurePhase(ctx, s, c, phase)
		if err != nil {
			return fmt.Errorf("%s: %w", phase.title(), err)
		}
		b.results.add(Key{src.network, c.kind, c.name, c.parallel, phase}, sample)
		b.say("%s, %s: %s", where, phase.title(), sample)
	}
	return nil
}

// measurePhase prepares a phase, measures it and checks the result.
func (b *bench) measurePhase(ctx context.Context, s *site, c contender, phase Phase) (sample Sample, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, phaseLimit, errors.New("not done after "+phaseLimit.String()))
	defer cancel()
	if phase == Added {
		if err := b.account.addTags(s.AWS); err != nil {
			return Sample{}, err
		}
		defer func() { err = errors.Join(err, b.account.removeTags(s.AWS)) }()
	}
	s.tags = b.account.tags(phase)
	commands, err := c.commands(ctx, s)
	if err != nil {
		return Sample{}, err
	}
	for _, cmd := range commands {
		s.enter(cmd)
	}
	s.source.distance.Set(s.source.network.RoundTrip)
	sample, err = s.measure(ctx, commands, max(c.atOnce, 1))
	s.source.distance.Set(0) // for what is not measured
	if err != nil {
		return Sample{}, err
	}
	sample.UniqueBytes = b.account.uniqueBytes(phase)
	if !c.single {
		sample.PeakMemory = 0
	}
	return sample, s.checkTags(ctx, c.exact())
}

// measure runs the commands, up to atOnce at a time, and measures their use of the site's resources.
func (s *site) measure(ctx context.Context, commands []*exec.Cmd, atOnce int) (Sample, error) {
	before, err := s.counters()
	if err != nil {
		return Sample{}, err
	}
	disk := s.watchDisk()
	started := time.Now()
	own, err := runAll(ctx, commands, atOnce)
	seconds := time.Since(started).Seconds()
	peak, diskErr := disk()
	if err := errors.Join(err, diskErr); err != nil {
		return Sample{}, err
	}
	after, err := s.counters()
	return Sample{
		Seconds:    seconds,
		BytesOut:   after.bytesOut - before.bytesOut,
		BytesIn:    after.bytesIn - before.bytesIn,
		Requests:   since(before.requests, after.requests),
		CPU:        during(before.clocks, after.clocks, own.cpu),
		PeakMemory: own.memory,
		PeakDisk:   peak,
	}, err
}

// counters only increase.
type counters struct {
	bytesOut, bytesIn int64 // of blobs
	requests          map[request]int
	clocks            clocks
}

func (s *site) counters() (c counters, err error) {
	dockerd := 0
	if s.Engine != nil {
		dockerd = s.Engine.PID()
	}
	c.clocks, err = readClocks(dockerd)
	c.requests = s.source.requests.snapshot()
	c.bytesOut, c.bytesIn = s.AWS.BlobBytesOut(), s.GitLab.BytesIn()
	return c, err
}

// watchDisk samples the engine's disk until the returned function is called, which returns the peak in bytes.
func (s *site) watchDisk() (stop func() (int64, error)) {
	if s.Engine == nil {
		return func() (int64, error) { return 0, nil }
	}
	var peak int64
	var failure error
	done := poll(func() {
		used, err := s.Engine.DiskUsed()
		peak, failure = max(peak, used), errors.Join(failure, err)
	})
	return func() (int64, error) {
		done()
		return peak, failure
	}
}

// usage is what commands used themselves: processor time, including that of their children, and the peak memory of one
// of them, without its children, in bytes.
type usage struct {
	cpu    time.Duration
	memory int64
}

// runAll runs commands, up to atOnce at a time. If one fails, the others are stopped, and the error includes the end of
// its output.
func runAll(ctx context.Context, commands []*exec.Cmd, atOnce int) (all usage, err error) {
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, command := range commands {
		group.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			u, err := runOne(ctx, command)
			mu.Lock()
			defer mu.Unlock()
			all.cpu += u.cpu
			all.memory = max(all.memory, u.memory)
			return err
		})
	}
	return all, group.Wait()
}

// runOne runs a command to its end. The error includes the end of the output.
func runOne(ctx context.Context, command *exec.Cmd) (usage, error) {
	var output bytes.Buffer
	u, err := runWith(ctx, command, &output)
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", command.Path, errors.Join(err, context.Cause(ctx)), tail(output.String()))
	}
	return u, err
}

// runWith runs a command with combined output until it ends or ctx does, which need not be the command's own. Its peak
// memory is sampled from outside: the kernel's own count (ru_maxrss) starts with that of the parent process, which
// holds two registries here.
func runWith(ctx context.Context, command *exec.Cmd, output io.Writer) (u usage, err error) {
	command.Stdout, command.Stderr = output, output
	if err := command.Start(); err != nil {
		return u, err
	}
	defer context.AfterFunc(ctx, func() { command.Cancel() })() //nolint:errcheck // it may have ended
	done := poll(func() {
		if peak, err := peakMemory(command.Process.Pid); err == nil { // an error means that it has just ended
			u.memory = max(u.memory, peak)
		}
	})
	err = command.Wait()
	done()
	u.cpu = command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	return u, err
}

// poll calls look periodically until the returned function is called, which waits for the last call.
func poll(look func()) (stop func()) {
	quit, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		ticker := time.NewTicker(pollInterval)
		defer ticker.Stop()
		for {
			look()
			select {
			case <-quit:
				return
			case <-ticker.C:
			}
		}
	}()
	return func() {
		close(quit)
		<-gone
	}
}

// tail returns the last lines of an output.
func tail(output string) string {
	lines := slices.Collect(strings.Lines(output))
	return strings.Join(lines[max(0, len(lines)-40):], "")
}
