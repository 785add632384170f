// Package gitlab emulates GitLab's container registry: a real registry behind a token service like GitLab's /jwt/auth,
// which rejects what GitLab rejects.
package gitlab

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/registry"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/secure"
)

// Options configures the stand-in. The zero value is a project "group/project" on loopback, with a random job token.
type Options struct {
	Dir string // stores pushed content; empty: a temporary folder, removed by Close

	// Addr is the host:port the registry listens on, at which clients must be able to reach it; empty: 127.0.0.1:0.
	Addr string

	// Announce maps the registry's listening host:port to the one given to clients, such as a proxy's; nil: unchanged.
	Announce func(listening string) (string, error)

	// TokenAddr is the host:port /jwt/auth listens on; empty: the registry's. On GitLab.com it is a different host, but
	// go-containerregistry follows a realm to a private address only if the address is the registry's own.
	TokenAddr string

	// StorageAddr is the host:port of the object storage that blob reads are redirected to, as on GitLab.com; empty:
	// the registry sends blobs itself, as small instances do.
	StorageAddr string

	Project  string // full path of the job's project; empty: group/project
	User     string // empty: gitlab-ci-token, as in a CI job
	Password string // the job token; empty: a random one

	// TokenLifetime is how long a token from /jwt/auth is valid; 0: 5 minutes, GitLab's default.
	TokenLifetime time.Duration

	// Secure makes the registry, the token service and the object storage use TLS with certificates of this authority;
	// nil: plain HTTP.
	Secure *secure.Authority

	// Link puts a slower network in front of the listeners of the registry, the token service and the object storage, below
	// TLS; nil: none.
	Link func(net.Listener) net.Listener

	// Refusals are the initial refusals; Refuse changes them.
	Refusals Refusals

	// Wrap adds middleware around the registry, the token service and the object storage, outside everything else.
	Wrap func(http.Handler) http.Handler
}

// Server is a running stand-in.
type Server struct {
	Registry string // host:port as announced, as in CI_REGISTRY
	Image    string // host:port/group/project, as in CI_REGISTRY_IMAGE
	User     string
	Password string
	Project  string

	registry *registry.Server
	tokens   *tokenService
	rules    *rules
	storage  storage
	counters counters
	tmp      string // removed by Close; may be empty
}

// Start starts the registry and its token service, both ready when it returns. ctx applies only to the start: they run
// until Close.
func Start(ctx context.Context, opts Options) (*Server, error) {
	s := &Server{
		User:     cmp.Or(opts.User, "gitlab-ci-token"),
		Password: cmp.Or(opts.Password, "glcbt-64_"+rand.Text()),
		Project:  cmp.Or(opts.Project, "group/project"),
	}
	if err := s.start(ctx, opts); err != nil {
		return nil, errors.Join(fmt.Errorf("gitlab: %w", err), s.Close())
	}
	s.Image = s.Registry + "/" + s.Project
	return s, nil
}

func (s *Server) start(ctx context.Context, opts Options) (err error) {
	dir := opts.Dir
	if dir == "" {
		if s.tmp, err = os.MkdirTemp("", "gitlab-"); err != nil {
			return err
		}
		dir = s.tmp
	}
	issuer, err := newIssuer(dir, cmp.Or(opts.TokenLifetime, 5*time.Minute))
	if err != nil {
		return err
	}
	s.rules = &rules{refusals: opts.Refusals, realm: func() string { return s.tokens.realm }}
	s.tokens = &tokenService{user: s.User, password: s.Password, project: s.Project, issuer: issuer, refusals: s.rules.now}
	return s.serve(ctx, dir, opts)
}

