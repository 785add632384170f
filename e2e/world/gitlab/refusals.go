package gitlab

import (
	"fmt"
	"net/http"
	"path"
	"slices"
)

// Refusals are what a GitLab refuses beyond paths and passwords. The zero value is its registry as it is installed:
// it knows its media types, wants a subject before what refers to it, and takes no layer from elsewhere.
//
// M is what was measured with GitLab's container registry 4.32 (November 2025) and its metadata database, R what its
// sources (registry/handlers/manifests.go, registry/storage/validation, registry/api/v2) or GitLab's
// (app/services/auth/container_registry_authentication_service.rb) say.
type Refusals struct {
	// AnyMediaType takes manifests whose config.mediaType or artifactType is not among the known ones, as a registry with
	// REGISTRY_FF_DYNAMIC_MEDIA_TYPES=true does. M: layer types are not looked at.
	AnyMediaType bool

	// OrphanReferrers takes manifests whose subject is not in the repository, as registries from 4.42 on do. M.
	OrphanReferrers bool

	// LayerURLs takes manifests with urls in a layer, as an operator can allow by validation.manifests.urls.allow. M.
	LayerURLs bool

	ProtectedTags         []string // globs (path.Match) of tags that the job must not push, whether they exist or not. M
	ImmutableTags         []string // globs of tags that keep the digest they were first pushed with. M
	ProtectedRepositories []string // globs of full paths of container repositories that the job must not push to. R, GitLab 17.8

	MaxManifest   int // bytes of a manifest, validation.manifests.payloadsizelimit; 0: no limit. R
	MaxReferences int // of a manifest, validation.manifests.referencelimit; 0: no limit. R

	// ReadOnly is the registry's maintenance mode, during an offline garbage collection or an import. M.
	ReadOnly bool

	// Off is an instance without a registry, ProjectOff a project whose registry is switched off. R: /jwt/auth answers 404
	// for the former; for the latter it grants nothing, as for a job without permission.
	Off, ProjectOff bool

	// NoMounts denies mounts from another repository: the token has no leave to pull from that. R.
	NoMounts bool

	// MaxBody is a proxy's limit of a request's body in bytes, such as nginx's client_max_body_size; 0: no limit.
	// A longer one is answered with 413 and nginx's own page. R.
	MaxBody int64

	// Firewall tells the requests that a web application firewall rejects, with 403 and a page; nil: none. R.
	Firewall func(*http.Request) bool
}

// Refuse changes what is refused from now on. change is called while requests wait.
func (s *Server) Refuse(change func(*Refusals)) { s.rules.set(func() { change(&s.rules.refusals) }) }

// Protect refuses pushes of tags that match one of the globs (path.Match), whether they exist or
// not; it replaces the globs given before.
func (s *Server) Protect(globs ...string) {
	s.Refuse(func(r *Refusals) { r.ProtectedTags = globs })
}

// Immutable refuses pushes of existing tags that match one of the globs (path.Match), unless they are of the
// same manifest; it replaces the globs given before.
func (s *Server) Immutable(globs ...string) {
	s.Refuse(func(r *Refusals) { r.ImmutableTags = globs })
}

// refusal is an answer to a push.
type refusal struct {
	status int
	errors []registryError
}

func refuse(status int, code, message string, detail any) *refusal {
	return &refusal{status, []registryError{{code, message, detail}}}
}

func (r *refusal) write(w http.ResponseWriter) { writeErrors(w, r.status, r.errors...) }

// protectedTag and immutableTag are 401s without a challenge. M.
func protectedTag(tag string) *refusal {
	return refuse(http.StatusUnauthorized, "PROTECTED_TAG", "insufficient permissions to push or delete protected tag", fmt.Sprintf("tag %q is protected", tag))
}

func immutableTag(tag string) *refusal {
	return refuse(http.StatusUnauthorized, "IMMUTABLE_TAG", "tag is immutable", fmt.Sprintf("tag %q is immutable", tag))
}

