package docker

import (
	"errors"
	"slices"
	"strings"
	"testing"

	cerrdefs "github.com/containerd/errdefs"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
)

const (
	bucket = "https://prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com/1-123456789012-0/b7?X-Amz-Security-Token=T&X-Amz-Signature=S"
	blob   = "sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
)

// seen are the messages of engines 20.10 and 29 (its code line) that the signs were found in, with what they stand for.
var seen = []struct {
	words, cause string
	kind         Kind
}{
	// An engine's disk.
	{"mount callback failed on /tmp/containerd-mount1: write /usr/lib/x: no space left on device", "full", ""},
	{"failed commit on ref \"layer-sha256:0\": write /var/lib/containerd/x: disk quota exceeded", "full", ""},

	// The engine's way to a registry.
	{`failed to do request: Head "https://registry.example.com/v2/a/blobs/sha256:0": tls: failed to verify certificate: x509: certificate signed by unknown authority`, "closed", UnknownAuthority},
	{`Get "https://registry.example.com:5050/v2/": x509: certificate signed by unknown authority`, "closed", UnknownAuthority},
	{`failed to do request: Head "https://10.0.0.3:5000/v2/a/blobs/sha256:0": http: server gave HTTP response to HTTPS client`, "closed", PlainHTTP},
	{`Get "https://h/v2/": dial tcp: lookup h on 10.0.0.1:53: server misbehaving`, "unreachable", ""},
	{`Get "https://h/v2/": dial tcp: lookup h on 10.0.0.1:53: no such host`, "unreachable", ""},
	{`Get "https://h/v2/": dial tcp: lookup h: Temporary failure in name resolution`, "unreachable", ""},
	{`Get "https://h/v2/": dial tcp 10.0.0.3:443: i/o timeout`, "unreachable", ""},
	{`Get "https://h/v2/": dial tcp 10.0.0.3:443: connect: no route to host`, "unreachable", ""},
	{`Get https://h/v2/: dial tcp 10.0.0.3:443: connect: connection refused`, "unreachable", ""}, // of an engine built with Go 1.13
	// From a network with prohibited routes, and with blackholes.
	{`Head "https://192.0.2.1/v2/": dial tcp 192.0.2.1:443: connect: permission denied`, "unreachable", ""},
	{`Head "https://192.0.2.2/v2/": dial tcp 192.0.2.2:443: connect: invalid argument`, "unreachable", ""},
	{`Get "https://h/v2/": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)`, "unreachable", ""},

	// GitLab's own registry, and its token service.
	{"error from registry: manifest invalid - unknown media type: application/vnd.amazon.soci.index.v2+json", "refused", UnknownMediaType},
	{`error from registry: insufficient permissions to push or delete protected tag - tag "release-1" is protected`, "refused", ProtectedTag},
	{"unknown: insufficient permissions to push or delete protected tag", "refused", ProtectedTag}, // as 20.10 quotes it
	{`error from registry: tag is immutable - tag "v1" is immutable`, "refused", ImmutableTag},
	{"unknown: tag is immutable", "refused", ImmutableTag},
	{"error from registry: Pushing to protected repository path forbidden", "refused", ProtectedRepository},
	{"denied: Pushing to protected repository path forbidden", "refused", ProtectedRepository},
	{"error from registry: registry not enabled", "closed", RegistryOff},
	{"unavailable: registry not enabled", "closed", RegistryOff},
	{"unknown: unexpected status from POST request to https://registry.example.com/v2/group/project/a/blobs/uploads/: 405 Method Not Allowed", "closed", ReadOnly},
	{`error parsing HTTP 405 response body: invalid character 'M' looking for beginning of value: "Method not allowed\n"`, "closed", ReadOnly},
	{"error from registry: payload size limit exceeded - manifest payload size of 1024 exceeds the limit of 100", "refused", ManifestSize},
	{"unknown: payload size limit exceeded", "refused", ManifestSize},
	{"error from registry: too many manifest references", "refused", ManifestReferences},
	{"error from registry: unknown error - invalid URL on layer", "refused", ForeignLayer},
	{"unknown blob", "not found", ""}, // which ECR does not have, as 20.10 says it
	{"error from registry: manifest invalid - unexpected end of JSON input", "refused", DescriptorMismatch},
	{"error from registry: manifest invalid - if present, mediaType in manifest should be 'application/vnd.oci.image.manifest.v1+json' not 'application/vnd.docker.distribution.manifest.v2+json'", "refused", DescriptorMismatch},
	{"failed size validation: 1082 != 988: failed precondition", "refused", DescriptorMismatch},
	{"failed to copy: httpReadSeeker: read past expected size 440: failed precondition", "refused", DescriptorMismatch},
	{"error from registry: blob unknown to registry - " + blob, "refused", BlobUnknown},
	{"blob unknown: blob unknown to registry", "refused", BlobUnknown},

	// What stands before a registry, or behind it.
	{"unknown: unexpected status from PUT request to https://registry.example.com/v2/a/blobs/uploads/1?_state=s: 413 Request Entity Too Large", "refused", TooLarge},
	{`error parsing HTTP 413 response body: invalid character '<' looking for beginning of value: "<html>\r\n<head><title>413 Request Entity Too Large</title></head>"`, "refused", TooLarge},
	{"unknown: <html><head><title>413 Payload Too Large</title></head></html>", "refused", TooLarge},
	{"unknown: unexpected status from PATCH request to https://registry.example.com/v2/a/blobs/uploads/1: 403 Forbidden", "blocked", Firewall},
	{`error parsing HTTP 403 response body: invalid character '<' looking for beginning of value: "<html><head><title>Request Rejected</title></head></html>"`, "blocked", Firewall},
	{"denied: <html><head><title>403 Forbidden</title></head></html>", "blocked", Firewall},
	{`Get "https://registry.example.com/v2/": Proxy Authentication Required`, "blocked", ProxyLogin},
	{`failed to do request: Head "https://registry.example.com/v2/a/manifests/1": Forbidden`, "blocked", ProxyDenied},
	{`failed to do request: Head "https://registry.example.com/v2/a/manifests/1": Bad Gateway`, "unreachable", ""},
	{`Get "https://registry.example.com/v2/": Bad Gateway`, "unreachable", ""},
	{`Get "https://registry.example.com/v2/": Bad Request`, "unreachable", ""}, // Go's client, of CONNECT through a proxy, as the next two
	{`Get "https://registry.example.com/v2/": Not Found`, "unreachable", ""},
	{`Get "https://registry.example.com/v2/": Internal Server Error`, "unreachable", ""},
	{`Get "https://registry.example.com/v2/": Service Unavailable`, "unreachable", ""},
	{`Get "https://registry.example.com/v2/": Gateway Timeout`, "unreachable", ""},
	{`Get "https://registry.example.com/v2/": proxyconnect tcp: dial tcp 192.0.2.2:3128: connect: connection refused`, "unreachable", ""},
	{`Get "https://registry.example.com/v2/": proxyconnect tcp: tls: first record does not look like a TLS handshake`, "unreachable", ""},
	{"failed to copy: httpReadSeeker: failed open: unexpected status from GET request to " + bucket + ": 403 Forbidden", "blocked", StorageDenied},
	{`error parsing HTTP 403 response body: invalid character '<' looking for beginning of value: "<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code>"`, "blocked", StorageDenied},

	{"unexpected status from GET request to http://h/v2/app/manifests/1: 429 Too Many Requests", "throttled", ""},
	{"toomanyrequests: Rate exceeded", "throttled", ""},
	{"error from registry: rate limit exceeded", "throttled", ""}, // the containerd store quotes the message without its code
	{"error from registry: Rate exceeded", "throttled", ""},       // ECR's
	{"error from registry: authentication required", "unauthenticated", ""},
	{"error from registry: Your authorization token has expired. Reauthenticate and try again.", "denied", ""},
	{"error from registry: repository name not known to registry", "not found", ""},
	{"error from registry: The repository with name 'app' does not exist in the registry with id '123456789012'", "not found", ""},
	{"failed to unpack image on snapshotter overlayfs: unexpected media type application/octet-stream for " + blob + ": not found", "blob", ""},
	{"failed to unpack image on snapshotter overlayfs: mismatched image rootfs and manifest layers", "not unpacked", ""},

	{"unauthorized: authentication required", "unauthenticated", ""},
	{"unauthorized: HTTP Basic: Access denied", "denied", ""},
	{"denied: requested access to the resource is denied", "denied", ""},
	{"denied: User: arn:aws:iam::1:user/ci is not authorized to perform: ecr:BatchGetImage", "denied", ""},
	{"push access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed", "denied", ""},
	{"unexpected status from HEAD request to https://registry.example.com/v2/a/blobs/sha256:0: 403 Forbidden", "denied", ""},
	{"failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://gitlab.example.com/jwt/auth?scope=x: 401 Unauthorized", "denied", ""},
	{"error from registry: access forbidden", "denied", ""},
	{`{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, "denied", ""},

	{"content digest " + blob + ": not found", "", ""},
	{"manifest invalid: manifest invalid", "invalid", ""},
	{"unsupported: the operation is unsupported", "invalid", ""},
	{"An image does not exist locally with the tag: registry.example.com/group/project/app", "not found", ""},
	{"manifest unknown: Requested image not found", "not found", ""},
	{"unexpected status from HEAD request to https://h/v2/app/blobs/sha256:0: 404 Not Found", "not found", ""},

	// Trouble that passes.
	{"failed to resolve reference \"h/app@sha256:0\": unexpected status from HEAD request to http://h/v2/app/manifests/sha256:0: 503 Service Unavailable", "unavailable", ""},
	{"failed to copy: httpReadSeeker: failed open: unexpected status from GET request to http://h/v2/app/blobs/sha256:0: 500 Internal Server Error", "unavailable", ""},
	{"unexpected status from PUT request to https://registry.example.com/" + strings.Repeat("long/", 40) + "blobs/uploads/1: 520 ", "unavailable", ""},
	{"received unexpected HTTP status: 527 Railgun Error", "unavailable", ""},
	{"received unexpected HTTP status: 503 Service Unavailable", "unavailable", ""},
	// A registry that answers is not out of reach, whatever it says.
	{"received unexpected HTTP status: 502 Bad Gateway", "unavailable", ""},
	{"unavailable: service unavailable", "unavailable", ""},
	{"error from registry: unknown error - dial tcp 10.0.0.5:5432: connect: connection refused", "unavailable", ""},
	{"error parsing HTTP 502 response body: invalid character '<' looking for beginning of value: \"<html>\"", "unavailable", ""},
	{"the engine answers 502 Bad Gateway", "unavailable", ""},
	{"failed to copy: read tcp 10.0.0.2:43118->10.0.0.3:443: read: connection reset by peer", "unavailable", ""},
	{"failed to do request: Patch \"https://h/v2/a\": stream error: stream ID 5; INTERNAL_ERROR; received from peer", "unavailable", ""},
	{"failed to do request: Put \"https://h/v2/a\": http2: server sent GOAWAY and closed the connection; LastStreamID=7, ErrCode=NO_ERROR, debug=\"\"", "unavailable", ""},
	{"failed to copy: http2: client connection lost", "unavailable", ""},
	{"short read: expected 4194304 bytes but got 1048576: unexpected EOF", "unavailable", ""},
	{"Get \"https://h/v2/\": net/http: TLS handshake timeout", "unavailable", ""},
	{"failed to do request: Put \"http://h/v2/app/blobs/uploads/1\": write: broken pipe", "unavailable", ""},
	{"Head \"http://h/v2/app/blobs/sha256:0\": EOF", "unavailable", ""},
	{"blob upload unknown", "unavailable", ""},

	// Names are not signs.
	{"failed to push registry.example.com/team/unsupported:forbidden: who knows", "", ""},
	{`failed to resolve reference "h/access-denied/unauthorized@sha256:0": who knows`, "", ""},
	{"Get \"https://unavailable.example.com/v2/not%20found/denied/EOF\": who knows", "", ""},
	{"unexpected status from GET request to https://h/v2/405/blobs/sha256:0: 400 Bad Request", "", ""},
	{"something that nobody has seen", "", ""},
}

func TestSigns(t *testing.T) {
	for _, s := range seen {
		t.Run(s.words, func(t *testing.T) {
			err := Classify(errors.New(s.words))
			assertFailure(t, err, redact.URLs(s.words), s.cause)
			var refusal *Refusal
			if errors.As(err, &refusal) != (s.kind != "") || refusal != nil && refusal.Kind != s.kind {
				t.Errorf("got %+v, want a refusal of kind %q", refusal, s.kind)
			}
		})
	}
}

// TestEverySignWasSeen wants a message for each entry that goes by words or by a registry's answer.
func TestEverySignWasSeen(t *testing.T) {
	found := map[int]bool{}
	for _, s := range seen {
		e := read(errors.New(s.words))
		found[slices.IndexFunc(signs, func(s sign) bool { _, fits := s.match(e); return fits })] = true
	}
	for i, s := range signs {
		if (s.words != nil || s.answer != nil) && !found[i] {
			t.Errorf("nothing stands for entry %d: %v, %s, %s", i, s.cause, s.kind, s.words)
		}
	}
}

// A signed URL is quoted whole by an engine, and by nobody after it, whatever the cause.
func TestNoSignatureIsPassedOn(t *testing.T) {
	for _, words := range []string{"unexpected status from GET request to " + bucket + ": 403 Forbidden", `Get "` + bucket + `": EOF`, "what is " + bucket} {
		if err := Classify(errors.New(words)); strings.Contains(err.Error(), "X-Amz") || !strings.Contains(err.Error(), "/1-123456789012-0/b7") {
			t.Errorf("got %v", err)
		}
	}
}

func TestCodes(t *testing.T) {
	for name, test := range map[string]struct {
		err   error
		cause string
	}{
		"404":                     {cerrdefs.ErrNotFound.WithMessage("gone"), "not found"},
		"401":                     {cerrdefs.ErrUnauthenticated.WithMessage("no"), "denied"},
		"403":                     {cerrdefs.ErrPermissionDenied.WithMessage("no"), "denied"},
		"429":                     {cerrdefs.ErrResourceExhausted.WithMessage("slow down"), "throttled"},
		"503":                     {cerrdefs.ErrUnavailable.WithMessage("later"), "unavailable"},
		"404 of a denial":         {cerrdefs.ErrNotFound.WithMessage("pull access denied for team/app"), "denied"},
		"500 of an unknown image": {cerrdefs.ErrInternal.WithMessage("manifest unknown"), "not found"},
		"500":                     {cerrdefs.ErrInternal.WithMessage("no idea"), ""},
	} {
		t.Run(name, func(t *testing.T) { assertFailure(t, Classify(test.err), test.err.Error(), test.cause) })
	}
}

// A push reads from the engine alone: what is short there is so by the descriptor's fault, and no retry helps.
func TestShortReadOfAPush(t *testing.T) {
	err := errors.New("short read: expected 540 bytes but got 440: unexpected EOF")
	assertFailure(t, ClassifyPush(err), err.Error(), "refused")
	assertFailure(t, Classify(err), err.Error(), "unavailable")
	full := errors.New("write: no space left on device")
	assertFailure(t, ClassifyPush(full), full.Error(), "full")
}

func TestGist(t *testing.T) {
	one := errors.New("unknown: unexpected status from PUT request to https://r.example.com/v2/a/manifests/sha256:0a: 400 Bad Request of sha256:0a")
	other := errors.New("unknown: unexpected status from PUT request to https://r.example.com/v2/b/c/manifests/1.2: 400 Bad Request of sha256:0b")
	if Gist(one) != Gist(other) || !strings.Contains(Gist(one), "400 Bad Request") {
		t.Errorf("%q and %q", Gist(one), Gist(other))
	}
}
