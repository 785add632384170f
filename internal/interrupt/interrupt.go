// Package interrupt ends a run on a signal.
package interrupt

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// exitCodes is added to the signal's number to get the exit code, as shells do.
const exitCodes = 128

// Error is the cause of a context that a signal has canceled.
type Error struct{ Signal syscall.Signal }

func (e Error) Error() string { return "interrupted by " + unix.SignalName(e.Signal) }

// ExitCode returns the program's exit code.
func (e Error) ExitCode() int { return exitCodes + int(e.Signal) }

// Context returns a context that the first SIGINT or SIGTERM cancels, with an Error as its cause; the second ends the
// program at once.
func Context(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		first := (<-signals).(syscall.Signal)
		cancel(Error{first})
		second := (<-signals).(syscall.Signal)
		os.Exit(Error{second}.ExitCode())
	}()
	return ctx, func() { signal.Stop(signals) }
}

// Of returns the Error of the signal that canceled the context, or else err itself.
func Of(ctx context.Context, err error) error {
	var interruption Error
	if err != nil && errors.As(context.Cause(ctx), &interruption) {
		return interruption
	}
	return err
}
