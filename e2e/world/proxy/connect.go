package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"
)

// TunnelOptions configures a Tunnel. Listen is required.
type TunnelOptions struct {
	Listen string            // host:port
	From   string            // the IP address from which it connects to servers; empty: any
	Hosts  map[string]string // the IP addresses of names, as in /etc/hosts
}

// Tunnel is a running HTTP proxy for HTTPS, which clients use with CONNECT. It rejects all other requests.
type Tunnel struct {
	URL string // for HTTPS_PROXY

	opts    TunnelOptions
	server  *http.Server
	mu      sync.Mutex
	opened  map[string]int
	refused map[string]int // the status of responses for each host; "": for all
	bytes   map[string]int64
	conns   map[net.Conn]bool
}

// StartTunnel starts a proxy, which listens when StartTunnel returns and runs until Close.
func StartTunnel(ctx context.Context, opts TunnelOptions) (*Tunnel, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", opts.Listen)
	if err != nil {
		return nil, fmt.Errorf("tunnel: %w", err)
	}
	p := &Tunnel{
		URL: "http://" + listener.Addr().String(), opts: opts,
		opened: map[string]int{}, refused: map[string]int{}, bytes: map[string]int64{}, conns: map[net.Conn]bool{},
	}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: time.Minute}
	go p.server.Serve(listener) //nolint:errcheck // returns ErrServerClosed, by Close
	return p, nil
}

// Refuse makes the proxy respond with this status to clients that want to reach the host (without its port), or any host
// if it is empty; 0: it connects them.
func (p *Tunnel) Refuse(host string, status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused[host] = status
}

// Opened returns the number of connections by host:port.
func (p *Tunnel) Opened() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.opened)
}

// Bytes returns the number of bytes that the connections to this host:port have carried, in both directions.
func (p *Tunnel) Bytes(address string) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes[address]
}

// Close cuts off all connections.
func (p *Tunnel) Close() error {
	err := p.server.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		err = errors.Join(err, conn.Close())
	}
	return err
}

// ServeHTTP connects a client.
func (p *Tunnel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if status := p.refusal(r); status != 0 {
		if status == http.StatusProxyAuthRequired {
			w.Header().Set("Proxy-Authenticate", `Basic realm="proxy"`)
		}
		http.Error(w, "the proxy of the network rejects "+r.Host, status)
		return
	}
	server, err := p.dial(r.Context(), r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.WriteHeader(http.StatusOK)
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		server.Close() //nolint:errcheck // nothing has been sent
		return
	}
	p.carry(r.Host, client, server, buffered.Reader)
}

// refusal returns the status for the request, or 0.
func (p *Tunnel) refusal(r *http.Request) int {
	if r.Method != http.MethodConnect {
		return http.StatusNotImplemented
	}
	host, _, _ := net.SplitHostPort(r.Host) // an address without a port has no rule
	p.mu.Lock()
	defer p.mu.Unlock()
	if status := p.refused[host]; status != 0 {
		return status
	}
	return p.refused[""]
}

func (p *Tunnel) dial(ctx context.Context, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if known, ok := p.opts.Hosts[host]; ok {
		host = known
	}
	dialer := net.Dialer{Timeout: time.Minute}
	if p.opts.From != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(p.opts.From)}
	}
	return dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
}

// carry copies in both directions until both ends are closed.
func (p *Tunnel) carry(address string, client, server net.Conn, begun io.Reader) {
	p.mu.Lock()
	p.opened[address]++
	p.conns[client], p.conns[server] = true, true
	p.mu.Unlock()
	defer p.forget(client, server)
	var sent sync.WaitGroup
	sent.Go(func() { p.copy(address, server, begun) })
	p.copy(address, client, server)
	sent.Wait()
}

// copy copies to the end, and then closes dst for writing.
func (p *Tunnel) copy(address string, dst net.Conn, src io.Reader) {
	io.Copy(&meter{dst, p, address}, src) //nolint:errcheck // a connection that breaks has ended
	if half, ok := dst.(interface{ CloseWrite() error }); ok {
		half.CloseWrite() //nolint:errcheck // it may be closed already
	}
}

// meter counts what is written.
type meter struct {
	io.Writer
	proxy   *Tunnel
	address string
}

func (m *meter) Write(b []byte) (int, error) {
	n, err := m.Writer.Write(b)
	m.proxy.mu.Lock()
	defer m.proxy.mu.Unlock()
	m.proxy.bytes[m.address] += int64(n)
	return n, err
}

func (p *Tunnel) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		conn.Close() //nolint:errcheck // it has ended
		delete(p.conns, conn)
	}
}
