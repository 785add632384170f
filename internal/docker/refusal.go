package docker

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/ecr"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
)

// Kind is a reason for a refusal that has a remedy.
type Kind string

// The kinds of refusals.
const (
	// These concern one image, tag, repository or media type.
	UnknownMediaType    Kind = "unknown media type"
	ProtectedTag        Kind = "protected tag"
	ImmutableTag        Kind = "immutable tag"
	ProtectedRepository Kind = "protected repository"
	ManifestSize        Kind = "manifest too large"
	ManifestReferences  Kind = "too many references"
	ForeignLayer        Kind = "foreign layer"
	ForeignHost         Kind = "host of a foreign layer"
	DescriptorMismatch  Kind = "descriptor mismatch"
	BlobUnknown         Kind = "blob unknown"
	TooLarge            Kind = "body too large"
	// These concern a proxy in front of a registry, or the storage behind it.
	Firewall      Kind = "blocked by a proxy"
	ProxyLogin    Kind = "login required by the engine's proxy"
	ProxyDenied   Kind = "denied by the engine's proxy"
	StorageDenied Kind = "denied by the layer bucket"
	// These concern a whole registry.
	ReadOnly         Kind = "read-only registry"
	RegistryOff      Kind = "registry turned off"
	UnknownAuthority Kind = "unknown certificate authority"
	PlainHTTP        Kind = "plain HTTP"
)

// Refusal is an engine's error whose exact reason is known. It wraps ErrRefused, ErrBlocked or ErrClosed.
type Refusal struct {
	Kind      Kind
	Host      string // that refused, if the engine names it
	MediaType string // of an UnknownMediaType
	Tag       string // of a ProtectedTag or an ImmutableTag, if the engine names it
	Digest    string // of a BlobUnknown, if the engine names it
	words     error
	cause     error
}

// InRegion names the bucket of a StorageDenied by its region if the engine does not name it, as a classic engine does not.
// It returns err.
func InRegion(err error, region string) error {
	if refusal := new(Refusal); errors.As(err, &refusal) && refusal.Kind == StorageDenied && refusal.Host == "" && region != "" {
		refusal.Host = ecr.LayerBucketHost(region)
	}
	return err
}

// AtForeignHost returns the error of a pull as a Refusal if it is about a request to one of the hosts that the manifest of
// the image names for its foreign layers.
func AtForeignHost(err error, hosts []string) error {
	if err == nil || len(hosts) == 0 {
		return err
	}
	for _, quoted := range urls.FindAllString(err.Error(), -1) {
		_, rest, _ := strings.Cut(quoted, "://")
		if host, _, _ := strings.Cut(rest, "/"); slices.Contains(hosts, host) {
			return &Refusal{Kind: ForeignHost, Host: host, words: err, cause: ErrRefused}
		}
	}
	return err
}

// Error returns the engine's words without the query of any URL. If a bucket refused, its host comes first: a classic
// engine does not name it, and the containerd store names it only within a long URL.
func (r *Refusal) Error() string {
	text := redact.URLs(r.words.Error())
	if r.Kind == StorageDenied {
		return cmp.Or(r.Host, "the bucket with ECR's layers") + " refuses: " + text
	}
	return text
}

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.cause }

// refusal returns the Refusal that the sign has recognized.
func (e engineError) refusal(s sign, match []string) *Refusal {
	r := &Refusal{Kind: s.kind, Host: e.host(), words: e.error, cause: s.cause}
	if s.words == nil || match == nil {
		return r
	}
	for i, name := range s.words.SubexpNames() {
		switch name {
		case "mediatype":
			r.MediaType = match[i]
		case "tag":
			r.Tag = match[i]
		case "digest":
			r.Digest = match[i]
		}
	}
	return r
}

// host returns the host of the quoted request, or else of the first URL.
func (e engineError) host() string {
	if e.answer.url != nil {
		return e.answer.url.Host
	}
	_, rest, _ := strings.Cut(urls.FindString(e.Error()), "://")
	host, _, _ := strings.Cut(rest, "/")
	return strings.TrimRight(host, ":")
}

// remedies says what a user can do, except about a StorageDenied. Remedy fills in the braces.
var remedies = map[Kind]string{
	UnknownMediaType: "this version of GitLab's registry does not take the media type {mediatype}: later versions take more, and a " +
		"self-managed registry takes any with REGISTRY_FF_DYNAMIC_MEDIA_TYPES=true",
	ProtectedTag: "a rule of the project protects this tag: use the token of a user whose role the rule allows to push it, or change the " +
		"rule in Settings > Packages and registries > Container registry",
	ImmutableTag: "GitLab has another image under this tag, and a rule of the project makes it immutable: delete the rule in Settings > " +
		"Packages and registries > Container registry, or leave the tag out with MIGRATE_TAGS",
	ProtectedRepository: "a rule of the project protects this repository path: use the token of a user whose role the rule allows to push " +
		"there (never a deploy token), or change the rule in Settings > Packages and registries > Container registry",
	ManifestSize: "the manifest is larger than this registry allows: an administrator can raise the limit in the registry's configuration",
	ManifestReferences: "the manifest refers to more manifests or layers than this registry allows: an administrator can raise the limit in " +
		"the registry's configuration",
	ForeignLayer: "the image has foreign layers (with URLs of their own), and this registry does not allow those URLs: an administrator can " +
		"allow them in the registry's configuration, or build the image again from a base image without foreign layers",
	ForeignHost: "according to the manifest, a layer of the image is at {host}, and the engine downloads it there instead of from ECR: make " +
		"{host} available to the engine, or build the image again from a base image without foreign layers",
	DescriptorMismatch: "the index states another size or media type for one of its manifests than the manifest has: create the index anew, " +
		"for example with docker buildx imagetools create",
	BlobUnknown: "the manifest refers to content that the repository at GitLab does not have; where that is the manifest's subject, " +
		"GitLab's registry takes it from version 4.42 on",
	TooLarge: "a proxy in front of the registry limits the size of a request: raise its limit (client_max_body_size of nginx), or bypass it " +
		"(Cloudflare's limit is 100 MB)",
	Firewall: "it is not the registry that answers with 403, but a proxy or firewall in front of it: allow the engine's requests to {host} there",
	ProxyLogin: "the engine's proxy requires a login: give the engine an HTTPS_PROXY with a user and password; " +
		enginesVariables,
	ProxyDenied: "the engine's proxy does not let it connect to {host}: allow that in the proxy, or, if {host} is in your own network, add it " +
		"to the engine's NO_PROXY; " + enginesVariables,
	ReadOnly:    "the registry is read-only, as it is during offline garbage collection: run the migration again afterwards",
	RegistryOff: "the container registry of this GitLab is turned off: an administrator has to enable it",
	UnknownAuthority: "the engine does not trust the certificate of {host}: give it the certificate's CA, with the component's input engine_ca, " +
		"with ENGINE_CA_FILE for Docker Compose, or as /etc/docker/certs.d/{host}/ca.crt where the engine runs",
	PlainHTTP: "{host} speaks plain HTTP, which an engine allows only when told to: add --insecure-registry={host} to the command of the service",
}

// Remedy returns what a user can do about the refusal.
func (r *Refusal) Remedy() string {
	if r.Kind == StorageDenied {
		return ecr.LayerBucketRemedy(r.Host)
	}
	return strings.NewReplacer("{host}", cmp.Or(r.Host, "HOST"), "{mediatype}", r.MediaType).Replace(remedies[r.Kind])
}
