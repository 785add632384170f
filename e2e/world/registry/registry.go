// Package registry runs a real image registry, distribution/v3, inside the test process.
package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/sirupsen/logrus"

	_ "github.com/distribution/distribution/v3/registry/auth/token"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/secure"
)

// drainTimeout is how long Close waits for requests in progress.
const drainTimeout = 3 * time.Second

// Options configures a registry. The zero value is an open registry on a free loopback port with its own directory.
type Options struct {
	Dir  string // stores blobs and tags; empty: a temporary one, removed by Close
	Addr string // host:port to listen on; empty: 127.0.0.1:0

	// Listener replaces Addr for callers that need to know the port before the start. The registry closes it.
	Listener net.Listener

	// Link puts a slower network in front of the listener, below TLS; nil: none.
	Link func(net.Listener) net.Listener

	// Secure makes the registry use TLS with a certificate of this authority; nil: plain HTTP.
	Secure *secure.Authority

	// Wrap adds middleware around the registry. It sees requests before they are authorized.
	Wrap func(http.Handler) http.Handler

	// Auth configures one of distribution's access controllers ("token"); nil: access is open.
	Auth configuration.Auth
}

// Server is a running registry.
type Server struct {
	Host string // host:port

	app    *handlers.App
	server *http.Server
	silent silent
	tmp    string // removed by Close; may be empty
	closed sync.Once
	err    error
}

// Start starts a registry, which is ready when Start returns. ctx applies only to the start: the registry runs until
// Close.
func Start(ctx context.Context, opts Options) (*Server, error) {
	listener, err := listen(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	s, err := newServer(context.WithoutCancel(ctx), opts)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("registry: %w", err), listener.Close())
	}
	s.Host = listener.Addr().String()
	if opts.Link != nil {
		listener = opts.Link(listener)
	}
	if listener, err = opts.Secure.Listen(listener); err != nil {
		return nil, errors.Join(fmt.Errorf("registry: %w", err), s.close())
	}
	go s.server.Serve(listener) //nolint:errcheck // returns ErrServerClosed, by Close
	return s, nil
}

func listen(ctx context.Context, opts Options) (net.Listener, error) {
	if opts.Listener != nil {
		return opts.Listener, nil
	}
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", cmp.Or(opts.Addr, "127.0.0.1:0"))
}

func newServer(ctx context.Context, opts Options) (s *Server, err error) {
	s = &Server{}
	if opts.Dir == "" {
		if s.tmp, err = os.MkdirTemp("", "registry-"); err != nil {
			return nil, err
		}
		opts.Dir = s.tmp
	}
	if s.app, err = newApp(ctx, config(opts)); err != nil {
		return nil, errors.Join(err, s.removeTemp())
	}
	handler := http.Handler(s.app)
	if opts.Wrap != nil {
		handler = opts.Wrap(handler)
	}
	s.server = &http.Server{
		Handler: opts.Secure.Guard(handler), ReadHeaderTimeout: time.Minute, ConnState: s.silent.track,
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerConnection: uploadWindow, MaxReceiveBufferPerStream: uploadWindow},
	}
	return s, nil
}

// uploadWindow is how many bytes clients may send over an HTTP/2 connection before the server takes them: the most that Go's
// server has. With its default of 1 MiB, far clients that share a connection, as crane's and regsync's do, would wait for it.
// Servers before a real registry may have smaller windows (https://github.com/haproxy/haproxy/issues/293), but the
// benchmark must not slow down one contender by a limit of its own. Engines use HTTP/1.1.
const uploadWindow = 4<<20 - 1

// newApp converts distribution's panics about its configuration to errors.
func newApp(ctx context.Context, cfg *configuration.Configuration) (app *handlers.App, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("configuration: %v", r)
		}
	}()
	quiet()
	return handlers.NewApp(ctx, cfg), nil
}

// quiet discards distribution's logs, which go only to logrus's global logger.
var quiet = sync.OnceFunc(func() {
	logrus.SetOutput(io.Discard)
	logrus.SetLevel(logrus.PanicLevel)
})

// Close waits a few seconds for requests in progress, then ends them. It may be called more than once.
func (s *Server) Close() error {
	s.closed.Do(func() { s.err = s.close() })
	return s.err
}

func (s *Server) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	s.silent.close()
	err := s.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.server.Close()
	}
	return errors.Join(err, s.app.Shutdown(), s.removeTemp())
}

func (s *Server) removeTemp() error {
	if s.tmp == "" {
		return nil
	}
	return os.RemoveAll(s.tmp)
}
