package docker

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/client"
)

// sign is what a cause is told by: a code where the engine or the registry gives one, else words.
type sign struct {
	cause  error             // nil: the engine's words are all that is known
	kind   Kind              // of the Refusal, if it is one
	code   func(error) bool  // the engine's own status
	answer func(answer) bool // the registry's, as the engine quotes it
	words  *regexp.Regexp    // without URLs and names; those of a Refusal, which no name can hold, with them
}

// signs is the table. The first that fits counts: a full disk may be quoted in anything, a Refusal is more exact than
// its status, and the engine's own status comes after the registry's words, because one may stand for many causes: a
// classic engine answers a denial with 404.
var signs = []sign{
	{cause: ErrEngineGone, code: client.IsErrConnectionFailed},
	{cause: ErrNoSpace, words: words(`no space left on device|disk quota exceeded`)},

	{cause: ErrClosed, kind: UnknownAuthority, words: words(`x509: certificate signed by unknown authority`)},
	{cause: ErrClosed, kind: PlainHTTP, words: words(`server gave HTTP response to HTTPS client`)},
	{cause: ErrClosed, kind: RegistryOff, words: words(`\bregistry not enabled\b`)},
	{cause: ErrClosed, kind: ReadOnly, answer: func(a answer) bool { return a.status == http.StatusMethodNotAllowed && a.writes() }},
	{cause: ErrRefused, kind: UnknownMediaType, words: words(`unknown media type: (?<mediatype>[^\s"',]+)`)},
	{cause: ErrRefused, kind: ProtectedTag, words: words(`push or delete protected tag(?: - tag "(?<tag>[^"]+)" is protected)?`)},
	{cause: ErrRefused, kind: ImmutableTag, words: words(`tag is immutable(?: - tag "(?<tag>[^"]+)" is immutable)?`)},
	{cause: ErrRefused, kind: ProtectedRepository, words: words(`Pushing to protected repository path forbidden`)},
	{cause: ErrRefused, kind: ManifestSize, words: words(`payload size limit exceeded`)},
	{cause: ErrRefused, kind: ManifestReferences, words: words(`too many manifest references`)},
	{cause: ErrRefused, kind: ForeignLayer, words: words(`invalid URL on layer`)},
	{cause: ErrRefused, kind: DescriptorMismatch, words: words(`manifest invalid - unexpected end of JSON input|if present, mediaType in manifest should be|` +
		`failed size validation: [0-9]+ != [0-9]+|(read exceeds|read past) expected size [0-9]+`)},
	{cause: ErrRefused, kind: BlobUnknown, words: words(`blob unknown(?: to registry - (?<digest>sha256:[0-9a-f]{64}))?`)},
	{cause: ErrRefused, kind: TooLarge, answer: statusIs(http.StatusRequestEntityTooLarge), words: words(`\b413 (Request Entity|Payload|Content) Too Large\b`)},
	{cause: ErrBlocked, kind: StorageDenied, answer: answer.ofStorage, words: words(`<Code>(AccessDenied|SignatureDoesNotMatch|ExpiredToken)</Code>`)},
	{cause: ErrBlocked, kind: Firewall, answer: answer.ofFirewall, words: words(`\bdenied: (<!doctype )?<?html\b|error parsing HTTP 403 response body: invalid character '<'`)},

	{cause: ErrThrottled, code: cerrdefs.IsResourceExhausted, answer: statusIs(http.StatusTooManyRequests), words: words(`\btoo ?many ?requests\b`)},
	{cause: ErrNotUnpacked, words: words(notUnpacked)},
	{cause: ErrUnauthenticated, words: words(apart + `unauthorized: authentication required`)},
	{cause: ErrDenied, code: refusesLogin, answer: statusIs(http.StatusUnauthorized, http.StatusForbidden),
		words: words(apart + `((access)?denied|unauthorized|forbidden|not authorized|no basic auth credentials)\b`)},
	{words: words(`content digest sha256:[0-9a-f]+: not found`)}, // the engine misses it: the registry may well have it
	{cause: ErrUnavailable, answer: func(a answer) bool { return a.status >= http.StatusInternalServerError }},
	{cause: ErrInvalid, words: words(`\b(manifest|name|tag|digest) invalid\b|` + apart + `unsupported\b|not supported|no longer supported`)},
	{cause: ErrNotFound, answer: statusIs(http.StatusNotFound), words: words(`manifest unknown|name unknown|not found|does not exist locally`)},
	{cause: ErrUnavailable, code: cerrdefs.IsUnavailable, words: words(`\b5(0[0-4]|2[0-7]) [a-z]|` + // a status line
		`\bEOF\b|\btime(d )?out\b|deadline exceeded|connection (reset|refused|closed|lost)|broken pipe|closed network connection|` +
		`\bstream error: stream ID\b|\bGOAWAY\b|no such host|server misbehaving|temporary failure|` +
		`unreachable|no route to host|short read|blob upload (unknown|invalid)|` + apart + `unavailable\b`)},
	{cause: ErrNotFound, code: cerrdefs.IsNotFound},
}

