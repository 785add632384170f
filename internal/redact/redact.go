// Package redact removes secrets from text, in any common encoding.
package redact

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Hidden replaces a secret.
const Hidden = "[hidden]"

// Redactor removes secrets from output. The program prints none itself, but a recipient of one may quote it in an
// error: a proxy that echoes a request, or AWS, whose answer to a bad signature contains the signed text. It is safe
// for concurrent use.
type Redactor struct {
	mu       sync.RWMutex
	forms    map[string]bool
	replacer *strings.Replacer
}

// minSecret is the minimum length of a secret that is removed, in bytes, and the same as GitLab's for masking: a
// shorter one would match parts of ordinary words.
const minSecret = 8

// New returns a redactor that does not know any secrets yet.
func New() *Redactor { return &Redactor{forms: map[string]bool{}, replacer: strings.NewReplacer()} }

// Learn adds secrets to remove. It ignores those of fewer than eight bytes.
func (r *Redactor) Learn(secrets ...string) {
	for _, secret := range secrets {
		secret = strings.TrimSpace(secret) // a quote may omit the variable's trailing newline
		if len(secret) < minSecret || r.Knows(secret) {
			continue
		}
		r.mu.Lock()
		for _, form := range formsOf(secret) {
			r.forms[form] = true
		}
		var pairs []string
		for _, form := range slices.SortedFunc(maps.Keys(r.forms), longestFirst) {
			pairs = append(pairs, form, Hidden)
		}
		r.replacer = strings.NewReplacer(pairs...)
		r.mu.Unlock()
	}
}

func longestFirst(a, b string) int { return cmp.Compare(len(b), len(a)) }

// Knows reports whether the redactor has learned the secret.
func (r *Redactor) Knows(secret string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.forms[secret]
}

// Text returns the text with every secret, in any encoding, replaced by [hidden], and with URLs reduced to scheme, host
// and path.
func (r *Redactor) Text(text string) string { return URLs(r.hideSecrets(text)) }

func (r *Redactor) hideSecrets(text string) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.replacer.Replace(text)
}

// Writer redacts what is written to w. A secret is recognized only within one write, so a line must be written at once;
// a URL is also recognized across writes. The writer is safe for concurrent use.
func (r *Redactor) Writer(w io.Writer) io.Writer { return &redactingWriter{out: w, redactor: r} }

type redactingWriter struct {
	out      io.Writer
	redactor *Redactor

	mu   sync.Mutex
	urls scanner
}

func (w *redactingWriter) Write(p []byte) (int, error) {
	text := w.redactor.hideSecrets(string(p))
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range len(text) {
		w.urls.next(text[i])
	}
	_, err := w.out.Write(w.urls.out)
	w.urls.out = w.urls.out[:0]
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// Fd returns the descriptor of the underlying file, for callers that check for a terminal. Without a file, it returns
// an invalid descriptor.
func (w *redactingWriter) Fd() uintptr {
	if file, ok := w.out.(interface{ Fd() uintptr }); ok {
		return file.Fd()
	}
	return ^uintptr(0)
}

// formsOf returns the encodings of a secret: plain, escaped, and in base64 at any offset.
func formsOf(secret string) []string {
	quoted, _ := json.Marshal(secret)
	texts := []string{
		secret, Printable(secret), url.QueryEscape(secret), url.PathEscape(secret),
		unquoted(strconv.Quote(secret)), unquoted(string(quoted)),
	}
	forms := slices.Clone(texts)
	for _, text := range slices.Compact(texts) {
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			for before := range 3 {
				forms = append(forms, encodedAfter(encoding, before, text)...)
			}
		}
	}
	return forms
}

func unquoted(text string) string { return text[1 : len(text)-1] }

// encodedAfter returns the base64 of the text after the given number of other bytes: at the end, and followed by more.
func encodedAfter(encoding *base64.Encoding, before int, text string) []string {
	encoded := encoding.EncodeToString(append(make([]byte, before), text...))
	first, last := (8*before+5)/6, 8*(before+len(text))/6 // the characters that depend only on the text
	return []string{encoded[first:], encoded[first:last]}
}
