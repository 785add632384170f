package aws

import (
	"crypto/rand"
	"strings"
	"sync"
	"time"
)

// identity is a principal with its signing key.
type identity struct {
	accountID string
	arn       string
	userID    string

	accessKeyID  string
	secret       string
	sessionToken string    // empty: a long-term key
	expires      time.Time // zero: never
}

// keyring holds the identities by access key ID.
type keyring struct {
	mu   sync.Mutex
	keys map[string]*identity
}

// addUser adds a user with a long-term key.
func (k *keyring) addUser(accountID string) *identity {
	return k.add(&identity{
		accountID:   accountID,
		arn:         "arn:aws:iam::" + accountID + ":user/gitlab-ci",
		userID:      newID("AIDA"),
		accessKeyID: newID("AKIA"),
	})
}

// addSession adds a role session, with temporary credentials.
func (k *keyring) addSession(roleARN, session string, expires time.Time) *identity {
	accountID, role := splitRole(roleARN)
	return k.add(&identity{
		accountID:    accountID,
		arn:          "arn:aws:sts::" + accountID + ":assumed-role/" + role + "/" + session,
		userID:       newID("AROA") + ":" + session,
		accessKeyID:  newID("ASIA"),
		sessionToken: rand.Text() + rand.Text(),
		expires:      expires,
	})
}

func (k *keyring) add(id *identity) *identity {
	id.secret = (rand.Text() + rand.Text())[:40]
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil {
		k.keys = map[string]*identity{}
	}
	k.keys[id.accessKeyID] = id
	return id
}

func (k *keyring) find(accessKeyID string) (*identity, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	id, ok := k.keys[accessKeyID]
	return id, ok
}

// newID returns an ID in the format of IAM: a prefix for the type, 20 characters in total.
func newID(prefix string) string { return prefix + rand.Text()[:16] }

// splitRole returns the account and the name (without its path) in arn:aws:iam::ACCOUNT:role/PATH/NAME.
func splitRole(arn string) (accountID, name string) {
	name = arn[strings.LastIndexByte(arn, '/')+1:]
	if fields := strings.Split(arn, ":"); len(fields) == 6 {
		accountID = fields[4]
	}
	return accountID, name
}
