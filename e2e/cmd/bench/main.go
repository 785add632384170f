// Bench measures migrations of one account side by side, and prints tables of the results and the targets. It reports
// progress on standard error.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/bench"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

func main() {
	options, out, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = measure(ctx, options, out)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// parse parses the command line. Lists are comma-separated; out is a file that also receives the tables.
func parse(args []string) (options bench.Options, out string, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&options.Rounds, "rounds", 3, "rounds, of which the tables have the medians")
	latencies := flags.String("latency", "30ms,0", "round trips between engine and registries; 0: no proxy")
	kinds := flags.String("kinds", "", "kinds of engines, containerd and classic; empty: both")
	only := flags.String("only", "", "what to measure: "+strings.Join(bench.Names(), ", ")+"; empty: everything")
	phases := flags.String("phases", "", "runs of each contender: first, again, new; empty: all")
	flags.StringVar(&out, "out", "", "a file for the tables, beside standard output")
	if err := flags.Parse(args); err != nil {
		return options, "", err
	}
	for _, text := range list(*latencies) {
		latency, err := time.ParseDuration(text)
		if err != nil {
			return options, "", err
		}
		options.Latencies = append(options.Latencies, latency)
	}
	for _, kind := range list(*kinds) {
		options.Kinds = append(options.Kinds, engine.Kind(kind))
	}
	for _, phase := range list(*phases) {
		options.Phases = append(options.Phases, bench.Phase(phase))
	}
	options.Only, options.Progress = list(*only), os.Stderr
	return options, out, nil
}

func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

func measure(ctx context.Context, options bench.Options, out string) error {
	results, err := bench.Run(ctx, options)
	if err != nil {
		return err
	}
	tables := results.Markdown()
	fmt.Print(tables)
	if out == "" {
		return nil
	}
	return os.WriteFile(out, []byte(tables), 0o644)
}
