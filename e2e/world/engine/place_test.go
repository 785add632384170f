package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"
)

// transferFrom, if set, makes the test binary receive and send transferred bytes over a connection to this address.
const transferFrom = "ENGINE_TEST_TRANSFER_FROM"

// transferred is the number of bytes in each direction, one after the other.
const transferred = 4 << 20

func transfer() {
	conn, err := net.Dial("tcp", os.Getenv(transferFrom))
	if err == nil {
		_, err = io.CopyN(io.Discard, conn, transferred)
	}
	if err == nil {
		_, err = conn.Write(make([]byte, transferred))
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// serveTransfer returns how long the two directions took: until the client had received everything, as its first byte in
// return shows, and until everything from it had arrived.
func serveTransfer(listener net.Listener) (down, up time.Duration, err error) {
	conn, err := listener.Accept()
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close() //nolint:errcheck // everything has arrived
	started := time.Now()
	if _, err := conn.Write(make([]byte, transferred)); err != nil {
		return 0, 0, err
	}
	if _, err := io.CopyN(io.Discard, conn, 1); err != nil {
		return 0, 0, err
	}
	received := time.Now()
	_, err = io.CopyN(io.Discard, conn, transferred-1)
	return received.Sub(started), time.Since(received), err
}

// TestPlace runs commands in a network of their own, with and without a limit.
func TestPlace(t *testing.T) {
	for _, rate := range []int64{0, 40e6} {
		t.Run(fmt.Sprintf("%d Mbit/s", rate/1e6), func(t *testing.T) {
			p, err := StartPlace(PlaceOptions{Rate: rate, Hosts: func(hostAddrs []string) map[string]string {
				return map[string]string{"server.example": hostAddrs[1]}
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := p.Close(); err != nil {
					t.Error(err)
				}
			}()
			checkTransfer(t, p, rate)
		})
	}
}

// checkTransfer checks that a limit holds, however busy the machine is, and that the network is of use.
func checkTransfer(t *testing.T, p *Place, rate int64) {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(p.HostAddrs[1], "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // nothing is left
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	context.AfterFunc(ctx, func() { listener.Close() }) //nolint:errcheck // ends Accept
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), transferFrom+"="+net.JoinHostPort("server.example", port))
	cmd.Stdout, cmd.Stderr = &output, &output
	p.Enter(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	down, up, err := serveTransfer(listener)
	if waitErr := cmd.Wait(); err != nil || waitErr != nil {
		t.Fatalf("%v, %v: %s", err, waitErr, &output)
	}
	t.Logf("%d bytes in %s and %s", transferred, down, up)
	if rate == 0 {
		return
	}
	// The first bytes pass at once, as far as the burst allows.
	ideal := time.Duration(float64(transferred*8) / float64(rate) * float64(time.Second))
	for _, took := range []time.Duration{down, up} {
		if took < ideal*95/100 {
			t.Errorf("it took %s, want %s", took, ideal)
		}
	}
}
