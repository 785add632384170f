package secure

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// handshakeTimeout is that of net/http's servers here, for the header.
const handshakeTimeout = time.Minute

// recordTypeHandshake is the first byte a TLS client sends.
const recordTypeHandshake = 0x16

// listener distinguishes TLS from plain HTTP by the first byte of a connection.
type listener struct {
	net.Listener
	config *tls.Config
	conns  chan net.Conn
	closed chan struct{} // by Close, or by an error

	mu     sync.Mutex
	err    error
	silent map[net.Conn]bool // nothing to serve yet
}

// accept passes connections on until the inner listener is closed.
func (l *listener) accept() {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			l.end(err)
			return
		}
		l.mu.Lock()
		l.silent[conn] = true
		l.mu.Unlock()
		go l.sniff(conn)
	}
}

// sniff waits for the first byte, which may never come.
func (l *listener) sniff(conn net.Conn) {
	ready, err := l.begin(conn)
	l.mu.Lock()
	delete(l.silent, conn)
	l.mu.Unlock()
	if err != nil {
		conn.Close() //nolint:errcheck // nobody speaks on it
		return
	}
	select {
	case l.conns <- ready:
	case <-l.closed:
		conn.Close() //nolint:errcheck // the server is gone
	}
}

// begin returns the connection to serve. It makes the handshake itself, because a server would log each one that fails: the
// tests' own client tries TLS first, and trusts no world's authority.
func (l *listener) begin(conn net.Conn) (net.Conn, error) {
	first := make([]byte, 1)
	if _, err := conn.Read(first); err != nil {
		return nil, err
	}
	begun := &begunConn{conn, first}
	if first[0] != recordTypeHandshake {
		return begun, nil
	}
	secured := tls.Server(begun, l.config)
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	defer cancel()
	return secured, secured.HandshakeContext(ctx)
}

// Accept returns a *tls.Conn, or a plain connection if the client does not use TLS.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		l.mu.Lock()
		defer l.mu.Unlock()
		return nil, l.err
	}
}

// Close closes the inner listener and the connections on which nothing has been sent.
func (l *listener) Close() error {
	err := l.Listener.Close()
	l.end(net.ErrClosed)
	return err
}

// end makes Accept return the first error it is given.
func (l *listener) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return
	}
	l.err = err
	close(l.closed)
	for conn := range l.silent {
		conn.Close() //nolint:errcheck // nobody speaks on it
	}
}

// begunConn is a connection whose first bytes have already been read.
type begunConn struct {
	net.Conn
	begun []byte
}

func (c *begunConn) Read(p []byte) (int, error) {
	if len(c.begun) > 0 {
		n := copy(p, c.begun)
		c.begun = c.begun[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}
