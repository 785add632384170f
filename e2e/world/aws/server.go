// Package aws emulates AWS: STS and ECR with their wire protocols, and a real registry that accepts only tokens from
// this ECR.
package aws

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/registry"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/secure"
)

// Options configures the stand-in. The zero value is an empty account on loopback with one user, who has the tutorial's
// IAM policy.
type Options struct {
	Dir     string // stores pushed content; empty: a temporary folder, removed by Close
	Addr    string // host:port of the registry; empty: 127.0.0.1:0
	APIAddr string // host:port of STS and ECR; empty: 127.0.0.1:0

	// BucketAddr is the host:port of the bucket that blob reads are redirected to; empty: 127.0.0.1:0. BucketName is
	// the host in its URLs, such as BucketHost's, which all clients must resolve to BucketAddr; empty: that address.
	BucketAddr string
	BucketName string

	// BucketAlias is another IP address at which the bucket listens, on the same port, for clients that resolve BucketName
	// to it; empty: none.
	BucketAlias string

	// Direct makes the registry send blobs itself, unlike ECR.
	Direct bool

	// Secure makes the API, the registry and the bucket use TLS with certificates of this authority; nil: plain HTTP.
	Secure *secure.Authority

	// HeadBlobs is the status of responses to HEAD requests for blobs, such as 401, which public.ecr.aws has been seen
	// to return, or 307, a redirect to the bucket, which rejects HEAD with a URL signed for GET; 0: 200 or 404, as in
	// distribution.
	HeadBlobs int

	AccountID string // account of the registry; empty: 123456789012
	Region    string // empty: eu-central-1

	// IdentityAccountID is the account of the user and the role; empty: AccountID. An identity of another account sees
	// that account's registry, which is empty, and has no access to this one.
	IdentityAccountID string

	// CrossAccount gives the repositories a policy that allows another account's identity everything that its own
	// policy allows.
	CrossAccount bool

	// WebIdentityToken is what AssumeRoleWithWebIdentity exchanges for credentials; empty: no token is accepted.
	WebIdentityToken string
	RoleARN          string // the role to assume with it; empty: role/gitlab-ci in the identity's account

	MaxSession time.Duration // the role's maximum session duration; 0: 1 hour, IAM's default

	TokenLifetime time.Duration // of registry tokens; 0: 12 hours, as in ECR

	// Announce maps the registry's listening host:port to the one given to clients, such as a proxy's; nil: unchanged.
	Announce func(listening string) (string, error)

	// MaxPage limits the items per page below what the caller requests; 0: no limit.
	MaxPage int

	// Link puts a slower network in front of the listeners of the API, the registry and the bucket, below TLS; nil: none.
	Link func(net.Listener) net.Listener

	// Wrap adds middleware around the API, the registry and the bucket, outside everything else.
	Wrap func(http.Handler) http.Handler

	// Now is the clock for credentials, tokens and pushes; nil: time.Now.
	Now func() time.Time
}

// Server is a running stand-in.
type Server struct {
	Endpoint     string // URL of STS and ECR, as in AWS_ENDPOINT_URL
	RegistryHost string // host:port of the registry, as announced
	BucketHost   string // host:port of the bucket, as in the URLs of layers
	AccountID    string
	Region       string

	AccessKeyID     string // of the user
	SecretAccessKey string
	RoleARN         string

	webIdentityToken string
	user             *identity
	account          *account
	tokens           *tokens
	policy           *policy
	traffic          *traffic
	bucket           *bucket
	direct           bool
	scheme           string // of the registry's URL
	headBlobs        int
	api              *api
	registry         *registry.Server
	http             *http.Server
}

