package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/aws"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/check"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/faults"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/gitlab"
)

// source is the account in ECR, filled once for all contenders.
type source struct {
	*aws.Server
	latency time.Duration
	link    faults.Link
}

func (b *bench) startSource(ctx context.Context, latency time.Duration) (_ *source, err error) {
	s := &source{latency: latency}
	options := aws.Options{}
	if latency > 0 {
		options.Announce = s.link.Announce
	}
	if s.Server, err = aws.Start(ctx, options); err != nil {
		return nil, err
	}
	w := world.World{AWS: s.Server}
	if err := w.Fill(ctx, b.account.all()); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if latency > 0 {
		if err := s.link.Delay(latency, 0); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// Close stops the stand-in and its proxy.
func (s *source) Close() error {
	s.link.Close()
	return s.Server.Close()
}

// site is the environment of one contender, with its own GitLab and engine.
type site struct {
	world.World
	link faults.Link
	dir  string // for the contender's configuration
	tags []tag  // currently in ECR
}

// Engines get more disk space than any contender has filled. The file behind it is sparse.
const engineDisk = 8 << 30

func newSite(ctx context.Context, src *source, c contender) (_ *site, err error) {
	s := &site{World: world.World{AWS: src.Server}}
	if s.dir, err = os.MkdirTemp("", "ecr2gitlab-bench-site-"); err != nil {
		return nil, err
	}
	if err := s.start(ctx, src.latency, c); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *site) start(ctx context.Context, latency time.Duration, c contender) (err error) {
	options := gitlab.Options{Addr: "127.0.0.2:0"} // not ECR's address, because an engine would confuse the two
	if latency > 0 {
		options.Announce = s.link.Announce
	}
	if s.GitLab, err = gitlab.Start(ctx, options); err != nil {
		return err
	}
	if latency > 0 {
		if err := s.link.Delay(latency, 0); err != nil {
			return err
		}
	}
	if c.kind == "" {
		return nil
	}
	s.Engine, err = engine.Start(ctx, c.kind, engine.Options{Disk: engineDisk, Args: c.engineArgs})
	return err
}

// Close stops the site's parts. The source keeps running.
func (s *site) Close() error {
	var errs []error
	if s.Engine != nil {
		errs = append(errs, s.Engine.Close())
	}
	s.link.Close()
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
