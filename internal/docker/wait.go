package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/client"
)

// Connection is an engine that has answered.
type Connection struct {
	Client *client.Client
	At     Endpoint
	API    string // the newest version that the engine supports, which the client may not
	Info   system.Info
}

// Wait connects to the engine, and retries for the duration of patience. It calls waiting once, after the first failure.
// Each try determines the endpoint anew, because dind may write its certificates meanwhile.
func (s Settings) Wait(ctx context.Context, patience time.Duration, waiting func(host string)) (*Connection, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var cause error
	for {
		at := s.Endpoint(defaultSocket)
		c, err := Connect(ctx, at)
		if err == nil {
			return c, nil
		}
		if cause == nil {
			waiting(at.Host)
		}
		if cause == nil || ctx.Err() == nil { // the last try was cut short, so its error is not the engine's
			cause = err
		}
		select {
		case <-ctx.Done():
			return nil, unreachable(at, patience, cause)
		case <-time.After(time.Second):
		}
	}
}

// Connect connects to the engine and reads its version and settings. It takes at most 10 s.
func Connect(ctx context.Context, at Endpoint) (*Connection, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := dial(at)
	if err != nil {
		return nil, err
	}
	ping, err := c.Ping(ctx)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	info, err := c.Info(ctx)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &Connection{Client: c, At: at, API: ping.APIVersion, Info: info}, nil
}

func unreachable(at Endpoint, patience time.Duration, cause error) error {
	return fmt.Errorf(`no Docker Engine answers at %s (tried for %s): %w
The usual causes:
  - the job has no docker:dind service, or it is not named "docker": add services: [docker:29-dind], or set DOCKER_HOST
  - TLS on one side only: DOCKER_TLS_CERTDIR must be the same for the job and its service ("/certs", or "" for none on both)
  - the runner does not run services privileged: dind needs privileged = true in the runner's configuration`,
		at.Host, patience, cause)
}
