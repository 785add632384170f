package docker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func status(text string) string { return fmt.Sprintf(`{"status":%q}`, text) }

// streamError is how an engine says in a stream that it failed.
func streamError(text string) string {
	return fmt.Sprintf(`{"errorDetail":{"message":%q},"error":%q}`, text, text)
}

// streamSeeds are what engines say, and what they had better not.
var streamSeeds = []string{
	status("Digest: " + imageHash),
	status("Pushed") + "\r\n" + status("1.2: digest: "+imageHash+" size: 1234") + "\r\n",
	status("1.2: digest: "+imageHash+" size: 1234") + `{"progressDetail":{},"aux":{"Tag":"1.2","Digest":"` + imageHash + `","Size":1234}}`,
	status("1.2: digest: "+imageHash+" size: 1234") + streamError("denied: requested access to the resource is denied"),
	status("1.2: digest: " + imageHash),
	`{"status":"Unavailable","id":"e3b0c44298fc"}`,
	`{"aux":{"manifestPushedInsteadOfIndex":true,"originalIndex":{},"selectedManifest":{}}}`,
	`{"aux":{"contentMissing":true,"desc":{}}}{"aux":[1]}`,
	`{"errorDetail":{}}`,
	`{"errorDetail":{"code":401},"error":""}`,
	`{"error":"no space left on device"}null{"status":`,
	`{"error":5}`, `{"id":{}}`, `[]`, `"denied"`, ``, ` `, "\x00", `{"status":"` + "\xff" + `"}`,
	`<html>502 Bad Gateway</html>`,
}

func FuzzDrain(f *testing.F) {
	for _, seed := range streamSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		if len(stream) >= maxMessage {
			return
		}
		seen := 0
		err := Drain(bytes.NewReader(stream), func(Message) error { seen++; return nil })
		if err == nil && !allWell(stream, seen) {
			t.Errorf("%q is success after %d messages", stream, seen)
		}
		slowly := Drain(iotest.OneByteReader(bytes.NewReader(stream)), func(Message) error { return nil })
		if text(slowly) != text(err) {
			t.Errorf("read byte by byte %q says %q instead of %q", stream, text(slowly), text(err))
		}
		if err != nil {
			return
		}
		failed := Drain(bytes.NewReader(append(stream, streamError("denied")...)), func(Message) error { return nil })
		if !errors.Is(Classify(failed), ErrDenied) {
			t.Errorf("an error after %q is lost: %v", stream, failed)
		}
		cut := Drain(bytes.NewReader(append(stream, `{"status":"`...)), func(Message) error { return nil })
		if !errors.Is(cut, ErrTruncated) {
			t.Errorf("half a message after %q is taken for its end: %v", stream, cut)
		}
	})
}

// allWell reads the stream another way, and says whether it has that many messages and none of a failure.
func allWell(stream []byte, messages int) bool {
	decoder := json.NewDecoder(bytes.NewReader(stream))
	for n := 0; ; n++ {
		var m struct {
			Error       *string
			ErrorDetail json.RawMessage
		}
		if err := decoder.Decode(&m); err != nil {
			return err == io.EOF && n == messages && n > 0
		}
		if m.Error != nil && *m.Error != "" || len(m.ErrorDetail) > 0 && string(m.ErrorDetail) != "null" {
			return false
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func FuzzPushReport(f *testing.F) {
	for _, seed := range streamSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		var report PushReport
		var said []string
		err := Drain(bytes.NewReader(stream), func(m Message) error {
			said = append(said, m.Status)
			return report.See(m)
		})
		if err != nil {
			return
		}
		got, err := report.Outcome(false)
		confirmed := func(status string) bool { return strings.Contains(status, ": digest: "+string(got)+" size: ") }
		if err == nil && (got == "" || !slices.ContainsFunc(said, confirmed)) {
			t.Errorf("%q is success with %q", said, got)
		}
		if byDigest, err := report.Outcome(true); err != nil || byDigest != got || slices.Contains(said, "Unavailable") {
			t.Errorf("by digest %q is %q, %v", said, byDigest, err)
		}
	})
}

// endless says the same for ever, and counts how much of it was read.
type endless struct {
	start, text string
	read        int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.start)
	e.start = e.start[n:]
	for n < len(p) {
		n += copy(p[n:], e.text)
	}
	e.read += n
	return n, nil
}

// TestDrainBoundsAMessage: an engine that has lost its way must not take the job's memory with it.
func TestDrainBoundsAMessage(t *testing.T) {
	for name, stream := range map[string]*endless{
		"a status":     {start: `{"status":"`, text: "a"},
		"an error":     {start: `{"error":"denied`, text: " "},
		"nested lists": {start: `{"aux":`, text: "[[0],"},
		"white space":  {start: status("Pushed"), text: "\n"},
	} {
		err := Drain(stream, func(Message) error { return nil })
		if err == nil || errors.Is(err, ErrTruncated) || stream.read > 4*maxMessage {
			t.Errorf("%s: %v, after %d bytes", name, err, stream.read)
		}
	}
	long := status(strings.Repeat("a", maxMessage/2))
	seen := 0
	if err := Drain(strings.NewReader(strings.Repeat(long, 5)), func(Message) error { seen++; return nil }); err != nil || seen != 5 {
		t.Errorf("five long messages: %d, %v", seen, err)
	}
}