func (s *Server) serve(ctx context.Context, dir string, opts Options) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", cmp.Or(opts.Addr, "127.0.0.1:0"))
	if err != nil {
		return err
	}
	if s.Registry, err = opts.announce(listener.Addr().String()); err != nil {
		return errors.Join(err, listener.Close())
	}
	s.tokens.realm = opts.Secure.Scheme() + "://" + s.Registry + tokenPath
	if opts.TokenAddr != "" {
		if err := s.tokens.listen(ctx, opts, s.wrap(opts, s.tokens)); err != nil {
			return errors.Join(err, listener.Close())
		}
	}
	s.storage.issuer = s.tokens.issuer
	var inner http.Handler
	s.registry, err = registry.Start(ctx, registry.Options{
		Dir:      dir,
		Listener: listener,
		Link:     opts.Link,
		Secure:   opts.Secure,
		Auth:     s.tokens.accessController(),
		Wrap: func(next http.Handler) http.Handler {
			inner = next
			mux := http.NewServeMux()
			mux.Handle("/", s.counters.wrap(s.storage.wrap(s.rules.wrap(next))))
			if opts.TokenAddr == "" || opts.Secure != nil { // Guard sends the tests' own client there
				mux.Handle(tokenPath, s.tokens)
			}
			return s.wrap(opts, mux)
		},
	})
	if err != nil || opts.StorageAddr == "" {
		return err
	}
	return s.storage.listen(ctx, opts, inner)
}

func (opts Options) announce(listening string) (string, error) {
	if opts.Announce == nil {
		return listening, nil
	}
	return opts.Announce(listening)
}

// link returns the listener behind Link, with TLS if there is an authority.
func (opts Options) link(listener net.Listener) (net.Listener, error) {
	if opts.Link != nil {
		listener = opts.Link(listener)
	}
	return opts.Secure.Listen(listener)
}

func (s *Server) wrap(opts Options, h http.Handler) http.Handler {
	h = s.rules.wrapFailures(h)
	if opts.Wrap != nil {
		h = opts.Wrap(h)
	}
	return h
}

// Close stops both servers within seconds.
func (s *Server) Close() error {
	var errs []error
	if s.registry != nil {
		errs = append(errs, s.registry.Close())
	}
	if s.tokens != nil {
		errs = append(errs, s.tokens.close())
	}
	errs = append(errs, s.storage.close())
	if s.tmp != "" {
		errs = append(errs, os.RemoveAll(s.tmp))
	}
	return errors.Join(errs...)
}

// Env returns the variables that GitLab sets in a job for its registry, as NAME=value.
func (s *Server) Env() []string {
	return []string{
		"CI_REGISTRY=" + s.Registry,
		"CI_REGISTRY_IMAGE=" + s.Image,
		"CI_REGISTRY_USER=" + s.User,
		"CI_REGISTRY_PASSWORD=" + s.Password,
	}
}

// Auth returns the job's credentials for go-containerregistry.
func (s *Server) Auth() authn.Authenticator {
	return &authn.Basic{Username: s.User, Password: s.Password}
}

// Fail has f check requests to the registry and to /jwt/auth first: if ok is true, they are answered with the status
// and a registry's error body. f is called concurrently; nil disables it.
func (s *Server) Fail(f func(*http.Request) (status int, ok bool)) { s.rules.fail(f) }

// Revoke revokes the job token: /jwt/auth rejects it from now on. Registry tokens that it was exchanged for remain
// valid.
func (s *Server) Revoke() { s.tokens.revoked.Store(true) }

// Reinstate undoes Revoke.
func (s *Server) Reinstate() { s.tokens.revoked.Store(false) }

// BytesIn returns the bytes of blobs sent to the registry so far, including rejected uploads.
func (s *Server) BytesIn() int64 { return s.counters.bytes.Load() }

// Uploads returns how often each blob was completely uploaded, by digest. Mounts do not count.
func (s *Server) Uploads() map[string]int { return s.counters.snapshot() }

// StorageRequests returns the number of requests to the object storage so far, including rejected ones.
func (s *Server) StorageRequests() int { return int(s.storage.requests.Load()) }

// Tokens returns the number of tokens that /jwt/auth has issued.
func (s *Server) Tokens() int { return int(s.tokens.issued.Load()) }
