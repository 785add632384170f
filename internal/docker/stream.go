package docker

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/opencontainers/go-digest"
)

// Message is one of the messages that an engine streams while it pulls, pushes or loads.
type Message struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	Progress struct {
		Current, Total int64
		Units          string
	} `json:"progressDetail"`
	Error       string                    `json:"error"`
	ErrorDetail *struct{ Message string } `json:"errorDetail"`
	Aux         json.RawMessage           `json:"aux"`
}

// failure returns the message's error, which engines put into either field or both, or the empty string.
func (m Message) failure() string {
	if m.ErrorDetail == nil {
		return m.Error
	}
	return cmp.Or(m.ErrorDetail.Message, m.Error, "the engine failed without saying why")
}

// ErrTruncated is returned for a stream that ends early. Without a check for its last message, it would look like a success.
var ErrTruncated = Failure("the engine's answer ended before it reported success", ErrBrokenOff)

// maxMessage limits the size of one message, in bytes. Real ones hold a line of text or a few descriptors.
const maxMessage = 1 << 20

var errMessageTooLong = fmt.Errorf("the engine's answer holds a message of more than %d bytes", maxMessage)

// Drain reads the stream to its end and passes each message to see. It returns the first error in the stream, which is not
// classified, or the first error of see.
func Drain(stream io.Reader, see func(Message) error) error {
	limited := &io.LimitedReader{R: stream}
	decoder := json.NewDecoder(limited)
	for read := 0; ; read++ {
		limited.N = maxMessage
		var m Message // declared here, so that an absent field does not keep its last value
		err := decoder.Decode(&m)
		switch {
		case err != nil && limited.N == 0:
			return errMessageTooLong
		case err == io.EOF && read > 0:
			return nil
		case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
			return ErrTruncated
		case err != nil:
			return Lost(err, ErrBrokenOff)
		case m.failure() != "":
			return errors.New(m.failure())
		}
		if err := see(m); err != nil {
			return err
		}
	}
}

// PushReport collects the result of a push from its messages.
type PushReport struct{ digest digest.Digest }

// pushedLine is the last line of a push, on both stores: "1.2: digest: sha256:… size: 1234".
var pushedLine = regexp.MustCompile(`^\S+: digest: (\S+) size: [0-9]+$`)

// Content that an engine lacks will still be missing in a retry, so such a push is not simply repeated.
var (
	errMissing = Failure("the engine misses content of the image", ErrInvalid)
	errInstead = Failure("the engine misses content of the image, and pushed one manifest instead of the index", ErrInvalid)
)

// See returns an error as soon as the engine pushes less than the reference names. If the caller then stops reading, the
// engine stops the push. An engine whose store lacks a blob of an index reports layers as unavailable, and then pushes the
// manifest of one platform, or never ends.
func (r *PushReport) See(m Message) error {
	if match := pushedLine.FindStringSubmatch(m.Status); match != nil {
		r.digest = digest.Digest(match[1])
	}
	var aux struct {
		ManifestPushedInsteadOfIndex bool `json:"manifestPushedInsteadOfIndex"`
		ContentMissing               bool `json:"contentMissing"`
	}
	_ = json.Unmarshal(m.Aux, &aux) // most messages have none, and the classic store's has other fields
	switch {
	case aux.ManifestPushedInsteadOfIndex:
		return errInstead
	case aux.ContentMissing || m.Status == "Unavailable":
		return errMissing
	}
	return nil
}

// Outcome returns the digest that was pushed. A push by digest does not report one.
func (r *PushReport) Outcome(byDigest bool) (digest.Digest, error) {
	if r.digest == "" && !byDigest {
		return "", ErrTruncated
	}
	return r.digest, nil
}
