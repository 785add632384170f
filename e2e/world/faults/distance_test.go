package faults

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

const far = 100 * time.Millisecond

// startFar starts a server that echoes, and returns its URL.
func startFar(t *testing.T, d *Distance) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Write(body) //nolint:errcheck // seen by the client
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(d.Link(listener)) }()
	t.Cleanup(func() {
		server.Close() //nolint:errcheck // the connections may have ended
		if err := <-ended; err != nil && !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return "http://" + listener.Addr().String()
}

// echo returns how long it took to get data back.
func echo(t *testing.T, client *http.Client, url string, data []byte) time.Duration {
	t.Helper()
	started := time.Now()
	response, err := client.Post(url, "text/plain", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || !bytes.Equal(body, data) {
		t.Errorf("got %d bytes, %v", len(body), err)
	}
	return time.Since(started)
}

// TestDistance counts round trips: one for the connection, and one for each request.
func TestDistance(t *testing.T) {
	var d Distance
	d.Set(far)
	url := startFar(t, &d)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for i, want := range []time.Duration{2 * far, far, far} {
		if took := echo(t, client, url, []byte("ping")); took < want || took > want+far*20 {
			t.Errorf("request %d took %s, want %s and little more", i+1, took, want)
		}
	}
	// Three times the window and more, of which the first has to arrive before the last is sent.
	if took := echo(t, client, url, bytes.Repeat([]byte("0123456789abcdef"), window/4)); took < 2*far {
		t.Errorf("four windows took %s, want two round trips and more", took)
	}
	d.Set(0)
	near := &http.Client{Transport: &http.Transport{}}
	defer near.CloseIdleConnections()
	echo(t, near, url, []byte("ping"))
}

// TestDistanceCloses checks that a response arrives although its connection has been closed.
func TestDistanceCloses(t *testing.T) {
	var d Distance
	d.Set(far)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	echo(t, client, startFar(t, &d), bytes.Repeat([]byte("x"), 1<<20))
}

// TestDistanceEnds closes a connection whose client does not read.
func TestDistanceEnds(t *testing.T) {
	var d Distance
	d.Set(time.Millisecond)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := d.Link(inner)
	defer listener.Close() //nolint:errcheck // nothing is served
	client, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close() //nolint:errcheck // nothing is sent
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := conn.Write(make([]byte, 1<<20)); err != nil {
				ended <- err
				return
			}
		}
	}()
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("a closed connection could be written to")
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("a closed connection could be read from")
	}
}
