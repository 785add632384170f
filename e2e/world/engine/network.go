package engine

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
)

// Subnet holds the addresses at which containers, and an engine with Bridge itself, reach this machine. It is reserved
// for network tests (RFC 2544), so few machines use it.
var Subnet = netip.MustParsePrefix("198.18.0.0/15")

// network connects an engine's network namespace, with the bridges and firewall rules that the engine creates there, to
// this machine's: a veth pair, without a route to anywhere else. The kernel removes it with the namespace.
type network struct {
	name   string // of the interface on this side
	prefix netip.Prefix
}

const hostAddrs = 2

// newNetwork takes a part of Subnet that no interface uses.
func newNetwork() (*network, error) {
	taken, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for {
		n := randomNetwork()
		if !n.has(taken) {
			return n, nil
		}
	}
}

func randomNetwork() *network {
	id := rand.Uint32N(1<<14) << 3 // one of the /29s in a /15
	first := Subnet.Addr().As4()
	binary.BigEndian.PutUint32(first[:], binary.BigEndian.Uint32(first[:])+id)
	return &network{name: fmt.Sprintf("engine%05x", id), prefix: netip.PrefixFrom(netip.AddrFrom4(first), 29)}
}

func (n *network) has(addrs []net.Addr) bool {
	for _, addr := range addrs {
		prefix, err := netip.ParsePrefix(addr.String())
		if err == nil && n.prefix.Contains(prefix.Addr()) {
			return true
		}
	}
	return false
}

// addr returns the i-th address of the network, counted from 1.
func (n *network) addr(i int) netip.Addr {
	addr := n.prefix.Addr()
	for range i {
		addr = addr.Next()
	}
	return addr
}

// hosts returns the addresses on this side.
func (n *network) hosts() []string {
	var hosts []string
	for i := range hostAddrs {
		hosts = append(hosts, n.addr(i+1).String())
	}
	return hosts
}

// connect creates the link between this machine and the namespace of the process.
func (n *network) connect(pid int) error {
	n.disconnect()
	inside := []string{"nsenter", "--net", "--target", strconv.Itoa(pid)}
	engine := n.addr(hostAddrs + 1).String()
	for _, command := range [][]string{
		{"ip", "link", "add", n.name, "type", "veth", "peer", "name", "eth0", "netns", strconv.Itoa(pid)},
		{"ip", "address", "add", n.hosts()[0] + "/29", "dev", n.name},
		{"ip", "address", "add", n.hosts()[1] + "/29", "dev", n.name},
		{"ip", "link", "set", n.name, "up"},
		append(inside, "ip", "address", "add", engine+"/29", "dev", "eth0"),
		append(inside, "ip", "link", "set", "eth0", "up"),
		append(inside, "ip", "link", "set", "lo", "up"),
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, out)
		}
	}
	return nil
}

// disconnect removes the link now. The kernel, which removes it with the namespace, may take a while.
func (n *network) disconnect() {
	exec.Command("ip", "link", "delete", n.name).Run() //nolint:errcheck // fails where it is gone already
}
