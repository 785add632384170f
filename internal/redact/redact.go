// Package redact takes secrets out of text, however they are written there.
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

// Hidden is what stands in the place of a secret.
const Hidden = "[hidden]"

// Redactor takes secrets out of what is written. The program prints none, but whoever is sent one may quote it in an
// error: a proxy that echoes a request, or AWS, whose answer to a bad signature holds what was signed. It may be used
// concurrently.
type Redactor struct {
	mu       sync.RWMutex
	forms    map[string]bool
	replacer *strings.Replacer
}

// minSecret is the shortest secret that is taken out, in bytes. GitLab masks no shorter ones either: a word of a few
// letters is in other words, too.
const minSecret = 8

// New returns a redactor that knows no secret yet.
func New() *Redactor { return &Redactor{forms: map[string]bool{}, replacer: strings.NewReplacer()} }

// Learn adds secrets to those that are taken out. Those of fewer than eight bytes are not.
func (r *Redactor) Learn(secrets ...string) {
	for _, secret := range secrets {
		secret = strings.TrimSpace(secret) // who quotes it may not quote the line end that a variable has
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

// Text returns the text with [hidden] in the place of every secret, however it is written, and with no more of a URL
// than its scheme, host and path.
func (r *Redactor) Text(text string) string { return URLs(r.hideSecrets(text)) }

func (r *Redactor) hideSecrets(text string) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.replacer.Replace(text)
}

// Writer redacts what is written to w. A secret is recognized within one write, because what prints a line prints it at
// once; a URL is recognized over several. The writer may be used concurrently.
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

// Fd is the descriptor of the file behind the writer, for whoever asks whether that is a terminal. Without a file it is
// that of none.
func (w *redactingWriter) Fd() uintptr {
	if file, ok := w.out.(interface{ Fd() uintptr }); ok {
		return file.Fd()
	}
	return ^uintptr(0)
}

// formsOf lists the ways in which a secret may be written: as it is, escaped, and in base64 at any place of a text.
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

// encodedAfter is the text in base64 after so many bytes of something else: at the end, and with more to come.
func encodedAfter(encoding *base64.Encoding, before int, text string) []string {
	encoded := encoding.EncodeToString(append(make([]byte, before), text...))
	first, last := (8*before+5)/6, 8*(before+len(text))/6 // characters that are the text's alone
	return []string{encoded[first:], encoded[first:last]}
}
