package redact_test

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
)

func FuzzRedact(f *testing.F) {
	f.Add("glcbt-\"sécret\"\\ <&>%20\x1b+/", "invalid header: ", " in request")
	f.Add("correct horse battery staple", `{"username":"AWS","password":"`, `"}`)
	f.Add("eyJwYXlsb2FkIjoi//==", "AWS:", "")
	f.Add("aaaaaaaa", "aaa", "aaaaa")
	f.Add("\x00\n\r\t\"'`\\", "\x1b[0K", "")
	f.Fuzz(func(t *testing.T, secret, before, after string) {
		if secret = strings.TrimSpace(secret); len(secret) < 8 || strings.ContainsAny(secret, "[]") || !utf8.ValidString(secret) {
			return // the replacement or its neighbours would complete it
		}
		hide := redact.New()
		hide.Learn(secret)
		plain := before + secret + after
		encoded, _ := json.Marshal(map[string]string{before: secret + after})
		for _, text := range []string{
			plain, redact.Printable(plain), strconv.Quote(plain), url.QueryEscape(plain), url.Values{"password": {secret}}.Encode(), string(encoded),
		} {
			if got := hide.Text(text); strings.Contains(got, secret) || !strings.Contains(got, redact.Hidden) && redact.URLs(text) == text {
				t.Errorf("%q is written as %q", text, got)
			}
		}
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
			for _, text := range []string{plain, string(encoded)} {
				if got := hide.Text(encoding.EncodeToString([]byte(text))); !strings.Contains(got, redact.Hidden) {
					t.Errorf("%q in base64 is written as %s", text, got)
				}
			}
		}
	})
}
