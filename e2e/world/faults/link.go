package faults

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// Link is a proxy in front of a registry that simulates a slow network. Its zero value is ready for Announce.
type Link struct{ proxy *toxiproxy.Proxy }

// Announce starts the proxy on the registry's own IP address, because engines identify a registry by it, and returns
// its listening address. It is fast until configured otherwise.
func (l *Link) Announce(registry string) (string, error) {
	host, _, err := net.SplitHostPort(registry)
	if err != nil {
		return "", err
	}
	zerolog.SetGlobalLevel(zerolog.WarnLevel) // some toxics have no other logger
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	l.proxy = toxiproxy.NewProxy(server, registry, net.JoinHostPort(host, "0"), registry)
	if err := l.proxy.Start(); err != nil {
		return "", fmt.Errorf("proxy before %s: %w", registry, err)
	}
	return l.proxy.Listen, nil
}

// Delay sets the round-trip time from now on, half of it in each direction, with the given jitter.
func (l *Link) Delay(roundTrip, jitter time.Duration) error {
	return l.add(`{"type": "latency", "stream": %q, "attributes": {"latency": %d, "jitter": %d}}`,
		roundTrip.Milliseconds()/2, jitter.Milliseconds()/2)
}

// Limit sets the bandwidth of each connection from now on, in kB/s in each direction.
func (l *Link) Limit(kilobytes int) error {
	return l.add(`{"type": "bandwidth", "stream": %q, "attributes": {"rate": %d}}`, kilobytes)
}

// add adds a toxic to both directions. format contains its JSON.
func (l *Link) add(format string, attributes ...any) error {
	for _, direction := range []string{"upstream", "downstream"} {
		toxic := fmt.Sprintf(format, append([]any{direction}, attributes...)...)
		if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			return fmt.Errorf("proxy: %w", err)
		}
	}
	return nil
}

// Restore makes the link fast again.
func (l *Link) Restore(ctx context.Context) { l.proxy.Toxics.ResetToxics(ctx) }

// Close stops the proxy, if it was started.
func (l *Link) Close() {
	if l.proxy != nil {
		l.proxy.Stop()
	}
}
