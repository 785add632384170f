package docker

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func refusalOf(t *testing.T, words string) *Refusal {
	t.Helper()
	var refusal *Refusal
	if !errors.As(Classify(errors.New(words)), &refusal) {
		t.Fatalf("%q is no refusal", words)
	}
	return refusal
}

// What a refusal is about comes from the engine's words.
func TestRefusal(t *testing.T) {
	for _, test := range []struct {
		words string
		want  Refusal
	}{
		{"error from registry: manifest invalid - unknown media type: application/vnd.wasm.config.v0+json", Refusal{Kind: UnknownMediaType, MediaType: "application/vnd.wasm.config.v0+json"}},
		{`error from registry: tag is immutable - tag "v1" is immutable`, Refusal{Kind: ImmutableTag, Tag: "v1"}},
		{`error from registry: insufficient permissions to push or delete protected tag - tag "release-1" is protected`, Refusal{Kind: ProtectedTag, Tag: "release-1"}},
		{"unknown: tag is immutable", Refusal{Kind: ImmutableTag}},
		{"error from registry: blob unknown to registry - " + blob, Refusal{Kind: BlobUnknown, Digest: blob}},
		{`Get "https://registry.example.com:5050/v2/": x509: certificate signed by unknown authority`, Refusal{Kind: UnknownAuthority, Host: "registry.example.com:5050"}},
		{"unknown: unexpected status from PUT request to https://registry.example.com/v2/a: 413 Request Entity Too Large", Refusal{Kind: TooLarge, Host: "registry.example.com"}},
	} {
		got := *refusalOf(t, test.words)
		got.words, got.cause = nil, nil
		if got != test.want {
			t.Errorf("%s\nis %+v, want %+v", test.words, got, test.want)
		}
	}
}

// An error is about a host of foreign layers only if it quotes a request to it.
func TestAtForeignHost(t *testing.T) {
	const words = `failed to do request: Get "http://layers.example.com:8080/a": dial tcp: connect: connection refused`
	for _, test := range []struct {
		words string
		hosts []string
		want  bool
	}{
		{words, []string{"other.example.com", "layers.example.com:8080"}, true},
		{"failed to copy: unexpected status from GET request to http://layers.example.com:8080/a?key=secret: 503 Service Unavailable", []string{"layers.example.com:8080"}, true},
		{words, []string{"layers.example.com"}, false},
		{words, nil, false},
		{"layers.example.com:8080 is gone", []string{"layers.example.com:8080"}, false},
	} {
		err := Classify(errors.New(test.words))
		got, refusal := AtForeignHost(err, test.hosts), new(Refusal)
		switch is := errors.As(got, &refusal) && refusal.Kind == ForeignHost; {
		case is != test.want:
			t.Errorf("%s\nat one of %q: %t", test.words, test.hosts, is)
		case !is && !errors.Is(got, err):
			t.Errorf("%v has become %v", err, got)
		case is && (!errors.Is(got, ErrRefused) || errors.Is(got, ErrUnavailable) || refusal.Host != "layers.example.com:8080" || strings.Contains(got.Error(), "secret")):
			t.Errorf("got %+v: %v", refusal, got)
		}
	}
	if AtForeignHost(nil, []string{"layers.example.com"}) != nil {
		t.Error("success has become a refusal")
	}
}

// The bucket's host is named before the long URL that hides it.
func TestStorageDenied(t *testing.T) {
	refusal := refusalOf(t, "failed to copy: httpReadSeeker: failed open: unexpected status from GET request to "+bucket+": 403 Forbidden")
	if !strings.HasPrefix(refusal.Error(), "prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com refuses: ") {
		t.Errorf("got %v", refusal)
	}
	if !strings.Contains(refusal.Remedy(), "s3:GetObject on arn:aws:s3:::prod-eu-west-1-starport-layer-bucket/*") {
		t.Errorf("got %s", refusal.Remedy())
	}
	classic := refusalOf(t, `error parsing HTTP 403 response body: invalid character '<' looking for beginning of value: "<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code>"`)
	if !strings.HasPrefix(classic.Error(), "the bucket with ECR's layers refuses: error parsing HTTP 403") {
		t.Errorf("got %v", classic)
	}
	located, want := *classic, "prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com refuses: error parsing HTTP 403"
	if err := InRegion(&located, "eu-west-1"); !strings.HasPrefix(err.Error(), want) {
		t.Errorf("in eu-west-1: %v", err)
	}
}

// Each kind that a sign tells has its remedy, whose braces are all filled, and no remedy is for a kind that none tells.
func TestRemedies(t *testing.T) {
	told := map[Kind]bool{ForeignHost: true} // by AtForeignHost
	for _, s := range slices.Concat(signs, pushSigns) {
		told[s.kind] = s.kind != ""
	}
	delete(told, "")
	for kind := range told {
		remedy := (&Refusal{Kind: kind}).Remedy()
		if remedy == "" || regexp.MustCompile(`[{}]`).MatchString(remedy) {
			t.Errorf("the remedy for %s is %q", kind, remedy)
		}
	}
	for kind := range remedies {
		if !told[kind] {
			t.Errorf("nothing tells %s", kind)
		}
	}
	for _, test := range []struct{ words, want string }{
		{`Get "https://registry.example.com:5050/v2/": x509: certificate signed by unknown authority`, "/etc/docker/certs.d/registry.example.com:5050/ca.crt"},
		{`Head "https://10.0.0.3:5000/v2/a": http: server gave HTTP response to HTTPS client`, "--insecure-registry=10.0.0.3:5000"},
		{`Get "https://10.0.0.3:5000/v2/": Forbidden`, "connect to 10.0.0.3:5000: allow"},
		{"error from registry: manifest invalid - unknown media type: application/vnd.cncf.notary.signature", "application/vnd.cncf.notary.signature: "},
	} {
		if got := refusalOf(t, test.words).Remedy(); !strings.Contains(got, test.want) {
			t.Errorf("%s\nhas the remedy %s", test.words, got)
		}
	}
}
