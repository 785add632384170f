// Package ecr supplements the SDK for calls to Amazon ECR: credentials, the registry token, and the causes of AWS
// errors with their remedies.
package ecr

import (
	"context"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
)

const (
	// renewalMargin is how long before its expiry a registry token is renewed, or a tenth of its lifetime if that is
	// less.
	renewalMargin = 30 * time.Minute
	// unknownLife is how long a token is used that has no expiry time, or one in the past.
	unknownLife = 5 * time.Minute
	// renewalPause is the time until the next attempt if the renewal of a token that is still valid fails.
	renewalPause = time.Minute
	// minRenewalAge is the minimum age of a token that was renewed after a denial, before another denial renews it.
	// What a policy denies stays denied with any token, and the redactor has to remember each one.
	minRenewalAge = 10 * time.Minute
)

// RegistryAuth holds the engine's credentials for the ECR registry.
type RegistryAuth struct {
	Username      string
	Password      redact.Secret
	ServerAddress string // host, with a port if it has one
}

// DecodeToken extracts "user:password" from the token, and the host from the endpoint. Its errors do not contain the
// token.
func DecodeToken(token, endpoint string) (RegistryAuth, error) {
	decoded, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return RegistryAuth{}, errors.New("what came is not valid base64")
	}
	user, password, found := strings.Cut(string(decoded), ":")
	if !found || user == "" || password == "" {
		return RegistryAuth{}, errors.New("what came is not of the form user:password")
	}
	host := endpoint
	if u, err := url.Parse(endpoint); err == nil && u.Host != "" {
		host = u.Host
	}
	if host == "" {
		return RegistryAuth{}, errors.New("it came without a registry endpoint")
	}
	return RegistryAuth{Username: user, Password: redact.Secret(password), ServerAddress: host}, nil
}

// TokenCache holds a registry token in memory and renews it.
type TokenCache struct {
	fetch func(context.Context) (RegistryAuth, time.Time, error)
	now   func() time.Time

	turn      chan struct{} // a mutex that a canceled caller need not wait for; guards the fields below
	auth      RegistryAuth
	fetched   time.Time // when auth was fetched
	renewAt   time.Time // when Get renews it
	end       time.Time
	renewable time.Time // when Renew may renew it next
}

// NewTokenCache returns a cache that calls fetch for a token and its expiry time.
func NewTokenCache(fetch func(context.Context) (RegistryAuth, time.Time, error), now func() time.Time) *TokenCache {
	return &TokenCache{fetch: fetch, now: now, turn: make(chan struct{}, 1)}
}

// Get returns the token, and renews it shortly before it expires. If a renewal fails, a token that is still valid is
// kept.
func (c *TokenCache) Get(ctx context.Context) (RegistryAuth, error) {
	if err := c.lock(ctx); err != nil {
		return RegistryAuth{}, err
	}
	defer c.unlock()
	if c.now().Before(c.renewAt) {
		return c.auth, nil
	}
	if err := c.refresh(ctx); err != nil {
		if !c.now().Before(c.end) {
			return RegistryAuth{}, err
		}
		c.renewAt = c.now().Add(renewalPause)
	}
	return c.auth, nil
}

// Renew replaces the token after the registry has denied a call that began at the given time. It reports whether there
// is a newer token than that call can have used. After a renewal, another denial does not renew the token again for ten
// minutes, or for its lifetime if that is less.
func (c *TokenCache) Renew(ctx context.Context, began time.Time) (fresh bool, err error) {
	if err := c.lock(ctx); err != nil {
		return false, err
	}
	defer c.unlock()
	switch now := c.now(); {
	case !c.fetched.Before(began):
		return true, nil
	case now.Before(c.renewable):
		return false, nil
	}
	if err := c.refresh(ctx); err != nil {
		return false, err
	}
	c.renewable = c.fetched.Add(min(minRenewalAge, c.end.Sub(c.fetched)))
	return true, nil
}

func (c *TokenCache) refresh(ctx context.Context) error {
	auth, end, err := c.fetch(ctx)
	if err != nil {
		return err
	}
	now := c.now()
	life := end.Sub(now)
	if life <= 0 {
		life = unknownLife
	}
	c.auth, c.fetched, c.end, c.renewAt = auth, now, now.Add(life), now.Add(life-min(renewalMargin, life/10))
	return nil
}

func (c *TokenCache) lock(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *TokenCache) unlock() { <-c.turn }
