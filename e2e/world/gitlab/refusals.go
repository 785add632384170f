package gitlab

import (
	"fmt"
	"net/http"
	"path"
	"slices"
)

// Refusals configures what the registry rejects besides invalid paths and credentials. The zero value is a default
// installation: only known media types, no manifest before its subject, no layers hosted elsewhere.
//
// M marks what was measured with GitLab's container registry 4.32 (November 2025) and its metadata database, R what was
// read in its source (registry/handlers/manifests.go, registry/storage/validation, registry/api/v2) or in GitLab's
// (app/services/auth/container_registry_authentication_service.rb).
type Refusals struct {
	// AnyMediaType accepts manifests whose config.mediaType or artifactType is unknown, as a registry with
	// REGISTRY_FF_DYNAMIC_MEDIA_TYPES=true does. Layer types are never checked. M.
	AnyMediaType bool

	// OrphanReferrers accepts manifests whose subject is not in the repository, as registry 4.42 and later do. M.
	OrphanReferrers bool

	// LayerURLs accepts manifests with urls in a layer, which operators allow with validation.manifests.urls.allow. M.
	LayerURLs bool

	ProtectedTags         []string // globs (path.Match) of tags that the job may not push, whether they exist or not. M
	ImmutableTags         []string // globs of tags whose digest cannot be changed once they exist. M
	ProtectedRepositories []string // globs of full paths of repositories that the job may not push to. R, GitLab 17.8

	MaxManifest   int // bytes of a manifest, validation.manifests.payloadsizelimit; 0: no limit. R
	MaxReferences int // of a manifest, validation.manifests.referencelimit; 0: no limit. R

	// ReadOnly is the registry's maintenance mode, used during offline garbage collection or an import. M.
	ReadOnly bool

	// Off disables the registry of the instance: /jwt/auth answers 404. ProjectOff disables that of the project: /jwt/auth
	// grants no access, as to a job without permission. R.
	Off, ProjectOff bool

	// NoMounts denies mounts from another repository, as if the token did not allow pulling from it. R.
	NoMounts bool

	// MaxBody is the largest request body that the proxy accepts, in bytes, such as nginx's client_max_body_size; 0: no
	// limit. Larger ones are answered with 413 and nginx's own page. R.
	MaxBody int64

	// Firewall reports whether a web application firewall rejects the request, with 403 and an HTML page; nil: none. R.
	Firewall func(*http.Request) bool
}

// Refuse changes what is rejected from now on. Requests wait while change runs.
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

// refusal is an error response to a push.
type refusal struct {
	status int
	errors []registryError
}

func refuse(status int, code, message string, detail any) *refusal {
	return &refusal{status, []registryError{{code, message, detail}}}
}

func (r *refusal) write(w http.ResponseWriter) { writeErrors(w, r.status, r.errors...) }

// protectedTag and immutableTag are answered with 401, without a challenge. M.
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

// check validates a manifest in the order of GitLab's registry. The registry sees the manifest alone and never compares it
// with a descriptor in an index: it is the engine that truncates a child to the descriptor's size or sends it as its type.
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
			// Two errors; the first determines the status. M: 400 or 500.
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

// checkTag applies what only concerns pushes by tag.
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

// before answers in place of a proxy in front of GitLab.
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

// readOnly answers as a registry in maintenance mode, which has no handlers for methods that change anything.
func (r Refusals) readOnly(w http.ResponseWriter, request *http.Request) (answered bool) {
	read := request.Method == http.MethodGet || request.Method == http.MethodHead
	if !r.ReadOnly || read || request.Header.Get("Authorization") == "" {
		return false
	}
	w.Header().Set("Allow", "GET, HEAD")
	http.Error(w, "Method not allowed", http.StatusMethodNotAllowed)
	return true
}
