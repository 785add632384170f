package docker

import (
	"strings"
	"testing"
)

// The remedy is about the engine's variables, and names them.
func TestReachRemedy(t *testing.T) {
	for proxied, want := range map[bool]string{false: "it has no proxy", true: "can reach registry.example.com"} {
		got := ReachRemedy("registry.example.com", proxied)
		for _, part := range []string{want, "HTTPS_PROXY", "NO_PROXY", "docker:dind service"} {
			if !strings.Contains(got, part) {
				t.Errorf("with a proxy: %t: %q is missing in %s", proxied, part, got)
			}
		}
	}
}
