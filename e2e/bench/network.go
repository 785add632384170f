package bench

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// Network is what lies between the clients and the servers: the registries with their token services, bucket and object
// storage, and AWS's API.
type Network struct {
	// TLS puts the token service and the object storage of GitLab on hosts of their own, too, as on GitLab.com. Without, all
	// servers use plain HTTP.
	TLS bool

	// RoundTrip is what faults.Distance simulates, with the limits described there.
	RoundTrip time.Duration

	// Rate limits the contender's network to so many Mbit/s in each direction, for all of its connections; 0: no limit.
	Rate int
}

var networkName = regexp.MustCompile(`^(plain|tls)(\d{0,4})(?:-(\d{1,5}))?$`)

// ParseNetwork parses names such as plain, tls30 (30 ms), and tls30-100 (100 Mbit/s).
func ParseNetwork(name string) (Network, error) {
	parts := networkName.FindStringSubmatch(name)
	if parts == nil {
		return Network{}, fmt.Errorf("there is no network %q; a name is plain or tls, the round trip in ms, and after a dash the rate in Mbit/s", name)
	}
	milliseconds, _ := strconv.Atoi(parts[2]) // absent, or digits
	rate, _ := strconv.Atoi(parts[3])
	return Network{parts[1] == "tls", time.Duration(milliseconds) * time.Millisecond, rate}, nil
}

// The networks for which there are targets, and the servers' own speed.
var (
	usual   = Network{TLS: true, RoundTrip: 30 * time.Millisecond}
	slow    = Network{TLS: true, RoundTrip: 30 * time.Millisecond, Rate: 100}
	quick   = Network{TLS: true, RoundTrip: 30 * time.Millisecond, Rate: 400}
	instant = Network{}
)

// DefaultNetworks are those of the tables in docs/performance.md.
func DefaultNetworks() []Network { return []Network{usual, slow, quick, instant} }

// String returns the name that ParseNetwork parses.
func (n Network) String() string {
	name := "plain"
	if n.TLS {
		name = "tls"
	}
	if n.RoundTrip > 0 {
		name += strconv.FormatInt(n.RoundTrip.Milliseconds(), 10)
	}
	if n.Rate > 0 {
		name += "-" + strconv.Itoa(n.Rate)
	}
	return name
}

// title describes the network above a table.
func (n Network) title() string {
	title := "Plain HTTP"
	if n.TLS {
		title = "TLS"
	}
	if n.RoundTrip > 0 {
		title += fmt.Sprintf(", round trip of %d ms", n.RoundTrip.Milliseconds())
	}
	if n.Rate > 0 {
		title += fmt.Sprintf(", %d Mbit/s in each direction", n.Rate)
	}
	return title
}

// bits returns the rate in bit/s; 0: no limit.
func (n Network) bits() int64 { return int64(n.Rate) * 1e6 }

// seconds returns how long the network itself takes for so many bytes, which pass it in each direction once; 0: it has no
// limit.
func (n Network) seconds(bytes int64) float64 {
	if n.Rate == 0 {
		return 0
	}
	return float64(bytes) * 8 / float64(n.bits())
}
