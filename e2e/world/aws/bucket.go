package aws

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	s3Time          = "20060102T150405Z"
	unsignedPayload = "UNSIGNED-PAYLOAD"
	signatureParam  = "X-Amz-Signature"
)

// bucket stands in for the S3 bucket in which ECR keeps layers. A signed URL grants access to one blob until it expires,
// without any other credentials.
//
// Seen with public.ecr.aws and private registries (aws/containers-roadmap, awslabs/soci-snapshotter#1148): a 307 to
// https://prod-REGION-starport-layer-bucket.s3.REGION.amazonaws.com/ with Signature Version 4 in the query, signed with
// ECR's own temporary credentials, for one hour.
type bucket struct {
	base     url.URL // scheme and host; the host is signed
	region   string
	account  string
	ecr      *identity
	now      func() time.Time
	blobs    http.Handler // the registry behind ECR, without its tokens
	traffic  *traffic
	denied   atomic.Bool
	expired  atomic.Bool
	requests atomic.Int64

	server *http.Server

	mu      sync.Mutex
	objects map[string]string // path at the registry by path in the bucket
}

// BucketHost returns the host name of the bucket in a region. Unlike S3, the stand-in uses a random port.
func BucketHost(region string) string {
	return "prod-" + region + "-starport-layer-bucket.s3." + region + ".amazonaws.com"
}

func newBucket(opts Options, traffic *traffic) *bucket {
	sessions := &keyring{} // ECR signs with credentials of its own
	return &bucket{
		region: opts.Region, account: opts.AccountID, now: opts.Now, traffic: traffic, objects: map[string]string{},
		ecr: sessions.addSession("arn:aws:iam::"+opts.AccountID+":role/starport", "layers", time.Time{}),
	}
}

// listen starts the bucket on its own addresses.
func (b *bucket) listen(ctx context.Context, opts Options, blobs http.Handler) error {
	listeners, err := bucketListeners(ctx, opts)
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(listeners[0].Addr().String())
	if err != nil {
		return err
	}
	b.blobs = blobs
	b.base = url.URL{Scheme: opts.Secure.Scheme(), Host: net.JoinHostPort(cmp.Or(opts.BucketName, host), port)}
	b.server = &http.Server{Handler: opts.Secure.Guard(opts.Wrap(b)), ReadHeaderTimeout: time.Minute}
	for _, listener := range listeners {
		if listener, err = opts.Secure.Listen(opts.Link(listener), b.base.Hostname()); err != nil {
			return err
		}
		go b.server.Serve(listener) //nolint:errcheck // returns ErrServerClosed, by close
	}
	return nil
}

// bucketListeners listens on one port of the bucket's addresses.
func bucketListeners(ctx context.Context, opts Options) ([]net.Listener, error) {
	var lc net.ListenConfig
	for attempt := 1; ; attempt++ {
		first, err := lc.Listen(ctx, "tcp", cmp.Or(opts.BucketAddr, "127.0.0.1:0"))
		if err != nil || opts.BucketAlias == "" || opts.BucketAlias == addrOf(first).IP.String() {
			return []net.Listener{first}, err
		}
		also, err := lc.Listen(ctx, "tcp", net.JoinHostPort(opts.BucketAlias, strconv.Itoa(addrOf(first).Port)))
		if err == nil {
			return []net.Listener{first, also}, nil
		}
		if err = errors.Join(err, first.Close()); attempt == bucketPorts { // the port is not free on the other address
			return nil, err
		}
	}
}

// bucketPorts is how many ports are tried.
const bucketPorts = 20

func addrOf(listener net.Listener) *net.TCPAddr { return listener.Addr().(*net.TCPAddr) }

func (b *bucket) close() error {
	if b.server == nil {
		return nil
	}
	return b.server.Close()
}

// sign returns a signed URL for a blob of a repository.
func (b *bucket) sign(ctx context.Context, repository, blob string) (string, error) {
	target := b.base
	target.Path = b.object(repository, blob)
	query := url.Values{"X-Amz-Expires": {strconv.Itoa(int(downloadLifetime.Seconds()))}}
	target.RawQuery = query.Encode()
	return b.presign(ctx, http.MethodGet, target, b.now())
}

// object returns the path of a blob in the bucket, which does not contain the registry's names.
func (b *bucket) object(repository, blob string) string {
	sum := sha256.Sum256([]byte(repository))
	path := fmt.Sprintf("/%x-%s-%x/%x", sum[:3], b.account, sum[3:19], sha256.Sum256([]byte(blob)))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.objects[path] = "/v2/" + repository + "/blobs/" + blob
	return path
}

