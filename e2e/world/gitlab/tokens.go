package gitlab

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/distribution/distribution/v3/configuration"
)

const tokenPath = "/jwt/auth"

// accessDenied is GitLab's response to a wrong or expired job token.
const accessDenied = "HTTP Basic: Access denied. If a password was provided for Git authentication, the password was incorrect " +
	"or you're required to use a token instead of a password. If a token was provided, it was either incorrect, expired, or improperly scoped."

// tokenService is /jwt/auth, which exchanges a job token for a registry token.
type tokenService struct {
	user, password, project string

	refusals func() Refusals

	issuer  *issuer
	issued  atomic.Int64
	revoked atomic.Bool  // the password
	realm   string       // URL of the service
	server  *http.Server // nil: the registry's serves it
}

// listen serves handler, the service with its middleware, on its own address until close.
func (ts *tokenService) listen(ctx context.Context, opts Options, handler http.Handler) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", opts.TokenAddr)
	if err != nil {
		return err
	}
	ts.realm = opts.Secure.Scheme() + "://" + listener.Addr().String() + tokenPath
	if listener, err = opts.link(listener); err != nil {
		return err
	}
	ts.server = &http.Server{Handler: opts.Secure.Guard(handler), ReadHeaderTimeout: time.Minute}
	go ts.server.Serve(listener) //nolint:errcheck // returns ErrServerClosed, by close
	return nil
}

func (ts *tokenService) close() error {
	if ts.server == nil {
		return nil
	}
	return ts.server.Close()
}

// accessController configures a registry to accept tokens from this service only.
func (ts *tokenService) accessController() configuration.Auth {
	return configuration.Auth{"token": {
		"realm":          ts.realm,
		"service":        service,
		"issuer":         issuerName,
		"rootcertbundle": ts.issuer.bundle,
	}}
}

// ServeHTTP responds as GitLab does, including 404 to the POST that Docker tries first.
func (ts *tokenService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	user, password, ok := r.BasicAuth()
	switch {
	case r.URL.Path != tokenPath, r.Method != http.MethodGet:
		w.WriteHeader(http.StatusNotFound)
	case ok && !ts.known(user, password):
		writeError(w, http.StatusUnauthorized, "UNAUTHORIZED", accessDenied)
	case query.Get("service") != service:
		w.WriteHeader(http.StatusNotFound)
	case ts.refusals().Off:
		writeError(w, http.StatusNotFound, "UNAVAILABLE", "registry not enabled")
	case ok && ts.pushProtected(query["scope"]):
		writeError(w, http.StatusForbidden, "DENIED", "Pushing to protected repository path forbidden")
	case !ok && !query.Has("scope"):
		writeError(w, http.StatusForbidden, "DENIED", "access forbidden")
	default:
		ts.issue(w, user, ok, query["scope"])
	}
}

func (ts *tokenService) known(user, password string) bool {
	sameUser := subtle.ConstantTimeCompare([]byte(user), []byte(ts.user))
	samePassword := subtle.ConstantTimeCompare([]byte(password), []byte(ts.password))
	return sameUser&samePassword == 1 && !ts.revoked.Load()
}

// issue issues a token for the scopes, each of which is a list separated by spaces. Scopes that the job does not have
// are omitted from the token; the registry then rejects the request.
func (ts *tokenService) issue(w http.ResponseWriter, user string, loggedIn bool, scopes []string) {
	list := []access{}
	for _, scope := range strings.Fields(strings.Join(scopes, " ")) {
		if a, ok := ts.grant(scope); ok && loggedIn {
			list = append(list, a)
		}
	}
	signed, err := ts.issuer.sign(user, list)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	ts.issued.Add(1)
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]string{"token": signed}) //nolint:errcheck // the client is gone
}

// pushProtected reports whether a scope includes pushing to a protected repository: then no token is issued.
func (ts *tokenService) pushProtected(scopes []string) bool {
	protected := ts.refusals().ProtectedRepositories
	return slices.ContainsFunc(strings.Fields(strings.Join(scopes, " ")), func(scope string) bool {
		name, actions, _ := strings.Cut(strings.TrimPrefix(scope, "repository:"), ":")
		return slices.Contains(strings.Split(actions, ","), "push") && matches(protected, name)
	})
}

// grant returns a job's permissions for "repository:name:action,…": pull and push, in its own project.
func (ts *tokenService) grant(scope string) (access, bool) {
	kind, rest, _ := strings.Cut(scope, ":")
	name, actions, _ := strings.Cut(rest, ":")
	if kind != "repository" || !inProject(name, ts.project) || ts.refusals().ProjectOff {
		return access{}, false
	}
	allowed := slices.DeleteFunc(strings.Split(actions, ","), func(action string) bool {
		return action != "pull" && action != "push"
	})
	return access{Type: kind, Name: name, Actions: allowed}, len(allowed) > 0
}
