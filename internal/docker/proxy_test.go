package docker

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestNoProxyToTheEngine runs this test in a child, because a process reads the proxy's variables once. There the
// engine has a name that nothing resolves: who does not ask the proxy does not get anywhere.
func TestNoProxyToTheEngine(t *testing.T) {
	const child = "ECR2GITLAB_TEST_PROXY"
	if os.Getenv(child) != "" {
		connectWithoutDNS(t)
		return
	}
	var asked atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		http.Error(w, "the proxy knows no service", http.StatusBadGateway)
	}))
	defer proxy.Close()
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	command.Env = append(os.Environ(), child+"=1", "HTTP_PROXY="+proxy.URL, "HTTPS_PROXY="+proxy.URL, "NO_PROXY=")
	output, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "PASS") {
		t.Errorf("%v: %s", err, output)
	}
	if n := asked.Load(); n != 1 { // the request that shows that there is a proxy
		t.Errorf("the proxy is asked %d times:\n%s", n, output)
	}
}

func connectWithoutDNS(t *testing.T) {
	t.Helper()
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no DNS here")
	}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://docker:2375/_ping", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil || response.StatusCode != http.StatusBadGateway {
		t.Fatalf("there is no proxy: %v", err)
	}
	defer response.Body.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := Connect(ctx, Endpoint{Host: "tcp://docker:2375"}); err == nil || !strings.Contains(err.Error(), "lookup docker") {
		t.Errorf("got %v", err)
	}
}
