package ecr

import (
	"strings"
	"sync"
)

// Hosts holds the hosts that ECR has named for the registry: that of the token, and those of the repositories, which
// may differ (FIPS, dual-stack). It is safe for concurrent use.
type Hosts struct {
	mu    sync.Mutex
	named map[string]bool
}

// Add adds the host of a registry or repository, such as 123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app.
func (h *Hosts) Add(uri string) {
	host, _, _ := strings.Cut(uri, "/")
	if host == "" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.named == nil {
		h.named = map[string]bool{}
	}
	h.named[host] = true
}

// Has reports whether ECR has named the host.
func (h *Hosts) Has(host string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.named[host]
}
