package ecr

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	smithytime "github.com/aws/smithy-go/time"
)

const (
	// bucketTimeout limits the requests for one byte, because the bucket may be unreachable.
	bucketTimeout = 30 * time.Second
	// bucketAttempts is the SDK's default for S3.
	bucketAttempts = 3
	// maxProblem limits what is read of an error response, in bytes.
	maxProblem = 64 << 10
)

// Buckets tries to read a layer from each bucket, once per bucket. It is safe for concurrent use.
type Buckets struct {
	Retryer aws.Retryer // decides after which errors to try again, and when; nil: never

	mu    sync.Mutex
	tried map[string]error // by host
}

// Read reads the first byte of a layer from its signed URL, unless it has already tried the host, and returns the host.
// Its error shows nothing else of the URL, which is as good as a credential.
func (b *Buckets) Read(ctx context.Context, client aws.HTTPClient, signed string) (host string, err error) {
	address, err := url.Parse(signed)
	if err != nil || address.Host == "" {
		return "", bucketError("ECR's URL of a layer", errors.New("it is not a URL"), "")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	err, known := b.tried[address.Host]
	if !known {
		err = b.readFirstByte(ctx, client, address)
		if b.tried == nil {
			b.tried = map[string]error{}
		}
		b.tried[address.Host] = err
	}
	return address.Host, err
}

// readFirstByte tries again if the bucket, or the way there, has a problem that may pass.
func (b *Buckets) readFirstByte(ctx context.Context, client aws.HTTPClient, signed *url.URL) error {
	ctx, cancel := context.WithTimeout(ctx, bucketTimeout)
	defer cancel()
	for attempt := 1; ; attempt++ {
		err := tryFirstByte(ctx, client, signed)
		if err == nil || attempt == bucketAttempts || b.Retryer == nil || !b.Retryer.IsErrorRetryable(err) {
			return err
		}
		delay, noDelay := b.Retryer.RetryDelay(attempt, err)
		if noDelay != nil || smithytime.SleepWithContext(ctx, delay) != nil {
			return err
		}
	}
}

func tryFirstByte(ctx context.Context, client aws.HTTPClient, signed *url.URL) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, signed.String(), nil)
	if err != nil {
		return bucketError(signed.Host, errors.New("ECR's URL of a layer is not a URL"), "")
	}
	request.Header.Set("Range", "bytes=0-0")
	answer, err := client.Do(request)
	if err != nil {
		return bucketError(signed.Host, connectionError{withoutURL(err)},
			"the job must be able to reach it: check its proxy (HTTPS_PROXY, NO_PROXY) and the S3 endpoint of its VPC")
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusPartialContent {
		return refusedBy(signed.Host, answer)
	}
	if _, err := io.ReadFull(answer.Body, make([]byte, 1)); err != nil {
		return bucketError(signed.Host, connectionError{fmt.Errorf("the layer's first byte did not arrive: %w", err)}, "")
	}
	return nil
}

// connectionError is the error of a connection, as retryers know it.
type connectionError struct{ error }

// ConnectionError is what retryers ask for.
func (e connectionError) ConnectionError() bool { return !errors.Is(e.error, context.Canceled) }

func (e connectionError) Unwrap() error { return e.error }

// statusError is an error response, as retryers know it.
type statusError struct {
	status int
	words  string
}

// HTTPStatusCode is what retryers ask for.
func (e statusError) HTTPStatusCode() int { return e.status }

func (e statusError) Error() string { return e.words }

func bucketError(host string, err error, remedy string) *Error {
	return NewError("read a layer from "+host, err, remedy)
}

// withoutURL returns the cause of a failed request. The whole error would quote the URL.
func withoutURL(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

// refusedBy describes the bucket's error response, in its own words if it has any.
func refusedBy(host string, answer *http.Response) *Error {
	var problem struct{ Code, Message string }
	_ = xml.NewDecoder(io.LimitReader(answer.Body, maxProblem)).Decode(&problem) // a proxy's response has neither
	words := answer.Status
	if problem.Code != "" {
		words += ": " + problem.Code + ": " + problem.Message
	}
	remedy := ""
	switch {
	case answer.StatusCode == http.StatusForbidden && problem.Code != "":
		remedy = LayerBucketRemedy(host)
	case answer.StatusCode == http.StatusForbidden, answer.StatusCode == http.StatusProxyAuthRequired:
		remedy = "the answer is not the bucket's, but that of a proxy or firewall in front of it: allow requests to " + host + " there"
	}
	return bucketError(host, statusError{answer.StatusCode, words}, remedy)
}
