package docker

import (
	"errors"
	"strings"
	"testing"
)

// A registry that answers is not out of reach, whatever it says.
func TestIsUnreachable(t *testing.T) {
	for _, test := range []struct {
		words string
		want  bool
	}{
		{`Get "https://registry.example.com/v2/": dial tcp 192.0.2.1:443: connect: no route to host`, true},
		{`Get "https://registry.example.com/v2/": dial tcp: lookup registry.example.com on 192.0.2.53:53: no such host`, true},
		{`Get "https://registry.example.com/v2/": dial tcp: lookup registry.example.com: Temporary failure in name resolution`, true},
		{`Get "https://registry.example.com/v2/": dial tcp 192.0.2.1:443: i/o timeout`, true},
		{`Get "https://registry.example.com/v2/": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)`, true},
		{`Get "https://registry.example.com/v2/": proxyconnect tcp: dial tcp 192.0.2.2:3128: connect: connection refused`, true},
		{`Get "https://registry.example.com/v2/": Bad Gateway`, true},
		{`Get "https://registry.example.com/v2/": Service Unavailable`, true},
		{`Get "https://registry.example.com/v2/": Forbidden`, false},
		{`Get "https://registry.example.com/v2/": EOF`, false},
		{"received unexpected HTTP status: 502 Bad Gateway", false},
		{"unexpected status from GET request to https://registry.example.com/v2/: 503 Service Unavailable", false},
		{"unauthorized: HTTP Basic: Access denied", false},
	} {
		if got := IsUnreachable(Classify(errors.New(test.words))); got != test.want {
			t.Errorf("%s\nis out of reach: %t", test.words, got)
		}
	}
}

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