// Start starts the API and the registry, both ready when it returns. ctx applies only to the start: they run until
// Close.
func Start(ctx context.Context, opts Options) (*Server, error) {
	opts = withDefaults(opts)
	s := &Server{
		AccountID:        opts.AccountID,
		Region:           opts.Region,
		RoleARN:          opts.RoleARN,
		webIdentityToken: opts.WebIdentityToken,
		account:          newAccount(opts.AccountID, opts.Now),
		tokens:           newTokens(opts.TokenLifetime, opts.Now),
		policy:           newPolicy(opts),
		traffic:          &traffic{},
		direct:           opts.Direct,
		scheme:           opts.Secure.Scheme(),
		headBlobs:        opts.HeadBlobs,
	}
	s.bucket = newBucket(opts, s.traffic)
	if err := s.start(ctx, opts); err != nil {
		return nil, errors.Join(fmt.Errorf("aws: %w", err), s.Close())
	}
	return s, nil
}

func withDefaults(opts Options) Options {
	opts.AccountID = cmp.Or(opts.AccountID, "123456789012")
	opts.IdentityAccountID = cmp.Or(opts.IdentityAccountID, opts.AccountID)
	opts.Region = cmp.Or(opts.Region, "eu-central-1")
	opts.RoleARN = cmp.Or(opts.RoleARN, "arn:aws:iam::"+opts.IdentityAccountID+":role/gitlab-ci")
	opts.MaxSession = cmp.Or(opts.MaxSession, sessionLifetime)
	opts.TokenLifetime = cmp.Or(opts.TokenLifetime, 12*time.Hour)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Announce == nil {
		opts.Announce = func(listening string) (string, error) { return listening, nil }
	}
	if opts.Link == nil {
		opts.Link = func(l net.Listener) net.Listener { return l }
	}
	if opts.Wrap == nil {
		opts.Wrap = func(h http.Handler) http.Handler { return h }
	}
	return opts
}

func (s *Server) start(ctx context.Context, opts Options) (err error) {
	var blobs http.Handler
	s.registry, err = registry.Start(ctx, registry.Options{
		Dir:    opts.Dir,
		Addr:   opts.Addr,
		Link:   opts.Link,
		Secure: opts.Secure,
		Wrap: func(next http.Handler) http.Handler {
			blobs = next
			return opts.Wrap(s.gate(next))
		},
	})
	if err != nil {
		return err
	}
	if s.RegistryHost, err = opts.Announce(s.registry.Host); err != nil {
		return err
	}
	if err := s.bucket.listen(ctx, opts, blobs); err != nil {
		return err
	}
	s.BucketHost = s.bucket.base.Host
	s.api = newAPI(s, opts)
	s.user = s.api.keys.addUser(opts.IdentityAccountID)
	s.AccessKeyID, s.SecretAccessKey = s.user.accessKeyID, s.user.secret
	return s.listen(ctx, opts, opts.Wrap(s.api))
}

func (s *Server) listen(ctx context.Context, opts Options, h http.Handler) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", cmp.Or(opts.APIAddr, "127.0.0.1:0"))
	if err != nil {
		return err
	}
	s.Endpoint = s.scheme + "://" + listener.Addr().String()
	if listener, err = opts.Secure.Listen(opts.Link(listener)); err != nil {
		return err
	}
	s.http = &http.Server{Handler: opts.Secure.Guard(h), ReadHeaderTimeout: time.Minute}
	go s.http.Serve(listener) //nolint:errcheck // returns ErrServerClosed, by Close
	return nil
}

// Close stops the API and the bucket immediately, and the registry within seconds.
func (s *Server) Close() error {
	errs := []error{s.bucket.close()}
	if s.http != nil {
		errs = append(errs, s.http.Close())
	}
	if s.registry != nil {
		errs = append(errs, s.registry.Close())
	}
	return errors.Join(errs...)
}

// Env returns the variables of a CI job that uses the user's access key, as NAME=value.
func (s *Server) Env() []string {
	return append(s.commonEnv(),
		"AWS_ACCESS_KEY_ID="+s.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY="+s.SecretAccessKey,
	)
}

