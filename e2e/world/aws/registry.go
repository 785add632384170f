package aws

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	imageNotFound = "Requested image not found"
	maxManifest   = 4 << 20 // ECR's limit
)

// registryPath matches a request's path: repository, kind and reference.
var registryPath = regexp.MustCompile(`^/v2/(.+)/(manifests|blobs/uploads|blobs|tags|referrers)/([^/]*)$`)

// gate is ECR's layer around a registry: tokens, permissions and repositories. It also records pushes.
type gate struct {
	*Server
	next http.Handler
}

func (s *Server) gate(next http.Handler) http.Handler { return &gate{s, next} }

// request is a request for one repository.
type request struct {
	*http.Request
	kind      string
	reference string // tag, digest or upload
	owner     bool
	repo      *repository
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, err := g.tokens.holder(r)
	switch {
	case errors.Is(err, errExpiredToken):
		writeRegistryError(w, http.StatusForbidden, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
		return
	case err != nil:
		g.challenge(w, r)
		http.Error(w, "Not Authorized", http.StatusUnauthorized)
		return
	}
	parts := registryPath.FindStringSubmatch(r.URL.Path)
	if parts == nil {
		g.next.ServeHTTP(w, r)
		return
	}
	req := request{Request: r, kind: parts[2], reference: parts[3], owner: id == nil}
	if id != nil {
		if err := g.policy.check(id, req.action(), g.AccountID, parts[1]); err != nil {
			writeRegistryError(w, http.StatusForbidden, "DENIED", asAPIError(err).message)
			return
		}
	}
	g.serveRepository(w, req, parts[1])
}

// action returns the permission that a request requires.
func (r request) action() string {
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case r.kind == "tags":
		return "ListImages"
	case r.kind == "referrers", r.kind == "manifests" && read:
		return "BatchGetImage"
	case r.kind == "manifests":
		return "PutImage"
	case r.kind == "blobs" && r.Method == http.MethodHead:
		return "BatchCheckLayerAvailability"
	case r.kind == "blobs" && read:
		return "GetDownloadUrlForLayer"
	case r.Method == http.MethodPost:
		return "InitiateLayerUpload"
	case r.Method == http.MethodPut:
		return "CompleteLayerUpload"
	}
	return "UploadLayerPart"
}

func (g *gate) serveRepository(w http.ResponseWriter, r request, name string) {
	var ok bool
	if r.repo, ok = g.account.find(g.AccountID, name); !ok {
		writeRegistryError(w, http.StatusNotFound, "NAME_UNKNOWN", asAPIError(g.account.noRepository(g.AccountID, name)).message)
		return
	}
	switch {
	case r.Method == http.MethodDelete:
		writeRegistryError(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "The operation is unsupported.")
	case r.kind == "tags":
		writeJSONBody(w, "application/json", map[string]any{"name": name, "tags": r.repo.tagNames()})
	case r.kind == "referrers":
		writeJSONBody(w, ocispec.MediaTypeImageIndex, r.repo.referrers(r.reference))
	case r.kind == "manifests" && r.Method == http.MethodPut:
		g.push(w, r)
	case r.kind == "manifests":
		g.pull(w, r)
	case r.kind == "blobs" && !r.owner && !r.repo.serves(r.reference):
		writeRegistryError(w, http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown to registry")
	case r.kind == "blobs" && !r.owner && g.headBlobs != 0 && r.Method == http.MethodHead:
		g.answerHead(w, r)
	case r.kind == "blobs" && !r.owner && !g.direct && r.Method == http.MethodGet:
		g.redirect(w, r)
	case r.kind == "blobs":
		g.next.ServeHTTP(g.meter(w, r, r.reference), r.Request)
	default:
		g.next.ServeHTTP(w, r.Request)
	}
}

// answerHead answers HEAD requests for blobs with another status than distribution's.
func (g *gate) answerHead(w http.ResponseWriter, r request) {
	if g.headBlobs == http.StatusTemporaryRedirect {
		g.redirect(w, r)
		return
	}
	if g.headBlobs == http.StatusUnauthorized {
		g.challenge(w, r.Request)
	}
	w.WriteHeader(g.headBlobs)
}

// challenge requires the user name and token from GetAuthorizationToken.
func (g *gate) challenge(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Www-Authenticate", `Basic realm="`+g.scheme+`://`+r.Host+`/",service="ecr.amazonaws.com"`)
}

// redirect redirects the client to the bucket, as ECR does for every blob.
func (g *gate) redirect(w http.ResponseWriter, r request) {
	signed, err := g.bucket.sign(r.Context(), r.repo.name, r.reference)
	if err != nil {
		writeRegistryError(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
		return
	}
	w.Header().Set("Location", signed)
	w.WriteHeader(http.StatusTemporaryRedirect)
}

// meter counts bytes sent, except to the owner.
func (g *gate) meter(w http.ResponseWriter, r request, blob string) http.ResponseWriter {
	if r.owner || r.Method != http.MethodGet {
		return w
	}
	return g.traffic.wrap(w, blob)
}

// pull requests the manifest from the registry by digest, because tags are resolved here.
func (g *gate) pull(w http.ResponseWriter, r request) {
	img, ok := r.repo.resolve(r.reference)
	if !ok || !img.archived.IsZero() {
		writeRegistryError(w, http.StatusNotFound, "MANIFEST_UNKNOWN", imageNotFound)
		return
	}
	byDigest := r.Clone(r.Context())
	byDigest.URL.Path = "/v2/" + r.repo.name + "/manifests/" + img.digest.String()
	g.next.ServeHTTP(g.meter(w, r, ""), byDigest)
}

// push passes the manifest to the registry, and records it if the registry accepts it.
func (g *gate) push(w http.ResponseWriter, r request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxManifest))
	if err != nil {
		writeRegistryError(w, http.StatusRequestEntityTooLarge, "MANIFEST_INVALID", err.Error())
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	g.next.ServeHTTP(&pushWriter{ResponseWriter: w, accepted: func() {
		g.record(w, r, body)
	}}, r.Request)
}

// record runs before the response is sent, so that once a client has it, the image is listed.
func (g *gate) record(w http.ResponseWriter, r request, body []byte) {
	img, err := r.repo.push(r.reference, r.Header.Get("Content-Type"), body, g.account.now())
	if err == nil && img.subject != "" {
		w.Header().Set("OCI-Subject", img.subject.String())
	}
}

// pushWriter calls accepted before it reports that a manifest was created.
type pushWriter struct {
	http.ResponseWriter
	accepted func()
}

func (w *pushWriter) WriteHeader(status int) {
	if status == http.StatusCreated {
		w.accepted()
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap gives http.ResponseController the connection behind it.
func (w *pushWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// referrers is a response of the OCI 1.1 referrers API.
func (r *repository) referrers(subject string) ocispec.Index {
	index := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{},
	}
	for _, img := range r.list() {
		if img.subject.String() == subject && img.archived.IsZero() {
			index.Manifests = append(index.Manifests, ocispec.Descriptor{
				MediaType:    img.mediaType,
				Digest:       img.digest,
				Size:         int64(len(img.manifest)),
				ArtifactType: img.artifactType,
				Annotations:  img.annotations,
			})
		}
	}
	return index
}

func writeJSONBody(w http.ResponseWriter, contentType string, body any) {
	w.Header().Set("Content-Type", contentType)
	json.NewEncoder(w).Encode(body) //nolint:errcheck // the client is gone
}
