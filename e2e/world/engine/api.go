package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
)

func (e *Engine) version(ctx context.Context) (string, error) {
	var answer struct{ Version string }
	err := e.get(ctx, "/version", &answer)
	return answer.Version, err
}

// get makes a GET request to the engine's API over its socket.
func (e *Engine) get(ctx context.Context, path string, answer any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine"+path, nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{DialContext: e.dial, DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // nothing is written
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, response.Status)
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

func (e *Engine) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, "unix", strings.TrimPrefix(e.Host, "unix://"))
}
