package engine

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// etc is an engine's view of /etc: the machine's own files, with further names in hosts and the registries' certificates
// in docker/certs.d. It is mounted in the engine's mount namespace only and leaves the machine unchanged.
type etc struct{ overlay, certs string }

// newEtc creates both below dir. Certificates can be added while the engine runs.
func newEtc(dir string, hosts map[string]string) (*etc, error) {
	e := &etc{overlay: filepath.Join(dir, "etc"), certs: filepath.Join(dir, "certs.d")}
	for _, folder := range []string{filepath.Join(e.overlay, "docker", "certs.d"), e.certs} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, err
		}
	}
	// Bind mounts on files in /etc, as in a container, are not visible through an overlay.
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

// hostLines formats hosts as lines of /etc/hosts.
func hostLines(hosts map[string]string) string {
	var lines strings.Builder
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		fmt.Fprintf(&lines, "\n%s %s", hosts[name], name)
	}
	return lines.String() + "\n"
}

// mounts returns the commands that mount the engine's own, read-only /etc.
func (e *etc) mounts() []string {
	return []string{
		fmt.Sprintf("mount -t overlay overlay -o lowerdir=%s:/etc /etc", e.overlay),
		fmt.Sprintf("mount --bind %s /etc/docker/certs.d", e.certs),
	}
}

// Trust makes the engine trust certificates that the authority has signed for a registry (host:port), from its next call
// on. authority is the authority's certificate in PEM.
func (e *Engine) Trust(registry string, authority []byte) error {
	dir := filepath.Join(e.etc.certs, registry)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "ca.crt"), authority, 0o644)
}