// presign signs a request for target, whose query states the lifetime already.
func (b *bucket) presign(ctx context.Context, method string, target url.URL, signed time.Time) (string, error) {
	request, err := http.NewRequestWithContext(ctx, method, target.String(), nil)
	if err != nil {
		return "", err
	}
	signer := v4.NewSigner(func(options *v4.SignerOptions) { options.DisableURIPathEscaping = true }) // as for S3
	credentials := sdk.Credentials{AccessKeyID: b.ecr.accessKeyID, SecretAccessKey: b.ecr.secret, SessionToken: b.ecr.sessionToken}
	signedURL, _, err := signer.PresignHTTP(ctx, credentials, request, unsignedPayload, "s3", b.region, signed)
	return signedURL, err
}

// s3Error is an error response of S3.
type s3Error struct {
	status        int
	code, message string
	details       string // XML
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.requests.Add(1)
	if refusal := b.refuse(r); refusal != nil {
		refusal.write(w)
		return
	}
	b.mu.Lock()
	path, ok := b.objects[r.URL.Path]
	b.mu.Unlock()
	if !ok {
		(&s3Error{http.StatusNotFound, "NoSuchKey", "The specified key does not exist.", ""}).write(w)
		return
	}
	read := r.Clone(r.Context())
	read.URL = &url.URL{Path: path}
	w.Header().Set("Server", "AmazonS3")
	_, blob, _ := strings.Cut(path, "/blobs/")
	b.blobs.ServeHTTP(b.traffic.wrap(w, blob), read)
}

// refuse checks a request as S3 does: whether it is signed, has expired, is signed correctly, and is allowed.
func (b *bucket) refuse(r *http.Request) *s3Error {
	query := r.URL.Query()
	signed, err := time.Parse(s3Time, query.Get("X-Amz-Date"))
	lifetime, badLifetime := strconv.Atoi(query.Get("X-Amz-Expires"))
	switch {
	case query.Get(signatureParam) == "", err != nil, badLifetime != nil:
		return &s3Error{http.StatusForbidden, "AccessDenied", "Access Denied", ""}
	case !b.clock().Before(signed.Add(time.Duration(lifetime) * time.Second)):
		return &s3Error{http.StatusForbidden, "AccessDenied", "Request has expired", fmt.Sprintf(
			"<X-Amz-Expires>%d</X-Amz-Expires><Expires>%s</Expires><ServerTime>%s</ServerTime>", lifetime,
			signed.Add(time.Duration(lifetime)*time.Second).Format(time.RFC3339), b.clock().UTC().Format(time.RFC3339))}
	case !b.signedHere(r, signed):
		return &s3Error{http.StatusForbidden, "SignatureDoesNotMatch",
			"The request signature we calculated does not match the signature you provided. Check your key and signing method.", ""}
	case b.denied.Load():
		// moby/moby#34185 shows this response for an endpoint policy without s3:GetObject on the bucket.
		return &s3Error{http.StatusForbidden, "AccessDenied", "Access Denied", ""}
	}
	return nil
}

// clock returns the bucket's own time, by which URLs expire.
func (b *bucket) clock() time.Time {
	if b.expired.Load() {
		return b.now().Add(downloadLifetime + time.Minute)
	}
	return b.now()
}

// signedHere reports whether signing the request again yields the same signature.
func (b *bucket) signedHere(r *http.Request, signed time.Time) bool {
	query := r.URL.Query()
	target := b.base
	target.Host, target.Path = r.Host, r.URL.Path
	target.RawQuery = url.Values{"X-Amz-Expires": query["X-Amz-Expires"]}.Encode()
	again, err := b.presign(r.Context(), r.Method, target, signed)
	if err != nil {
		return false
	}
	parsed, err := url.Parse(again)
	return err == nil && subtle.ConstantTimeCompare([]byte(parsed.Query().Encode()), []byte(query.Encode())) == 1
}

func (e *s3Error) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Server", "AmazonS3")
	w.WriteHeader(e.status)
	fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message>%s<RequestId>%s</RequestId><HostId>%s</HostId></Error>",
		e.code, e.message, e.details, strings.ToUpper(randomHex(8)), randomHex(38))
}

func randomHex(n int) string {
	id := make([]byte, n)
	rand.Read(id)
	return hex.EncodeToString(id)
}
