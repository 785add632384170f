package engine

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// etc is what an engine sees in /etc beside the machine's own files: names of its own in hosts, and the registries'
// certificates in docker/certs.d. Both are mounted in its mount namespace alone, and leave the machine as it is.
type etc struct{ overlay, certs string }

// newEtc makes both below dir. The folder of certificates can be filled while the engine runs.
func newEtc(dir string, hosts map[string]string) (*etc, error) {
	e := &etc{overlay: filepath.Join(dir, "etc"), certs: filepath.Join(dir, "certs.d")}
	for _, folder := range []string{filepath.Join(e.overlay, "docker", "certs.d"), e.certs} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, err
		}
	}
	// What is mounted over files of /etc, as in a container, is not seen through an overlay.
	for _, name := range []string{"hosts", "resolv.conf"} {
		file, err := os.ReadFile(filepath.Join("/etc", name))
		if err != nil {
			return nil, err
		}
		if name == "hosts" {
			file = append(file, hostLines(hosts)...)
		}
		if err := os.WriteFile(filepath.Join(e.overlay, name), file, 0o644); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// hostLines are hosts as in /etc/hosts.
func hostLines(hosts map[string]string) string {
	var lines strings.Builder
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		fmt.Fprintf(&lines, "\n%s %s", hosts[name], name)
	}
	return lines.String() + "\n"
}

// mounts are the commands that show the engine its own /etc, which nobody can write to.
func (e *etc) mounts() []string {
	return []string{
		fmt.Sprintf("mount -t overlay overlay -o lowerdir=%s:/etc /etc", e.overlay),
		fmt.Sprintf("mount --bind %s /etc/docker/certs.d", e.certs),
	}
}

// Trust has the engine trust a registry, host:port, whose certificate the authority has signed, from its next call on.
// The authority's certificate is PEM.
func (e *Engine) Trust(registry string, authority []byte) error {
	dir := filepath.Join(e.etc.certs, registry)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "ca.crt"), authority, 0o644)
}
