package interrupt

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
)

func TestFirstSignalCancels(t *testing.T) {
	for signal, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		ctx, stop := Context(t.Context())
		if err := syscall.Kill(os.Getpid(), signal); err != nil {
			t.Fatal(err)
		}
		<-ctx.Done()
		var interruption Error
		if err := Of(ctx, errors.New("cut off")); !errors.As(err, &interruption) || interruption.Signal != signal || interruption.ExitCode() != code {
			t.Errorf("after %s: %v", signal, err)
		}
		stop()
	}
}

func TestOf(t *testing.T) {
	failed := errors.New("no")
	ctx, cancel := context.WithCancel(t.Context())
	if err := Of(ctx, failed); !errors.Is(err, failed) {
		t.Errorf("without an interruption: %v", err)
	}
	cancel()
	if err := Of(ctx, failed); !errors.Is(err, failed) {
		t.Errorf("cancelled by something else: %v", err)
	}
	interrupted, interrupt := context.WithCancelCause(t.Context())
	interrupt(Error{syscall.SIGTERM})
	if err := Of(interrupted, nil); err != nil {
		t.Errorf("without an error: %v", err)
	}
	if err := Of(interrupted, failed); err == nil || err.Error() != "interrupted by SIGTERM" {
		t.Errorf("interrupted: %v", err)
	}
}
