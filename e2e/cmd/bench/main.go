// Bench measures migrations of one account side by side, and prints tables of the results and the targets. It reports
// progress on standard error.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/bench"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

func main() {
	options, out, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
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

const usage = `Bench measures migrations of one account side by side, on a machine that does nothing else.

Of one contender or two, in a few minutes:

  go run ./cmd/bench -only ours,regsync -parallel 16 -rounds 1 -network tls30 -kinds containerd -phases first,again

Lists are separated by commas. A network is plain or tls, followed by the round trip in ms, and after a dash the rate in Mbit/s
in each direction: plain, tls30, tls30-100.

`

// parse parses the command line. out is a file that also receives the tables.
func parse(args []string) (options bench.Options, out string, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), usage)
		flags.PrintDefaults()
	}
	flags.IntVar(&options.Rounds, "rounds", 3, "rounds, of which the tables have the medians")
	networks := flags.String("network", names(bench.DefaultNetworks()), "networks between clients and servers")
	kinds := flags.String("kinds", "", "kinds of engines, containerd and classic; empty: both")
	only := flags.String("only", "", "what to measure: "+strings.Join(bench.Names(), ", ")+"; empty: everything")
	phases := flags.String("phases", "", "runs of each contender: first, again, new; empty: all")
	parallel := flags.String("parallel", names(bench.Parallelisms()), "how many images at once to try with crane and regsync")
	env := flags.String("env", "", "more variables for ecr2gitlab, such as MIGRATE_CONCURRENCY=12")
	flags.BoolVar(&options.Details, "requests", false, "list what was requested, too")
	flags.StringVar(&out, "out", "", "a file for the tables, beside standard output")
	if err := flags.Parse(args); err != nil {
		return options, "", err
	}
	if options.Networks, err = parseEach(*networks, bench.ParseNetwork); err != nil {
		return options, "", err
	}
	if options.Parallel, err = parseEach(*parallel, strconv.Atoi); err != nil {
		return options, "", err
	}
	for _, kind := range list(*kinds) {
		options.Kinds = append(options.Kinds, engine.Kind(kind))
	}
	for _, phase := range list(*phases) {
		options.Phases = append(options.Phases, bench.Phase(phase))
	}
	options.Only, options.Env, options.Progress = list(*only), list(*env), os.Stderr
	return options, out, nil
}

// parseEach parses the items of a list.
func parseEach[T any](text string, parse func(string) (T, error)) (items []T, err error) {
	for _, part := range list(text) {
		item, err := parse(part)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

// names is the inverse of parseEach.
func names[T any](items []T) string {
	var texts []string
	for _, item := range items {
		texts = append(texts, fmt.Sprint(item))
	}
	return strings.Join(texts, ",")
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
