package aws

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"sort"
)

const (
	defaultPage = 100
	maxPage     = 1000
)

// paging holds a request's paging parameters.
type paging struct {
	MaxResults *int   `json:"maxResults"`
	NextToken  string `json:"nextToken"`
}

// pager creates the nextTokens of all listings. They are encrypted, so that clients can neither create nor read them.
type pager struct {
	seal cipher.AEAD
	cap  int // maximum items per page; 0: as requested
}

func newPager(limit int) *pager {
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the key has a valid length
	}
	seal, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // AES has a valid block size
	}
	return &pager{seal: seal, cap: limit}
}

// cut returns the requested page of items, which are ordered by key, and the token of the next page, empty after the
// last. A token contains the last key of the page, so that items may come and go between pages. It is valid only for
// the listing with the same scope.
func cut[T any](p *pager, ask paging, scope string, items []T, key func(T) string) (page []T, next string, err error) {
	size, err := p.size(ask.MaxResults)
	if err != nil {
		return nil, "", err
	}
	after, err := p.open(ask.NextToken, scope)
	if err != nil {
		return nil, "", err
	}
	items = items[sort.Search(len(items), func(i int) bool { return key(items[i]) > after }):]
	if len(items) <= size {
		return items, "", nil
	}
	last := key(items[size-1])
	return items[:size], base64.StdEncoding.EncodeToString(p.seal.Seal(nil, nil, []byte(last), []byte(scope))), nil
}

func (p *pager) size(asked *int) (int, error) {
	size := defaultPage
	if asked != nil {
		size = *asked
	}
	switch {
	case size < 1:
		return 0, invalid("maxResults", "Member must have value greater than or equal to 1")
	case size > maxPage:
		return 0, invalid("maxResults", "Member must have value less than or equal to 1000")
	case p.cap > 0:
		size = min(size, p.cap)
	}
	return size, nil
}

func (p *pager) open(token, scope string) (after string, err error) {
	if token == "" {
		return "", nil
	}
	sealed, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return "", invalid("nextToken", "must be a valid token")
	}
	key, err := p.seal.Open(nil, nil, sealed, []byte(scope))
	if err != nil {
		return "", invalid("nextToken", "must be a valid token")
	}
	return string(key), nil
}

// maxIDs is the maximum number of images, layers or repositories in a request.
const maxIDs = 100

func checkLength(parameter string, n int) error {
	if n > maxIDs {
		return invalid(parameter, "must have length less than or equal to 100")
	}
	return nil
}

// checkNoPaging rejects maxResults and nextToken in a request that lists specific items.
func checkNoPaging(ask paging, parameter string) error {
	if ask.MaxResults != nil || ask.NextToken != "" {
		return fail("InvalidParameterException", "maxResults and nextToken cannot be used with %s", parameter)
	}
	return nil
}
