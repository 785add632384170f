package aws

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

const (
	requestIDHeader = "X-Amzn-Requestid"
	maxBody         = 1 << 20
)

// api is the endpoint that STS and ECR share.
type api struct {
	sts, ecr  service
	keys      *keyring
	calls     counter
	throttled atomic.Int64
	now       func() time.Time
}

// service is one of the two services behind the endpoint. They differ in their protocols.
type service interface {
	action(r *http.Request, body []byte) string
	serve(w http.ResponseWriter, r *http.Request, body []byte) error
	writeError(w http.ResponseWriter, err error)
	throttled() error
}

func newAPI(s *Server, opts Options) *api {
	keys := &keyring{}
	return &api{
		keys: keys,
		now:  opts.Now,
		sts:  &stsService{keys: keys, now: opts.Now, token: opts.WebIdentityToken, roleARN: opts.RoleARN, longest: opts.MaxSession},
		ecr: &ecrService{
			keys: keys, now: opts.Now, region: opts.Region, registryHost: s.RegistryHost, scheme: s.scheme,
			account: s.account, tokens: s.tokens, policy: s.policy, bucket: s.bucket, pages: newPager(opts.MaxPage),
		},
	}
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(requestIDHeader, uuid.NewString())
	svc := a.sts
	if r.Header.Get(targetHeader) != "" {
		svc = a.ecr
	}
	if err := a.serve(svc, w, r); err != nil {
		svc.writeError(w, err)
	}
}

func (a *api) serve(svc service, w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return fail("SerializationException", "%v", err)
	}
	a.calls.add(svc.action(r, body))
	if a.throttled.Add(-1) >= 0 {
		return svc.throttled()
	}
	return svc.serve(w, r, body)
}

// throttle sets the number of subsequent calls to reject.
func (a *api) throttle(n int) { a.throttled.Store(int64(n)) }