// WebIdentityEnv returns the variables of a CI job that assumes the role with an ID token instead.
func (s *Server) WebIdentityEnv() []string {
	return append(s.commonEnv(),
		"AWS_ROLE_ARN="+s.RoleARN,
		"AWS_WEB_IDENTITY_TOKEN="+s.webIdentityToken,
		// The SDK's default chain creates its STS client before it reads AWS_ENDPOINT_URL.
		"AWS_ENDPOINT_URL_STS="+s.Endpoint,
	)
}

func (s *Server) commonEnv() []string {
	return []string{
		"AWS_ACCOUNT_ID=" + s.AccountID,
		"AWS_DEFAULT_REGION=" + s.Region,
		"AWS_ENDPOINT_URL=" + s.Endpoint,
	}
}

// CreateRepository creates an empty repository and returns its URI: host:port/name. It fails if the name is invalid in
// ECR or already exists.
func (s *Server) CreateRepository(name string) (repositoryURI string, err error) {
	if err := s.account.create(name); err != nil {
		return "", fmt.Errorf("create repository %q: %w", name, err)
	}
	return s.RegistryHost + "/" + name, nil
}

// AdminAuth returns credentials of the account's owner, who may push. They never expire.
func (s *Server) AdminAuth() authn.AuthConfig {
	return authn.AuthConfig{Username: tokenUser, Password: s.tokens.admin}
}

// PullAuth returns credentials of the user, who may pull, as GetAuthorizationToken issues them.
func (s *Server) PullAuth() authn.AuthConfig {
	token, _ := s.tokens.issue(s.user)
	return authn.AuthConfig{Username: tokenUser, Password: token}
}

// Archive archives an image: it is still listed, but can no longer be pulled.
func (s *Server) Archive(repo string, digest digest.Digest) error {
	return s.account.archive(repo, digest)
}

// Untag removes a tag; its image stays.
func (s *Server) Untag(repo, tag string) error { return s.account.untag(repo, tag) }

// Tag adds a tag to an image of the repository, and removes it from the image that had it.
func (s *Server) Tag(repo, tag string, digest digest.Digest) error {
	return s.account.tag(repo, tag, digest)
}

// Record lists a manifest under a tag, or under its digest, as if it had been pushed. The registry has neither the
// manifest nor its blobs: the image can be described, but not pulled. Record the children of an index first.
func (s *Server) Record(repo, reference, mediaType string, manifest []byte) error {
	return s.account.record(repo, reference, mediaType, manifest)
}

// Throttle answers the next n calls of STS and ECR with "Rate exceeded".
func (s *Server) Throttle(n int) { s.api.throttle(n) }

// Deny removes actions ("BatchGetImage") from the identity's policy, for the API and the registry.
func (s *Server) Deny(actions ...string) { s.policy.deny(actions) }

// ExpireTokens expires all registry tokens issued so far, before their expiresAt.
func (s *Server) ExpireTokens() { s.tokens.expire() }

// DenyBucket makes the bucket reject all reads, or stops that. It acts like an S3 endpoint policy without s3:GetObject
// on the bucket: ECR itself is not affected.
func (s *Server) DenyBucket(denied bool) { s.bucket.denied.Store(denied) }

// ExpireURLs sets the bucket's clock ahead of ECR's, so that every URL has expired when it is used, or resets it.
func (s *Server) ExpireURLs(expired bool) { s.bucket.expired.Store(expired) }

// BucketRequests returns the number of requests that the bucket has received, including rejected ones.
func (s *Server) BucketRequests() int { return int(s.bucket.requests.Load()) }

// Calls returns the number of API calls received so far by action, including rejected ones.
func (s *Server) Calls() map[string]int { return s.api.calls.snapshot() }

// BytesOut returns the bytes of manifests and blobs that the registry and the bucket have sent, except to the owner.
func (s *Server) BytesOut() int64 { return s.traffic.bytes.Load() }

// BlobBytesOut is like BytesOut for blobs only.
func (s *Server) BlobBytesOut() int64 { return s.traffic.blobBytes.Load() }

// BlobPulls returns how often each blob was read, by digest, except by the owner.
func (s *Server) BlobPulls() map[string]int { return s.traffic.blobs.snapshot() }
