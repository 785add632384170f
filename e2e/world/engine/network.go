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
	"sync"
)

// Subnet holds the addresses at which engines with a network of their own, and their containers, reach this machine. It is
// reserved for network tests (RFC 2544), so few machines use it.
var Subnet = netip.MustParsePrefix("198.18.0.0/15")

// network connects an engine's network namespace, with the bridges and firewall rules that the engine creates there, to
// this machine's: a veth pair, without a route to other machines. The kernel removes it with the namespace.
type network struct {
	name   string // of the interface on this side
	prefix netip.Prefix
	shared bool // the engine also reaches this machine at the addresses of other engines' networks
	rate   int64

	confined bool // the engine reaches only the last address of this machine
}

// hostAddrs is the number of addresses on the host's side of the link, out of six. The sixth is the engine's.
const hostAddrs = 5

// chosen has the prefixes that this process has used, or is about to.
var chosen sync.Map

// newNetwork takes a part of Subnet that no interface uses.
func newNetwork() (*network, error) {
	taken, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for {
		n := randomNetwork()
		if _, again := chosen.LoadOrStore(n.prefix, true); !again && !n.has(taken) {
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
	for _, command := range n.commands(strconv.Itoa(pid)) {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, out)
		}
	}
	return nil
}

// commands returns what connects the namespace of the process. This machine answers at any of its addresses, on whichever
// interface it is asked for them.
func (n *network) commands(pid string) [][]string {
	commands := [][]string{{"ip", "link", "add", n.name, "type", "veth", "peer", "name", "eth0", "netns", pid}}
	for _, host := range n.hosts() {
		commands = append(commands, []string{"ip", "address", "add", host + "/29", "dev", n.name})
	}
	inside := func(command ...string) []string {
		return append([]string{"nsenter", "--net", "--target", pid, "ip"}, command...)
	}
	commands = append(commands,
		[]string{"ip", "link", "set", n.name, "up"},
		inside("address", "add", n.addr(hostAddrs+1).String()+"/29", "dev", "eth0"),
		inside("link", "set", "eth0", "up"),
		inside("link", "set", "lo", "up"),
	)
	if n.shared {
		commands = append(commands, inside("route", "add", Subnet.String(), "via", n.hosts()[0]))
	}
	if n.rate > 0 {
		commands = append(commands, n.limit(n.name)...)
		for _, command := range n.limit("eth0") {
			commands = append(commands, append([]string{"nsenter", "--net", "--target", pid}, command...))
		}
	}
	if n.confined {
		for _, host := range n.hosts()[:hostAddrs-1] {
			commands = append(commands, inside("route", "add", "unreachable", host))
		}
	}
	return commands
}

// limit returns the commands that limit what an interface sends.
func (n *network) limit(device string) [][]string {
	rate := fmt.Sprintf("%dbit", n.rate)
	return [][]string{
		// The kernel passes data of a connection on in segments of this size at most, whose order others can interleave with.
		{"ip", "link", "set", device, "gso_max_size", strconv.Itoa(segment)},
		{"tc", "qdisc", "add", "dev", device, "root", "handle", "1:", "htb", "default", "1"},
		{"tc", "class", "add", "dev", device, "parent", "1:", "classid", "1:1", "htb", "rate", rate, "burst", strconv.Itoa(4 * segment), "cburst", strconv.Itoa(4 * segment)},
		{"tc", "qdisc", "add", "dev", device, "parent", "1:1", "handle", "10:", "bfifo", "limit", strconv.FormatInt(n.rate/8/1000*queue, 10)},
	}
}

const (
	segment = 16 << 10 // bytes
	queue   = 100      // ms
)

// disconnect removes the link now. The kernel, which removes it with the namespace, may take a while.
func (n *network) disconnect() {
	exec.Command("ip", "link", "delete", n.name).Run() //nolint:errcheck // fails where it is gone already
}
