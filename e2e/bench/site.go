package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/aws"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/check"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/faults"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/gitlab"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/secure"
)

// source is what all contenders share on one network: the account in ECR, filled once, and the addresses of the servers.
type source struct {
	*aws.Server
	network  Network
	place    *engine.Place
	distance faults.Distance
	requests requests

	authority     *secure.Authority // nil: plain HTTP
	authorityFile string            // with its certificate
}

func (b *bench) startSource(ctx context.Context, network Network) (*source, error) {
	s := &source{network: network}
	err := s.start(ctx, filepath.Join(b.dir, "authority.crt"))
	if err == nil {
		w := world.World{AWS: s.Server}
		err = w.Fill(ctx, b.account.all())
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *source) start(ctx context.Context, authorityFile string) (err error) {
	if s.place, err = engine.StartPlace(engine.PlaceOptions{Hosts: world.Hosts, Rate: s.network.bits()}); err != nil {
		return err
	}
	if s.network.TLS {
		if s.authority, err = secure.NewAuthority(); err != nil {
			return err
		}
		s.authorityFile = authorityFile
		if err := os.WriteFile(authorityFile, s.authority.PEM, 0o644); err != nil {
			return err
		}
	}
	options := aws.Options{
		Addr: s.addr(0), APIAddr: s.addr(0), BucketAddr: s.addr(2),
		Link: s.distance.Link, Wrap: s.requests.wrap(awsRequest), Secure: s.authority,
	}
	for name := range world.Hosts(s.place.HostAddrs) {
		options.BucketName = name
	}
	s.Server, err = aws.Start(ctx, options)
	return err
}

// addr returns a free port on one of the place's addresses. An engine tells registries apart by their IP addresses.
func (s *source) addr(i int) string { return net.JoinHostPort(s.place.HostAddrs[i], "0") }

// Close stops the stand-in and removes the place.
func (s *source) Close() error {
	var errs []error
	if s.Server != nil {
		errs = append(errs, s.Server.Close())
	}
	if s.place != nil {
		errs = append(errs, s.place.Close())
	}
	return errors.Join(errs...)
}

// site is the environment of one contender, with its own GitLab and engine.
type site struct {
	world.World
	source *source
	dir    string // for the contender's configuration
	tags   []tag  // currently in ECR
}

// Engines get more disk space than any contender has filled. The file behind it is sparse.
const engineDisk = 8 << 30

func newSite(ctx context.Context, src *source, c contender) (_ *site, err error) {
	s := &site{World: world.World{AWS: src.Server}, source: src}
	if s.dir, err = os.MkdirTemp("", "ecr2gitlab-bench-site-"); err != nil {
		return nil, err
	}
	if err := s.start(ctx, c); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *site) start(ctx context.Context, c contender) (err error) {
	src := s.source
	options := gitlab.Options{
		Addr: src.addr(1), Link: src.distance.Link, Wrap: src.requests.wrap(gitlabRequest), Secure: src.authority,
	}
	if src.network.TLS {
		options.TokenAddr, options.StorageAddr = src.addr(3), src.addr(4)
	}
	if s.GitLab, err = gitlab.Start(ctx, options); err != nil || c.kind == "" {
		return err
	}
	args := c.engineArgs
	if !src.network.TLS {
		args = append([]string{"--insecure-registry=" + engine.Subnet.String()}, args...)
	}
	s.Engine, err = engine.Start(ctx, c.kind, engine.Options{
		Disk: engineDisk, Args: args, Rate: src.network.bits(),
		// Its own network, from which it reaches the servers at the place's addresses.
		Verify: true, Hosts: func([]string) map[string]string { return world.Hosts(src.place.HostAddrs) },
	})
	if err != nil || !src.network.TLS {
		return err
	}
	return errors.Join(
		s.Engine.Trust(src.RegistryHost, src.authority.PEM), s.Engine.Trust(s.GitLab.Registry, src.authority.PEM))
}

// enter has a contender's command share its engine's network, or have one like it, and trust the servers.
func (s *site) enter(cmd *exec.Cmd) {
	if file := s.source.authorityFile; file != "" {
		cmd.Env = append(cmd.Env, "SSL_CERT_FILE="+file, "AWS_CA_BUNDLE="+file)
	}
	if s.Engine != nil {
		s.source.place.EnterNetworkOf(s.Engine, cmd)
		return
	}
	s.source.place.Enter(cmd)
}

// Close stops the site's parts. The source keeps running.
func (s *site) Close() error {
	var errs []error
	if s.Engine != nil {
		errs = append(errs, s.Engine.Close())
	}
	if s.GitLab != nil {
		errs = append(errs, s.GitLab.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

// checkTags checks that every tag is in GitLab, so that a fast failure does not count as speed: with the same digest if
// exact, otherwise with any.
func (s *site) checkTags(ctx context.Context, exact bool) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for _, t := range s.tags {
		group.Go(func() error {
			digest, err := check.Digest(ctx, s.Target(t.repository, ":"+t.name))
			switch {
			case err != nil:
				return err
			case digest == "":
				return fmt.Errorf("%s:%s is not at GitLab", t.repository, t.name)
			case exact && digest != t.digest:
				return fmt.Errorf("%s:%s has the digest %s at GitLab and %s at ECR", t.repository, t.name, digest, t.digest)
			}
			return nil
		})
	}
	return group.Wait()
}
