package redact

import (
	"bytes"
	"strings"
)

// URLs returns the text with every URL in it reduced to scheme, host and path: a query can contain a signature, and
// user information a password. Query strings without a URL, and S3's signature parameters anywhere in the text (an S3
// error quotes the request that it rejects), are removed as well. The text may be escaped as JSON, as a Go string or as
// HTML, and it may be truncated anywhere.
func URLs(text string) string {
	if !strings.ContainsAny(text, ":?=%") {
		return text
	}
	s := scanner{out: make([]byte, 0, len(text))}
	for i := range len(text) {
		s.next(text[i])
	}
	s.flush()
	return string(s.out)
}

// scanner copies text to out byte by byte, without what URLs removes.
type scanner struct {
	out   []byte
	state scanState
	// held is input whose fate is undecided: it is either copied or removed.
	held []byte
	// seen is the end of the text so far, long enough to recognize the start of a URL.
	seen []byte
	// dropped is the last byte that was removed.
	dropped byte
}

type scanState int

const (
	inText      scanState = iota
	inAuthority           // after "://"; held is the authority so far
	inPath                // in a URL
	inQuery               // in a URL or alone: removed
	inEscape              // after backslashes in a query, which are held
	inName                // after a "?" in text; held is that and a possible parameter name
)

// signaturePrefix is the prefix of the parameters that sign an S3 URL, in lower case (Amazon S3 API Reference,
// "Authenticating Requests: Using Query Parameters").
const signaturePrefix = "x-amz-"

// seenBytes is twice the length of the longest of those names, X-Amz-SignedHeaders.
const seenBytes = 40

// next processes one byte of the text.
func (s *scanner) next(b byte) {
	switch s.state {
	case inText:
		s.text(b)
	case inAuthority:
		s.authority(b)
	case inPath:
		s.path(b)
	case inQuery:
		s.query(b)
	case inEscape:
		s.escape(b)
	case inName:
		s.name(b)
	}
}

// flush ends the text: held bytes that are still undecided are copied.
func (s *scanner) flush() {
	if s.state == inAuthority {
		s.endAuthority()
	}
	s.out = append(s.out, s.held...)
	s.held, s.state = nil, inText
}

func (s *scanner) text(b byte) {
	switch {
	case b == '?':
		s.state, s.held = inName, append(s.held[:0], b)
		return
	case b == '=' || b == '%':
		if s.namesSignature() {
			s.out = append(s.out, '=')
			s.begin(inQuery)
			return
		}
	}
	s.copy(b)
	if b == '/' && bytes.HasSuffix(bytes.ReplaceAll(s.seen, []byte(`\`), nil), []byte("://")) {
		s.begin(inAuthority)
	}
}

// namesSignature reports whether the text ends in the name of a signature parameter.
func (s *scanner) namesSignature() bool {
	end := bytes.ToLower(s.seen)
	at := bytes.LastIndex(end, []byte(signaturePrefix))
	return at >= 0 && len(bytes.Trim(end[at:], "abcdefghijklmnopqrstuvwxyz0123456789-")) == 0
}

// copy writes a byte of the text, and remembers it.
func (s *scanner) copy(b byte) {
	s.out = append(s.out, b)
	if s.seen = append(s.seen, b); len(s.seen) > seenBytes {
		s.seen = append(s.seen[:0], s.seen[len(s.seen)-seenBytes:]...)
	}
}

func (s *scanner) begin(state scanState) {
	s.state, s.held, s.seen = state, s.held[:0], s.seen[:0]
}

func (s *scanner) authority(b byte) {
	if !endsURL(b) && !strings.ContainsRune(`/?#\`, rune(b)) {
		s.held = append(s.held, b)
		return
	}
	s.endAuthority()
	s.path(b)
}

// endAuthority writes the host without the user information (RFC 3986, section 3.2).
func (s *scanner) endAuthority() {
	s.out = append(s.out, s.held[bytes.LastIndexByte(s.held, '@')+1:]...)
	s.begin(inPath)
}

func (s *scanner) path(b byte) {
	switch {
	case b == '?' || b == '#':
		s.begin(inQuery)
	case endsURL(b):
		s.begin(inText)
		s.text(b)
	default:
		s.out = append(s.out, b)
	}
}

func (s *scanner) query(b byte) {
	switch {
	case b == '\\':
		s.state, s.held = inEscape, append(s.held[:0], b)
	case endsURL(b):
		s.endQuery(b)
	default:
		s.dropped = b
	}
}

// endQuery returns to plain text, and keeps punctuation before a blank, which belongs to the sentence.
func (s *scanner) endQuery(b byte) {
	if b == ' ' && strings.ContainsRune(":,;)", rune(s.dropped)) {
		s.out = append(s.out, s.dropped)
	}
	s.dropped = 0
	s.begin(inText)
	s.text(b)
}

// escape distinguishes an escaped character of the query, such as JSON's form of "&", from an escaped end of the query.
func (s *scanner) escape(b byte) {
	switch b {
	case '\\': // escaped again
		s.held = append(s.held, b)
		return
	case 'u', 'x', '/':
		s.state, s.held, s.dropped = inQuery, s.held[:0], b
		return
	}
	s.out = append(s.out, s.held...)
	s.dropped = 0
	s.begin(inText)
	s.text(b)
}

// name decides whether a question mark begins a query: it does if a parameter name and "=" follow.
func (s *scanner) name(b byte) {
	switch {
	case b == '=' && len(s.held) > 1:
		s.begin(inQuery)
		return
	case isNameByte(b) && len(s.held) < seenBytes:
		s.held = append(s.held, b)
		return
	}
	for _, held := range s.held {
		s.copy(held)
	}
	s.state, s.held = inText, s.held[:0]
	s.text(b)
}

func isNameByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || strings.ContainsRune("-_.%", rune(b))
}

// endsURL reports whether a byte cannot be part of a URL, or is a delimiter around one.
func endsURL(b byte) bool { return b <= ' ' || b == 0x7f || strings.ContainsRune("\"<>`", rune(b)) }
