package docker

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/containerd/errdefs/pkg/errhttp"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/client"
)

// PushDigest starts the push of a digest reference and returns its messages. The docker client rejects such references,
// and the engine's API accepts them.
func PushDigest(ctx context.Context, c *client.Client, at Endpoint, ref, auth string) (io.ReadCloser, error) {
	path := "/v" + c.ClientVersion() + "/images/" + ref + "/push"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, at.url(path), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set(registry.AuthHeader, auth)
	response, err := c.HTTPClient().Do(request)
	if err != nil {
		return nil, Lost(err, ErrEngineGone)
	}
	return response.Body, refusedAnswer(response)
}

// url returns the URL of an API path, for requests that the docker client does not make. Over a socket, any host will do.
func (at Endpoint) url(path string) string {
	target := url.URL{Scheme: "http", Host: client.DummyHost, Path: path}
	if host, err := client.ParseHostURL(at.Host); err == nil && host.Scheme != "unix" {
		target.Host, target.Path = host.Host, host.Path+path
	}
	if at.usesTLS() {
		target.Scheme = "https"
	}
	return target.String()
}

// refusedAnswer returns an error for an error status, with the engine's message and the status as its code.
func refusedAnswer(response *http.Response) error {
	if response.StatusCode < http.StatusBadRequest {
		return nil
	}
	defer response.Body.Close() //nolint:errcheck // nothing is written
	words, code := "the engine answers "+response.Status, errhttp.ToNative(response.StatusCode)
	var answer struct{ Message string }
	if err := json.NewDecoder(io.LimitReader(response.Body, maxMessage)).Decode(&answer); err == nil && answer.Message != "" {
		words += ": " + answer.Message
	}
	return coded{errors.New(words), code}
}

// coded is an error with one of the codes of cerrdefs.
type coded struct {
	error
	code error
}

func (c coded) Unwrap() error { return c.code }
