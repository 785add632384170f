// Package bench measures migrations of one account side by side: the tutorial's script, this program, and the
// daemonless tools crane and regsync, each with fresh registries and, where it needs one, a fresh engine.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

// Phase is one of the runs of a contender, all with the same engine and the same target.
type Phase string

// The phases in order: everything is new, nothing is new, one tag in each repository is new.
const (
	First Phase = "first"
	Again Phase = "again"
	Added Phase = "new"
)

// Phases lists all phases.
func Phases() []Phase { return []Phase{First, Again, Added} }

// Options selects what to measure. Empty lists select everything.
type Options struct {
	Rounds   int // 0: 3
	Networks []Network
	Kinds    []engine.Kind
	Only     []string // names of contenders
	Phases   []Phase
	Parallel []int        // what to try with crane and regsync
	Env      []string     // more variables for the program, as NAME=VALUE
	Scale    corpus.Scale // of the account; zero: corpus.Large
	Details  bool         // lists what was requested, too
	Progress io.Writer    // gets a line per measurement; nil: discarded
}

func (o Options) withDefaults() Options {
	if o.Rounds == 0 {
		o.Rounds = 3
	}
	if len(o.Networks) == 0 {
		o.Networks = DefaultNetworks()
	}
	if len(o.Kinds) == 0 {
		o.Kinds = engine.Kinds()
	}
	if len(o.Only) == 0 {
		o.Only = Names()
	}
	if len(o.Phases) == 0 {
		o.Phases = Phases()
	}
	if len(o.Parallel) == 0 {
		o.Parallel = Parallelisms()
	}
	if o.Scale == (corpus.Scale{}) {
		o.Scale = corpus.Large
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	return o
}

func (o Options) check() error {
	for _, name := range o.Only {
		if !slices.Contains(Names(), name) {
			return fmt.Errorf("there is no contender %q; there are %v", name, Names())
		}
	}
	for _, phase := range o.Phases {
		if !slices.Contains(Phases(), phase) {
			return fmt.Errorf("there is no phase %q; there are %v", phase, Phases())
		}
	}
	if len(o.Phases) > 0 && o.Phases[0] != First {
		return fmt.Errorf("the other phases come after %s", First)
	}
	return nil
}

func (o Options) wants(name string) bool { return slices.Contains(o.Only, name) }

// bench is shared by all measurements.
type bench struct {
	Options
	dir     string // for temporary files
	program world.Program
	account *account
	results *Results
}

// Run measures everything that is selected, and returns the results once all are complete: a contender that fails, or
// misses a tag, fails the benchmark.
func Run(ctx context.Context, options Options) (results *Results, err error) {
	if err := options.check(); err != nil {
		return nil, err
	}
	b := &bench{Options: options.withDefaults(), results: newResults()}
	b.results.Rounds, b.results.details = b.Rounds, b.Details
	if b.dir, err = os.MkdirTemp("", "ecr2gitlab-bench-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	for _, network := range b.Networks {
		if err := b.measureNetwork(ctx, network); err != nil {
			return nil, err
		}
	}
	if b.wants(nameScale) {
		if err := b.measureScale(ctx); err != nil {
			return nil, err
		}
	}
	return b.results, nil
}

// prepare creates everything that should not be part of a measurement.
func (b *bench) prepare(ctx context.Context) (err error) {
	b.say("preparing: the program, the tools and the account")
	if b.program, err = world.Build(ctx, b.dir, false); err != nil {
		return err
	}
	if b.account, err = newAccount(ctx, b.Options.Scale); err != nil {
		return err
	}
	b.results.UniqueBytes, b.results.Tags = b.account.uniqueBytes(First), len(b.account.tags(First))
	if b.wants(nameDisk) {
		unpacked, err := b.account.unpackedBytes()
		if err != nil {
			return err
		}
		b.results.DiskBudget = unpacked / 4 / 1e6 * 1e6
	}
	b.results.Machine, err = describeMachine(ctx)
	return err
}

// measureNetwork alternates between the contenders, round after round, with the same account.
func (b *bench) measureNetwork(ctx context.Context, network Network) (err error) {
	contenders, err := b.contenders(ctx)
	if err != nil || len(contenders) == 0 {
		return err
	}
	source, err := b.startSource(ctx, network)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	for round := range b.Rounds {
		for _, c := range contenders {
			if round > 0 && !b.best(network, c) {
				continue
			}
			where := fmt.Sprintf("round %d, %s, %s", round+1, network, c)
			if err := b.measureContender(ctx, source, c, where); err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
		}
	}
	return nil
}

// best reports whether to run a daemonless tool with this parallelism in later rounds: only that of its fastest first
// run.
func (b *bench) best(network Network, c contender) bool {
	return c.parallel == 0 || b.results.best(network, c.name) == c.parallel
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.Progress, "bench: "+format+"\n", args...)
}