// pushSigns are those of a push: what it reads short is the engine's own, by the size that a descriptor states.
var pushSigns = slices.Insert(slices.Clone(signs), 2,
	sign{cause: ErrRefused, kind: DescriptorMismatch, words: words(`short read: expected [0-9]+ bytes but got [0-9]+`)})

const (
	// notUnpacked begins how the containerd store ends the pull of what it cannot unpack, after all of it has come.
	notUnpacked = `^failed to unpack image on snapshotter \S+: `
	// apart stands before a word that may also be part of a name, such as that of an image called access-denied.
	apart = `(^|[\s"'(\[>])`
)

func words(pattern string) *regexp.Regexp { return regexp.MustCompile(`(?i)` + pattern) }

func statusIs(codes ...int) func(answer) bool {
	return func(a answer) bool { return slices.Contains(codes, a.status) }
}

func refusesLogin(err error) bool {
	return cerrdefs.IsUnauthorized(err) || cerrdefs.IsPermissionDenied(err)
}

// match reports whether the sign is in the error, and what its words say.
func (s sign) match(e engineError) (submatches []string, fits bool) {
	if s.words != nil {
		text := e.plain
		if s.kind != "" {
			text = e.Error()
		}
		submatches = s.words.FindStringSubmatch(text)
	}
	fits = submatches != nil || s.code != nil && s.code(e.error) || s.answer != nil && s.answer(e.answer)
	return submatches, fits
}

// engineError is an error in the parts that signs are looked for in.
type engineError struct {
	error
	plain  string // its words without URLs and names
	answer answer
}

var (
	urls = regexp.MustCompile(`https?://[^\s"'<>]+`)
	// names are references, paths and media types: whatever has a slash in it.
	names = regexp.MustCompile(`[^\s"'()<>\[\],]+/[^\s"'()<>\[\],]+`)
)

func read(err error) engineError {
	text := err.Error()
	return engineError{err, names.ReplaceAllString(urls.ReplaceAllString(text, ""), ""), readAnswer(text)}
}

// answer is a registry's answer that an engine quotes: the containerd store's method, URL and status, when the body
// is not JSON, or the classic store's status alone.
type answer struct {
	method string
	url    *url.URL
	status int
}

var (
	quotedRequest = regexp.MustCompile(`unexpected status from ([A-Z]+) request to (\S+): ([1-5][0-9]{2})\b`)
	quotedStatus  = regexp.MustCompile(`(?:received unexpected HTTP status:|error parsing HTTP) ([1-5][0-9]{2})\b`)
)

func readAnswer(text string) answer {
	if match := quotedRequest.FindStringSubmatch(text); match != nil {
		code, _ := strconv.Atoi(match[3])
		target, err := url.Parse(match[2])
		if err != nil {
			target = nil
		}
		return answer{method: match[1], url: target, status: code}
	}
	if match := quotedStatus.FindStringSubmatch(text); match != nil {
		code, _ := strconv.Atoi(match[1])
		return answer{status: code}
	}
	return answer{}
}

// writes reports whether the request may have been one that writes.
func (a answer) writes() bool {
	return a.method != http.MethodGet && a.method != http.MethodHead
}

// ofStorage reports whether it is not the registry that denies a blob, but the bucket that it has redirected to.
func (a answer) ofStorage() bool {
	return a.status == http.StatusForbidden && !a.writes() && a.url != nil &&
		(strings.HasPrefix(a.url.Hostname(), "prod-") && strings.Contains(a.url.Hostname(), "-starport-layer-bucket.") || a.url.Query().Has("X-Amz-Signature"))
}

// ofFirewall reports whether a request that writes is denied without the JSON that a registry denies it with.
func (a answer) ofFirewall() bool {
	return a.status == http.StatusForbidden && a.method != "" && a.writes()
}
