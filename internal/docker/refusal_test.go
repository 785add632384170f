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
	told := map[Kind]bool{}
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
		{"error from registry: manifest invalid - unknown media type: application/vnd.cncf.notary.signature", "application/vnd.cncf.notary.signature: "},
	} {
		if got := refusalOf(t, test.words).Remedy(); !strings.Contains(got, test.want) {
			t.Errorf("%s\nhas the remedy %s", test.words, got)
		}
	}
}
