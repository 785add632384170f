// Command engines finds the Docker Engines of the end-to-end tests in the cache, or installs them there, and prints
// where they are.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

func main() {
	only := flag.String("kind", "", "one kind of engine, classic or containerd, instead of both")
	flag.Parse()
	kinds := engine.Kinds()
	if *only != "" {
		kinds = []engine.Kind{engine.Kind(*only)}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := ensure(ctx, kinds); err != nil {
		fmt.Fprintln(os.Stderr, "engines:", err)
		stop()
		os.Exit(1)
	}
}

// ensure starts each engine once, to verify that it works and reports its version.
func ensure(ctx context.Context, kinds []engine.Kind) error {
	for _, kind := range kinds {
		dir, err := engine.BinDir(ctx, kind)
		if err != nil {
			return err
		}
		e, err := engine.Start(ctx, kind, engine.Options{})
		if err != nil {
			return err
		}
		fmt.Printf("%s: Docker Engine %s in %s\n", kind, e.Version, dir)
		if err := e.Close(); err != nil {
			return err
		}
	}
	return nil
}
