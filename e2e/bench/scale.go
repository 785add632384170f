package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

// planLimit limits the wait for a plan of the simulated account.
const planLimit = 2 * time.Minute

// ScaleSample is the result of planning the simulated account.
type ScaleSample struct {
	Planned    float64 // seconds from the program's start until it printed its plan; 0: it did not
	PeakMemory int64   // bytes
}

// measureScale has the program plan an account that consists only of manifests, and then interrupts it.
func (b *bench) measureScale(ctx context.Context) (err error) {
	e, err := engine.Start(ctx, engine.Containerd, engine.Options{Args: shippedArgs()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	w, err := world.Start(ctx, e, world.Options{Plain: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	b.say("simulated account: %d tags in %d repositories", scaleTags, scaleRepositories)
	if err := simulate(w.AWS, scaleRepositories); err != nil {
		return err
	}
	b.results.Engines[engine.Containerd] = e.Version
	for round := range b.Rounds {
		sample, err := planOnly(ctx, b.program.Command, append(w.Env(), b.Env...))
		if err != nil {
			return fmt.Errorf("simulated account: %w", err)
		}
		b.results.Scale = append(b.results.Scale, sample)
		b.say("round %d, simulated account: planned after %.1f s, peak memory %d MiB", round+1, sample.Planned, sample.PeakMemory>>20)
	}
	return nil
}

// planOnly starts the program and interrupts it when it prints its plan, or after a time limit.
func planOnly(ctx context.Context, program func(context.Context, []string, ...string) *exec.Cmd, env []string) (ScaleSample, error) {
	limited, cancel := context.WithTimeout(ctx, planLimit)
	defer cancel()
	command := program(limited, env)
	var planned time.Time
	output := &lineWatcher{prefix: "Plan:", found: func() {
		planned = time.Now()
		command.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it has just written
	}}
	started := time.Now()
	u, err := runWith(limited, command, output)
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return ScaleSample{}, context.Cause(ctx)
	case planned.IsZero() && limited.Err() == nil:
		return ScaleSample{}, fmt.Errorf("it ended before its plan: %w\n%s", err, tail(output.text.String()))
	case err != nil && !errors.As(err, &exit) && limited.Err() == nil:
		return ScaleSample{}, err
	}
	sample := ScaleSample{PeakMemory: u.memory}
	if !planned.IsZero() {
		sample.Planned = planned.Sub(started).Seconds()
	}
	return sample, nil
}

// lineWatcher calls found once, at the first line with the prefix.
type lineWatcher struct {
	prefix string
	found  func()

	mu   sync.Mutex
	text bytes.Buffer // everything written
	line []byte       // the incomplete last line
	done bool
}

// Write never fails.
func (w *lineWatcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	w.line = append(w.line, p...)
	for {
		line, rest, whole := bytes.Cut(w.line, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		w.line = rest
		if !w.done && bytes.HasPrefix(line, []byte(w.prefix)) {
			w.done = true
			w.found()
		}
	}
}
