package transfer

import (
	"encoding/base32"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
)

// Realm is the part of the reference names that a run uses: it leaves no other references in an engine.
type Realm struct {
	Hosts    []string `json:"hosts"`    // of the source
	Projects []string `json:"projects"` // of the target repositories, with the host
}

// byDigest reports whether the reference is a digest reference in the realm.
func (r Realm) byDigest(ref string) bool {
	atSource := func(host string) bool { return strings.HasPrefix(ref, host+"/") }
	return isDigestReference(ref) && (r.atTarget(ref) || slices.ContainsFunc(r.Hosts, atSource))
}

// atTarget reports whether the reference is one of a target repository.
func (r Realm) atTarget(ref string) bool {
	repository := docker.RepositoryOf(ref)
	return slices.ContainsFunc(r.Projects, func(project string) bool {
		return repository == project || strings.HasPrefix(repository, project+"/")
	})
}

// isID reports whether it is an image ID, by which an engine removes only an image that has no second name.
func isID(ref string) bool { return digest.Digest(ref).Validate() == nil }

func isDigestReference(ref string) bool { return strings.Contains(ref, "@") }

// The program's own names in an engine. RFC 2606 reserves the domain, so no registry has them.
const (
	ownDomain    = "ecr2gitlab.invalid/"
	parkedPrefix = ownDomain + "parked/" // followed by a name that the run has taken: the user's image of that name
	markPrefix   = ownDomain + "run/"    // followed by a name that the run has given to an image of its own: that image
	anchorName   = ownDomain + "anchor"  // the tag is the ID of an image to which nothing referred before
	blankName    = ownDomain + "blank:1" // an empty image
	pinName      = ownDomain + "kept"    // the tag is the digest of a blob that later items need
)

// maxRepository is the longest name of a repository, without a tag, that every engine accepts.
const maxRepository = 255

var hostEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// ownName returns the name that encodes a tag reference, unless that is too long. The host is in base32, because a path
// cannot contain a port.
func ownName(prefix, ref string) (name string, ok bool) {
	host, path, _ := strings.Cut(ref, "/")
	name = prefix + hostEncoding.EncodeToString([]byte(host)) + "/" + path
	return name, len(docker.RepositoryOf(name)) <= maxRepository
}

// namedBy returns the reference that a name of ownName encodes.
func namedBy(prefix, name string) (ref string, ok bool) {
	encoded, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return "", false
	}
	host, path, _ := strings.Cut(encoded, "/")
	decoded, err := hostEncoding.DecodeString(host)
	return string(decoded) + "/" + path, err == nil && path != ""
}

func isOwn(name string) bool { return strings.HasPrefix(name, ownDomain) }

func anchorOf(id digest.Digest) string { return anchorName + ":" + id.Encoded() }
