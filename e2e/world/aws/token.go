package aws

import (
	"crypto/rand"
	"errors"
	"net/http"
	"sync"
	"time"
)

// tokenUser is the user name for all registry tokens.
const tokenUser = "AWS"

var (
	errNoToken      = errors.New("no token, or not one of this registry")
	errExpiredToken = errors.New("expired token")
)

// tokens holds the registry's passwords.
type tokens struct {
	admin    string // the owner's, which allows everything
	lifetime time.Duration
	now      func() time.Time

	mu     sync.Mutex
	issued map[string]grant
}

type grant struct {
	identity *identity
	expires  time.Time
}

func newTokens(lifetime time.Duration, now func() time.Time) *tokens {
	return &tokens{admin: rand.Text(), lifetime: lifetime, now: now, issued: map[string]grant{}}
}

// issue creates a token that authenticates id at the registry.
func (t *tokens) issue(id *identity) (token string, expires time.Time) {
	token, expires = rand.Text()+rand.Text(), t.now().Add(t.lifetime)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.issued[token] = grant{id, expires}
	return token, expires
}

// expire expires all tokens except the owner's.
func (t *tokens) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for token, g := range t.issued {
		g.expires = time.Time{}
		t.issued[token] = g
	}
}

// holder returns the sender of the request; nil is the account's owner.
func (t *tokens) holder(r *http.Request) (*identity, error) {
	user, token, ok := r.BasicAuth()
	if !ok || user != tokenUser {
		return nil, errNoToken
	}
	if token == t.admin {
		return nil, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	g, ok := t.issued[token]
	switch {
	case !ok:
		return nil, errNoToken
	case !t.now().Before(g.expires):
		return nil, errExpiredToken
	}
	return g.identity, nil
}
