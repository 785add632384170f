package faults

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// window is how many bytes a server sends at most before the first of them arrive, per connection, like a TCP window: 4 MiB
// is the maximum of Linux's defaults.
const window = 4 << 20

// linger is how long a closed connection still sends what its client has not read.
const linger = 5 * time.Second

// Distance is the round-trip time between clients and servers. All of it is added to what a server sends, which makes no
// difference to a client that waits for responses. Opening a connection takes a round trip, too, and a TLS handshake its own.
// Not simulated are TCP's slow start and lost packets. Its zero value is no distance.
type Distance struct{ roundTrip atomic.Int64 }

// Set sets the round-trip time of connections that are accepted from now on.
func (d *Distance) Set(roundTrip time.Duration) { d.roundTrip.Store(int64(roundTrip)) }

// Link moves a server away from its clients.
func (d *Distance) Link(inner net.Listener) net.Listener { return &farListener{inner, d} }

type farListener struct {
	net.Listener
	distance *Distance
}

func (l *farListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	roundTrip := time.Duration(l.distance.roundTrip.Load())
	if err != nil || roundTrip == 0 {
		return conn, err
	}
	far := &farConn{Conn: conn, roundTrip: roundTrip, opened: time.Now().Add(roundTrip)}
	far.changed.L = &far.mu
	go far.deliver()
	return far, nil
}

// farConn delivers what its server writes after a round trip.
type farConn struct {
	net.Conn
	roundTrip time.Duration
	opened    time.Time // when the client would know that it is connected

	mu      sync.Mutex
	changed sync.Cond
	sent    []segment // on its way, in order
	size    int       // of sent, in bytes
	closed  bool
	err     error // of the delivery
}

type segment struct {
	data    []byte
	arrives time.Time
}

// Write returns when the data is on its way.
func (c *farConn) Write(data []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.size >= window && c.err == nil && !c.closed {
		c.changed.Wait()
	}
	switch {
	case c.err != nil:
		return 0, c.err
	case c.closed:
		return 0, net.ErrClosed
	}
	arrives := time.Now()
	if arrives.Before(c.opened) {
		arrives = c.opened
	}
	c.sent = append(c.sent, segment{append([]byte(nil), data...), arrives.Add(c.roundTrip)})
	c.size += len(data)
	c.changed.Broadcast()
	return len(data), nil
}

// deliver passes data on until everything from before Close has arrived, and then closes the inner connection.
func (c *farConn) deliver() {
	defer c.Conn.Close() //nolint:errcheck // everything that could be delivered is
	for {
		arrived, more := c.next()
		if !more {
			return
		}
		_, err := arrived.WriteTo(c.Conn)
		c.mu.Lock()
		c.err = err
		c.changed.Broadcast()
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// next waits for data to arrive, and returns all that has. more is false after the last.
func (c *farConn) next() (arrived net.Buffers, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.sent) == 0 {
		if c.closed {
			return nil, false
		}
		c.changed.Wait()
	}
	if wait := time.Until(c.sent[0].arrives); wait > 0 {
		c.mu.Unlock()
		time.Sleep(wait)
		c.mu.Lock()
	}
	now := time.Now()
	for len(c.sent) > 0 && !c.sent[0].arrives.After(now) {
		arrived = append(arrived, c.sent[0].data)
		c.size -= len(c.sent[0].data)
		c.sent = c.sent[1:]
	}
	return arrived, true
}

// Close returns at once. What is on its way still arrives.
func (c *farConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	c.changed.Broadcast()
	return c.Conn.SetDeadline(time.Now().Add(linger))
}

// SetWriteDeadline does nothing, because Write does not wait for the client.
func (c *farConn) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline is SetReadDeadline.
func (c *farConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }
