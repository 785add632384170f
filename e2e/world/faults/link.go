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

// Link is a proxy before a registry, over which things take their time. Its zero value is ready for Announce.
type Link struct{ proxy *toxiproxy.Proxy }

// Announce starts the proxy on the registry's own IP address, by which an engine knows a registry, and returns where it
// listens. It is fast until it is told otherwise.
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

// Delay makes every round trip from now on last as long, half of it each way, up to jitter more or less.
func (l *Link) Delay(roundTrip, jitter time.Duration) error {
	return l.add(`{"type": "latency", "stream": %q, "attributes": {"latency": %d, "jitter": %d}}`,
		roundTrip.Milliseconds()/2, jitter.Milliseconds()/2)
}

// Limit lets so many thousands of bytes a second through each connection from now on, each way.
func (l *Link) Limit(kilobytes int) error {
	return l.add(`{"type": "bandwidth", "stream": %q, "attributes": {"rate": %d}}`, kilobytes)
}

// add adds a toxic, of which format has the JSON, to both directions.
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

// Close ends the proxy, if it was started.
func (l *Link) Close() {
	if l.proxy != nil {
		l.proxy.Stop()
	}
}