func invalidManifest(format string, args ...any) *refusal {
	return refuse(http.StatusBadRequest, "MANIFEST_INVALID", "manifest invalid", fmt.Sprintf(format, args...))
}

func blobUnknown(digest string) registryError {
	return registryError{"MANIFEST_BLOB_UNKNOWN", "blob unknown to registry", digest}
}

// check looks at a manifest in the order of GitLab's registry, which sees that alone, and never compares it with the
// descriptor that an index has of it. It is the engine which sends a child cut to a descriptor's size, or under its type.
func (r Refusals) check(m pushed) *refusal {
	if m.syntax != nil {
		return invalidManifest("%v", m.syntax)
	}
	if m.MediaType != "" && m.MediaType != m.contentType {
		return invalidManifest("%smediaType in manifest should be '%s' not '%s'", m.optionalType(), m.contentType, m.MediaType)
	}
	if r.MaxManifest > 0 && len(m.body) > r.MaxManifest {
		return refuse(http.StatusBadRequest, "MANIFEST_SIZE_LIMIT", "payload size limit exceeded",
			fmt.Sprintf("manifest payload size of %d exceeds the limit of %d", len(m.body), r.MaxManifest))
	}
	if references := m.references(); r.MaxReferences > 0 && references > r.MaxReferences {
		return refuse(http.StatusBadRequest, "MANIFEST_REFERENCE_LIMIT", "too many manifest references",
			map[string]int{"References": references, "Limit": r.MaxReferences})
	}
	return r.checkContent(m)
}

func (r Refusals) checkContent(m pushed) *refusal {
	for _, layer := range m.Layers {
		if !r.LayerURLs && len(layer.URLs) > 0 {
			// Two errors, of which the first has the status. M: 400 or 500.
			return &refusal{http.StatusInternalServerError, []registryError{
				{"UNKNOWN", "unknown error", "invalid URL on layer"}, blobUnknown(layer.Digest.String())}}
		}
	}
	if subject := m.subject(); !r.OrphanReferrers && subject != "" && m.look(subject).status != http.StatusOK {
		return &refusal{http.StatusBadRequest, []registryError{blobUnknown(subject)}}
	}
	for _, mediaType := range []string{m.Config.MediaType, m.ArtifactType} {
		if !r.AnyMediaType && mediaType != "" && !mediaTypes()[mediaType] {
			return invalidManifest("unknown media type: %s", mediaType)
		}
	}
	return nil
}

// checkTag is for pushes by tag.
func (r Refusals) checkTag(tag string, m pushed) *refusal {
	now := m.look(tag)
	if matches(r.ImmutableTags, tag) && now.status == http.StatusOK && now.digest != m.digest() {
		return immutableTag(tag)
	}
	return nil
}

func matches(globs []string, name string) bool {
	return slices.ContainsFunc(globs, func(glob string) bool {
		ok, err := path.Match(glob, name)
		return ok && err == nil
	})
}

// before answers what a proxy before GitLab answers.
func (r Refusals) before(w http.ResponseWriter, request *http.Request) (answered bool) {
	switch {
	case r.Firewall != nil && r.Firewall(request):
		writePage(w, http.StatusForbidden, "Request Rejected",
			"The requested URL was rejected. Please consult with your administrator.<br><br>Your support ID is: 4711")
	case r.MaxBody > 0 && tooLarge(request, r.MaxBody):
		writePage(w, http.StatusRequestEntityTooLarge, "413 Request Entity Too Large",
			"<center><h1>413 Request Entity Too Large</h1></center>\r\n<hr><center>nginx</center>")
	default:
		return false
	}
	return true
}

// readOnly answers what a registry in maintenance mode answers: it has no handler for what changes anything.
func (r Refusals) readOnly(w http.ResponseWriter, request *http.Request) (answered bool) {
	read := request.Method == http.MethodGet || request.Method == http.MethodHead
	if !r.ReadOnly || read || request.Header.Get("Authorization") == "" {
		return false
	}
	w.Header().Set("Allow", "GET, HEAD")
	http.Error(w, "Method not allowed", http.StatusMethodNotAllowed)
	return true
}
