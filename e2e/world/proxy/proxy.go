// Package proxy provides proxies for tests: in front of a real engine, to observe, delay, change or cut off calls, and
// next to the registries, to observe secrets.
package proxy

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Around handles a call of the engine's API; engine forwards it. It is called concurrently.
type Around func(w http.ResponseWriter, r *http.Request, engine http.Handler)

// Options configures a proxy. Engine is required.
type Options struct {
	Engine string // unix://…
	Listen string // unix:///path or tcp://host:port; empty: a new socket
	Around Around // nil: every call is forwarded unchanged
}

// Proxy is a running proxy.
type Proxy struct {
	Host string // unix://… or tcp://…, for DOCKER_HOST

	dir       string
	server    *http.Server
	transport *http.Transport
}

// Start starts a proxy, which listens when Start returns and runs until Close. Responses are streamed, requests are
// not. It does not support calls that hijack the connection (attach, exec).
func Start(ctx context.Context, opts Options) (*Proxy, error) {
	dir, err := os.MkdirTemp("/tmp", "proxy-") // a socket's path is limited to 107 bytes
	if err != nil {
		return nil, err
	}
	p := &Proxy{dir: dir, transport: Transport(opts.Engine)}
	if err := p.start(ctx, opts); err != nil {
		return nil, errors.Join(fmt.Errorf("proxy: %w", err), p.Close())
	}
	return p, nil
}

func (p *Proxy) start(ctx context.Context, opts Options) error {
	network, address, _ := strings.Cut(cmp.Or(opts.Listen, "unix://"+filepath.Join(p.dir, "docker.sock")), "://")
	var config net.ListenConfig
	listener, err := config.Listen(ctx, network, address)
	if err != nil {
		return err
	}
	p.Host = network + "://" + listener.Addr().String()
	p.server = &http.Server{Handler: p.handler(opts.Around), ReadHeaderTimeout: time.Minute}
	go p.server.Serve(listener) //nolint:errcheck // returns ErrServerClosed, by Close
	return nil
}

func (p *Proxy) handler(around Around) http.Handler {
	engine := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", "engine"
		},
		Transport:     p.transport,
		FlushInterval: -1, // progress reaches the program as the engine sends it
		ErrorLog:      log.New(io.Discard, "", 0),
	}
	if around == nil {
		around = func(w http.ResponseWriter, r *http.Request, engine http.Handler) { engine.ServeHTTP(w, r) }
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The server closes the request's body with the first byte of the response, so it has to be read completely
		// first.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the program has disconnected
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		around(w, r, engine)
	})
}

// Transport connects to the engine at unix://…, whatever the URL's host is.
func Transport(engine string) *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", strings.TrimPrefix(engine, "unix://"))
	}}
}

// Close cuts off all calls in progress.
func (p *Proxy) Close() error {
	var err error
	if p.server != nil {
		err = p.server.Close()
	}
	p.transport.CloseIdleConnections()
	return errors.Join(err, os.RemoveAll(p.dir))
}
