package redact_test

import (
	"bytes"
	"encoding/json"
	"html"
	"io"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
)

const (
	bucketURL = "https://prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com/1a2b-123456789012/layer"
	signature = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ASIAEXAMPLE%2F20261128&X-Amz-Security-Token=IQoJb3Jp&X-Amz-Signature=0123abcd"
	signed    = bucketURL + "?" + signature
)

func TestURLs(t *testing.T) {
	quoted, _ := json.Marshal(`Get "` + signed + `": EOF`)
	twice, _ := json.Marshal(string(quoted))
	for text, want := range map[string]string{
		`Get "` + signed + `": EOF`:                                    `Get "` + bucketURL + `": EOF`,
		"unexpected status from GET request to " + signed + ": 403":    "unexpected status from GET request to " + bucketURL + ": 403",
		"(" + signed + ") refused":                                     "(" + bucketURL + ") refused",
		"two: " + signed + ", " + signed + "\n":                        "two: " + bucketURL + ", " + bucketURL + "\n",
		string(quoted):                                                 `"Get \"` + bucketURL + `\": EOF"`,
		string(twice):                                                  `"\"Get \\\"` + bucketURL + `\\\": EOF\""`,
		strings.ReplaceAll(signed, "/", `\/`) + ` "x"`:                 strings.ReplaceAll(bucketURL, "/", `\/`) + ` "x"`,
		"<a href=\"" + html.EscapeString(signed) + "\">":               "<a href=\"" + bucketURL + "\">",
		"<CanonicalRequest>GET\n/layer\n" + signature + "\nhost</C>":   "<CanonicalRequest>GET\n/layer\nX-Amz-Algorithm=\nhost</C>",
		"redirect=" + url.QueryEscape(signed) + " failed":              "redirect=https%3A%2F%2Fprod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com%2F1a2b-123456789012%2Flayer%3FX-Amz-Algorithm= failed",
		"GET /v2/app/blobs/uploads/?_state=abc HTTP/1.1":               "GET /v2/app/blobs/uploads/ HTTP/1.1",
		"GET /jwt/auth?scope=repository:app:pull&service=x: 403":       "GET /jwt/auth: 403",
		"https://user:secret-word@registry.example.com:5050/v2/ fails": "https://registry.example.com:5050/v2/ fails",
		"see https://docs.example.com/page#part":                       "see https://docs.example.com/page",
		// not a URL, not a query: unchanged
		"no Docker Engine answers at tcp://docker:2375": "no Docker Engine answers at tcp://docker:2375",
		"is it unix:///var/run/docker.sock? perhaps":    "is it unix:///var/run/docker.sock perhaps",
		"why? because x=1; team/app@sha256:12=34":       "why? because x=1; team/app@sha256:12=34",
		"\x1b[?25l\x1b[2Kdone?\n":                       "\x1b[?25l\x1b[2Kdone?\n",
		"what??":                                        "what??",
		"":                                              "",
	} {
		if got := redact.URLs(text); got != want {
			t.Errorf("%q\nbecomes %q\nwant    %q", text, got, want)
		}
	}
}

// FuzzURLs puts a signed URL into arbitrary text, escapes, truncates and splits it over writes, and looks for the
// signature.
func FuzzURLs(f *testing.F) {
	f.Add("Get \"", "\": EOF", []byte("0123456789"), uint16(90))
	f.Add("<Error>", "</Error>", []byte("\x00"), uint16(3))
	f.Add("?", " ", []byte{}, uint16(130))
	f.Add("https://", "\n", []byte("abcdefgh"), uint16(200))
	f.Fuzz(func(t *testing.T, before, after string, key []byte, at uint16) {
		secret := "sig0" + strings.ToLower(url.QueryEscape(string(key))) + "0gis"
		if strings.Contains(before, secret) || strings.Contains(after, secret) || strings.ContainsAny(secret, "%+") {
			return
		}
		text := before + bucketURL + "?X-Amz-Security-Token=" + secret + "&X-Amz-Date=1&X-Amz-Signature=" + secret + after
		quoted, _ := json.Marshal(text)
		twice, _ := json.Marshal(string(quoted))
		for _, form := range []string{text, string(quoted), string(twice), strconv.Quote(text), html.EscapeString(text)} {
			cut := int(at) % (len(form) + 1)
			for _, part := range []string{form, form[:cut]} {
				if got := redact.URLs(part); strings.Contains(got, secret) || strings.Contains(got, "sig0") && !strings.Contains(before, "sig0") && !strings.Contains(after, "sig0") {
					t.Errorf("%q\nbecomes %q", part, got)
				}
			}
			if got := writtenIn(form[:cut], form[cut:]); strings.Contains(got, secret) {
				t.Errorf("%q | %q\nbecomes %q", form[:cut], form[cut:], got)
			}
		}
	})
}

// writtenIn returns the output of writing the parts one by one.
func writtenIn(parts ...string) string {
	var out bytes.Buffer
	w := redact.New().Writer(&out)
	for _, part := range parts {
		_, _ = io.WriteString(w, part)
	}
	return out.String()
}

// TestWriterRecognizesURLsOverWrites splits a line at every position.
func TestWriterRecognizesURLsOverWrites(t *testing.T) {
	line, want := `cannot get "`+signed+`": 403`+"\n", `cannot get "`+bucketURL+`": 403`+"\n"
	for i := range line {
		if got := writtenIn(line[:i], line[i:]); got != want {
			t.Fatalf("%q | %q\nbecomes %q", line[:i], line[i:], got)
		}
	}
}
