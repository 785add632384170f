package bench

import (
	"fmt"
	"net"
	"strings"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// link is a proxy before a registry, over which a round trip takes its time: half of it each way, without jitter.
type link struct{ proxy *toxiproxy.Proxy }

// announce starts the proxy on the registry's own IP address, by which an engine knows a registry, and returns where it
// listens.
func (l *link) announce(registry string) (string, error) {
	host, _, err := net.SplitHostPort(registry)
	if err != nil {
		return "", err
	}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	l.proxy = toxiproxy.NewProxy(server, registry, net.JoinHostPort(host, "0"), registry)
	if err := l.proxy.Start(); err != nil {
		return "", fmt.Errorf("proxy before %s: %w", registry, err)
	}
	return l.proxy.Listen, nil
}

// slowDown makes every round trip from now on last as long.
func (l *link) slowDown(roundTrip time.Duration) error {
	for _, direction := range []string{"upstream", "downstream"} {
		toxic := fmt.Sprintf(`{"type": "latency", "stream": %q, "attributes": {"latency": %d, "jitter": 0}}`,
			direction, roundTrip.Milliseconds()/2)
		if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			return fmt.Errorf("proxy: %w", err)
		}
	}
	return nil
}

// close ends the proxy, if it was started.
func (l *link) close() {
	if l.proxy != nil {
		l.proxy.Stop()
	}
}
