package docker

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/ecr"
)

// sign is what a cause is recognized by: a status code where the engine or the registry gives one, otherwise words.
type sign struct {
	cause  error             // nil if none is known
	kind   Kind              // of the Refusal, if it is one
	code   func(error) bool  // the engine's own status
	answer func(answer) bool // the registry's, as the engine quotes it
	words  *regexp.Regexp    // outside of URLs and names, unless whole is set
	whole  bool              // words are looked for everywhere, as those of a Refusal always are: no name contains them
}

// signs is the table; the first match counts. A full disk may be quoted in any other error, and a Refusal is more precise
// than its status. The engine's own status comes after the registry's words, because it may stand for several causes: a
// classic engine reports a denied pull as 404.
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
	// A proxy that does not connect is quoted with the text of its status alone.
	{cause: ErrBlocked, kind: ProxyLogin, words: words(unanswered + `Proxy Authentication Required\b`)},
	{cause: ErrBlocked, kind: ProxyDenied, words: words(unanswered + `Forbidden\b`)},
	// Here the registry has not answered, so "permission denied" is about the network, and is no denial.
	{cause: ErrUnreachable, whole: true, words: words(unanswered + `(dial tcp|proxyconnect tcp|` +
		`net/http: request canceled while waiting for connection|` +
		`bad request|not found|internal server error|bad gateway|service unavailable|gateway timeout)\b`)},

	{cause: ErrThrottled, code: cerrdefs.IsResourceExhausted, answer: statusIs(http.StatusTooManyRequests), words: words(`\btoo ?many ?requests\b|\brate (limit )?exceeded\b`)},
	{cause: ErrBlob, whole: true, words: words(notUnpacked + `unexpected media type application/octet-stream\b`)},
	{cause: ErrNotUnpacked, words: words(notUnpacked)},
	{cause: ErrUnauthenticated, words: words(apart + `(unauthorized|error from registry): authentication required`)},
	{cause: ErrDenied, code: refusesLogin, answer: statusIs(http.StatusUnauthorized, http.StatusForbidden),
		words: words(apart + `((access)?denied|unauthorized|forbidden|not authorized|no basic auth credentials|authorization token has expired)\b`)},
	{words: words(`content digest sha256:[0-9a-f]+: not found`)}, // in the engine; the registry may have it
	{cause: ErrUnavailable, answer: func(a answer) bool { return a.status >= http.StatusInternalServerError }},
	{cause: ErrInvalid, words: words(`\b(manifest|name|tag|digest) invalid\b|` + apart + `unsupported\b|not supported|no longer supported`)},
	{cause: ErrNotFound, answer: statusIs(http.StatusNotFound), words: words(`manifest unknown|name unknown|name not known|unknown blob|not found|does not exist (locally|in the registry)`)},
	{cause: ErrUnavailable, code: cerrdefs.IsUnavailable, words: words(`\b5(0[0-4]|2[0-7]) [a-z]|` + // a status line
		`\bEOF\b|\btime(d )?out\b|deadline exceeded|connection (reset|refused|closed|lost)|broken pipe|closed network connection|` +
		`\bstream error: stream ID\b|\bGOAWAY\b|no such host|server misbehaving|temporary failure|` +
		`unreachable|no route to host|bad gateway|short read|blob upload (unknown|invalid)|` + apart + `unavailable\b`)},
	{cause: ErrNotFound, code: cerrdefs.IsNotFound},
}

// pushSigns are the signs of a push. It reads local content, so a short read means that a descriptor states a wrong size.
var pushSigns = slices.Insert(slices.Clone(signs), 2,
	sign{cause: ErrRefused, kind: DescriptorMismatch, words: words(`short read: expected [0-9]+ bytes but got [0-9]+`)})

const (
	// notUnpacked matches the start of the error that ends a pull after all content has arrived, on the containerd store.
	notUnpacked = `^failed to unpack image on snapshotter \S+: `
	// unanswered matches the start of the error of a request that got no answer, up to the reason.
	unanswered = `\b(Get|Head|Post|Put|Patch) "?https?://[^\s"]+"?: `
	// apart matches before a word that may also be part of a name, such as the image access-denied.
	apart = `(^|[\s"'(\[>])`
)

func words(pattern string) *regexp.Regexp { return regexp.MustCompile(`(?i)` + pattern) }

func statusIs(codes ...int) func(answer) bool {
	return func(a answer) bool { return slices.Contains(codes, a.status) }
}

func refusesLogin(err error) bool {
	return cerrdefs.IsUnauthorized(err) || cerrdefs.IsPermissionDenied(err)
}

// match reports whether the error has the sign, and returns the submatches of its words.
func (s sign) match(e engineError) (submatches []string, fits bool) {
	if s.words != nil {
		text := e.plain
		if s.whole || s.kind != "" {
			text = e.Error()
		}
		submatches = s.words.FindStringSubmatch(text)
	}
	fits = submatches != nil || s.code != nil && s.code(e.error) || s.answer != nil && s.answer(e.answer)
	return submatches, fits
}

// engineError is an error with the parts that signs look at.
type engineError struct {
	error
	plain  string // its words without URLs and names
	answer answer
}

var (
	urls = regexp.MustCompile(`https?://[^\s"'<>]+`)
	// names matches references, paths and media types: anything with a slash.
	names = regexp.MustCompile(`[^\s"'()<>\[\],]+/[^\s"'()<>\[\],]+`)
)

func read(err error) engineError {
	text := err.Error()
	return engineError{err, names.ReplaceAllString(urls.ReplaceAllString(text, ""), ""), readAnswer(text)}
}

// answer is a registry's response as an engine quotes it: the containerd store has method, URL and status where the body
// is not JSON, the classic store only the status.
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

// writes reports whether the request may have been a write.
func (a answer) writes() bool {
	return a.method != http.MethodGet && a.method != http.MethodHead
}

// ofStorage reports whether a blob was denied by the bucket that the registry redirects to.
func (a answer) ofStorage() bool {
	return a.status == http.StatusForbidden && !a.writes() && a.url != nil &&
		(ecr.IsLayerBucket(a.url.Host) || a.url.Query().Has("X-Amz-Signature"))
}

// ofFirewall reports whether a write was denied without the JSON of a registry.
func (a answer) ofFirewall() bool {
	return a.status == http.StatusForbidden && a.method != "" && a.writes()
}
