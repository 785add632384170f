// Package world sets up a test environment: an account at the AWS stand-in, a project at the GitLab stand-in, a real
// engine between them, and the program as a CI job would run it.
package world

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/aws"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/check"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/corpus"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/gitlab"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/secure"
)

// Options combines the options of the parts.
type Options struct {
	AWS    aws.Options
	GitLab gitlab.Options

	// Authority signs the servers' certificates, except where AWS or GitLab has its own; the caller makes clients trust
	// it. nil: the world's own, which the engine and the program trust.
	Authority *secure.Authority

	// Plain makes all servers use plain HTTP instead of TLS. With TLS, the engine must have been started with Verify, because
	// an engine without that uses plain HTTP for registries on loopback.
	Plain bool
}

// World is a running test environment. The engine belongs to the caller, who may use it for several worlds in turn.
type World struct {
	AWS    *aws.Server
	GitLab *gitlab.Server
	Engine *engine.Engine // nil: the program finds no engine

	authority     *secure.Authority // nil: no TLS, or the caller's
	authorityFile string            // with its certificate
}

// Start starts both stand-ins, on separate addresses: an engine remembers the source of blobs by host, without the
// port, and would confuse the two registries.
func Start(ctx context.Context, e *engine.Engine, options Options) (*World, error) {
	if e != nil && len(e.HostAddrs) == 0 && !options.Plain {
		return nil, errors.New("an engine without Verify needs a world with Plain")
	}
	options.place(e)
	w := &World{Engine: e}
	if err := w.start(ctx, options); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// place chooses the servers' addresses, as far as the caller has not: those that the engine reaches, if it is in a network
// of its own. There, GitLab has a token service and object storage on other hosts, as GitLab.com has.
func (o *Options) place(e *engine.Engine) {
	set := func(addr *string, host string) {
		if *addr == "" {
			*addr = net.JoinHostPort(host, "0")
		}
	}
	if e != nil && len(e.HostAddrs) > 0 {
		set(&o.AWS.Addr, e.HostAddrs[0])
		set(&o.GitLab.Addr, e.HostAddrs[1])
		set(&o.GitLab.TokenAddr, e.HostAddrs[3])
		set(&o.GitLab.StorageAddr, e.HostAddrs[4])
		if e.Hosts[bucketName] == "" {
			set(&o.AWS.BucketAddr, e.HostAddrs[bucketAddr])
		}
	}
	set(&o.GitLab.Addr, "127.0.0.2")
	if e != nil && e.Hosts[bucketName] != "" && o.AWS.BucketAddr == "" {
		set(&o.AWS.BucketAddr, e.Hosts[bucketName])
		o.AWS.BucketName, o.AWS.BucketAlias = bucketName, Hosts(nil)[bucketName]
	}
}

func (w *World) start(ctx context.Context, options Options) (err error) {
	own := options.Authority == nil && !options.Plain
	if own {
		if options.Authority, err = secure.NewAuthority(); err != nil {
			return err
		}
	}
	if !options.Plain {
		options.AWS.Secure = cmp.Or(options.AWS.Secure, options.Authority)
		options.GitLab.Secure = cmp.Or(options.GitLab.Secure, options.Authority)
	}
	if w.AWS, err = aws.Start(ctx, options.AWS); err != nil {
		return fmt.Errorf("AWS stand-in: %w", err)
	}
	if w.GitLab, err = gitlab.Start(ctx, options.GitLab); err != nil {
		return fmt.Errorf("GitLab stand-in: %w", err)
	}
	if !own {
		return nil
	}
	return w.trust(options.Authority)
}

// trust makes the engine and the program trust the authority.
func (w *World) trust(authority *secure.Authority) error {
	w.authority = authority
	file, err := os.CreateTemp("", "world-*.crt")
	if err != nil {
		return err
	}
	w.authorityFile = file.Name()
	if _, err := file.Write(authority.PEM); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := file.Close(); err != nil || w.Engine == nil {
		return err
	}
	return w.TrustedBy(w.Engine)
}

// TrustedBy makes another engine trust the registries, too.
func (w *World) TrustedBy(e *engine.Engine) error {
	return errors.Join(e.Trust(w.AWS.RegistryHost, w.authority.PEM), e.Trust(w.GitLab.Registry, w.authority.PEM))
}

// bucketName is the bucket's name in the default region of a world.
var bucketName = aws.BucketHost("eu-central-1")

// bucketAddr is the bucket's address among an engine's HostAddrs.
const bucketAddr = 2

// Hosts returns the names of a world with their addresses, for an engine with these HostAddrs, which may be none.
func Hosts(hostAddrs []string) map[string]string {
	if len(hostAddrs) > bucketAddr {
		return map[string]string{bucketName: hostAddrs[bucketAddr]}
	}
	return map[string]string{bucketName: "127.0.0.3"}
}

// Close stops both stand-ins.
func (w *World) Close() error {
	var errs []error
	if w.AWS != nil {
		errs = append(errs, w.AWS.Close())
	}
	if w.GitLab != nil {
		errs = append(errs, w.GitLab.Close())
	}
	if w.authorityFile != "" {
		errs = append(errs, os.Remove(w.authorityFile))
	}
	return errors.Join(errs...)
}

// Env returns the environment of a CI job in this world.
func (w *World) Env() []string { return w.EnvWith(w.AWS.Env()) }

// EnvWith is Env with these credentials for AWS.
func (w *World) EnvWith(credentials []string) []string {
	env := append(credentials, w.GitLab.Env()...)
	if w.Engine != nil {
		env = append(env, "DOCKER_HOST="+w.Engine.Host)
	}
	if w.authorityFile != "" {
		env = append(env, "SSL_CERT_FILE="+w.authorityFile)
	}
	return env
}

// ShellEnv is Env for a user's shell, where the AWS CLI does not read SSL_CERT_FILE, and AWS_CA_BUNDLE may be set, which the SDK
// prefers.
func (w *World) ShellEnv() []string {
	env := w.Env()
	if w.authorityFile != "" {
		env = append(env, "AWS_CA_BUNDLE="+w.authorityFile)
	}
	return env
}

// Owner returns access to a repository in ECR with the permissions of the account's owner, including push.
func (w *World) Owner(repository string) (name.Repository, authn.Authenticator, error) {
	repo, err := name.NewRepository(w.AWS.RegistryHost+"/"+repository, name.Insecure)
	return repo, authn.FromConfig(w.AWS.AdminAuth()), err
}

// Fill creates an account's repositories in ECR and pushes their images.
func (w *World) Fill(ctx context.Context, account []corpus.Repository) error {
	for _, repository := range account {
		if _, err := w.AWS.CreateRepository(repository.Name); err != nil {
			return err
		}
		repo, auth, err := w.Owner(repository.Name)
		if err != nil {
			return err
		}
		if err := repository.Push(ctx, repo, auth); err != nil {
			return fmt.Errorf("push %s: %w", repository.Name, err)
		}
	}
	return nil
}

// Source returns an image in ECR, for the independent client.
func (w *World) Source(repository, reference string) check.Ref {
	return check.Ref{Name: w.AWS.RegistryHost + "/" + repository + reference, Auth: authn.FromConfig(w.AWS.AdminAuth())}
}

// Target returns an image in GitLab, for the independent client.
func (w *World) Target(repository, reference string) check.Ref {
	return check.Ref{Name: w.GitLab.Image + "/" + repository + reference, Auth: w.GitLab.Auth()}
}
