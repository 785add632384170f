// Package world puts the test world together: an account at the AWS stand-in, a project at the GitLab stand-in, a
// real engine between them, and the program as a CI job would run it.
package world

import (
	"context"
	"errors"
	"fmt"
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

// Options are those of the parts.
type Options struct {
	AWS    aws.Options
	GitLab gitlab.Options

	// TLS has all registries and the bucket speak TLS, with certificates of an authority of the world's own, which the
	// engine and the program are told to trust. With E2E_TLS in the environment every world has it.
	TLS bool
}

// World is a running world. The engine is the caller's, who may use one for several worlds in turn.
type World struct {
	AWS    *aws.Server
	GitLab *gitlab.Server
	Engine *engine.Engine // nil: the program finds none

	authority string // file of its certificate; empty: no TLS
}

// Start starts both stand-ins, on addresses of their own: an engine remembers by host, without the port, where blobs
// came from, and would take the two registries for one.
func Start(ctx context.Context, e *engine.Engine, options Options) (*World, error) {
	if options.GitLab.Addr == "" {
		options.GitLab.Addr = "127.0.0.2:0"
	}
	if address := resolved(e); address != "" && options.AWS.BucketAddr == "" {
		options.AWS.BucketAddr, options.AWS.BucketName = address+":0", bucketName
	}
	w := &World{Engine: e}
	if err := w.start(ctx, options); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (w *World) start(ctx context.Context, options Options) (err error) {
	var authority *secure.Authority
	if options.TLS || os.Getenv("E2E_TLS") != "" {
		if authority, err = secure.NewAuthority(); err != nil {
			return err
		}
		options.AWS.Secure, options.GitLab.Secure = authority, authority
	}
	if w.AWS, err = aws.Start(ctx, options.AWS); err != nil {
		return fmt.Errorf("AWS stand-in: %w", err)
	}
	if w.GitLab, err = gitlab.Start(ctx, options.GitLab); err != nil {
		return fmt.Errorf("GitLab stand-in: %w", err)
	}
	return w.trust(authority)
}

// trust tells the engine and the program of the authority, if there is one.
func (w *World) trust(authority *secure.Authority) error {
	if authority == nil {
		return nil
	}
	file, err := os.CreateTemp("", "world-*.crt")
	if err != nil {
		return err
	}
	w.authority = file.Name()
	if _, err := file.Write(authority.PEM); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := file.Close(); err != nil || w.Engine == nil {
		return err
	}
	return errors.Join(w.Engine.Trust(w.AWS.RegistryHost, authority.PEM), w.Engine.Trust(w.GitLab.Registry, authority.PEM))
}

// bucketName is the one in the region that a world has unless it is told otherwise.
var bucketName = aws.BucketHost("eu-central-1")

// Hosts are the names of a world with the addresses that it gives them, for the engines that are to know them.
func Hosts() map[string]string { return map[string]string{bucketName: "127.0.0.3"} }

// resolved is where the engine finds the bucket by its name; empty: it does not know the name.
func resolved(e *engine.Engine) string {
	if e == nil {
		return ""
	}
	return e.Hosts[bucketName]
}

// Close ends both stand-ins.
func (w *World) Close() error {
	var errs []error
	if w.AWS != nil {
		errs = append(errs, w.AWS.Close())
	}
	if w.GitLab != nil {
		errs = append(errs, w.GitLab.Close())
	}
	if w.authority != "" {
		errs = append(errs, os.Remove(w.authority))
	}
	return errors.Join(errs...)
}

// Env is what a CI job's environment holds in this world.
func (w *World) Env() []string {
	env := append(w.AWS.Env(), w.GitLab.Env()...)
	if w.Engine != nil {
		env = append(env, "DOCKER_HOST="+w.Engine.Host)
	}
	if w.authority != "" {
		env = append(env, "SSL_CERT_FILE="+w.authority)
	}
	return env
}

// Owner returns a repository at ECR as the account's owner may push to it.
func (w *World) Owner(repository string) (name.Repository, authn.Authenticator, error) {
	repo, err := name.NewRepository(w.AWS.RegistryHost+"/"+repository, name.Insecure)
	return repo, authn.FromConfig(w.AWS.AdminAuth()), err
}

// Fill creates an account's repositories at ECR and pushes their images.
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

// Source is an image at ECR, for the independent client.
func (w *World) Source(repository, reference string) check.Ref {
	return check.Ref{Name: w.AWS.RegistryHost + "/" + repository + reference, Auth: authn.FromConfig(w.AWS.AdminAuth())}
}

// Target is an image at GitLab, for the independent client.
func (w *World) Target(repository, reference string) check.Ref {
	return check.Ref{Name: w.GitLab.Image + "/" + repository + reference, Auth: w.GitLab.Auth()}
}
