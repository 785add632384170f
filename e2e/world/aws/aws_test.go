package aws

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/smithy-go"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
)

// clock is a clock that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now().Truncate(time.Millisecond)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func start(t *testing.T, opts Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), opts)
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
	return s
}

// load configures the SDK's default chain from an environment that contains only vars.
func load(t *testing.T, vars []string, opts ...func(*config.LoadOptions) error) sdk.Config {
	t.Helper()
	setEnv(t, vars)
	// Retries are off unless a test enables them, and then have no delay.
	opts = append([]func(*config.LoadOptions) error{config.WithRetryMaxAttempts(1)}, opts...)
	cfg, err := config.LoadDefaultConfig(t.Context(), opts...)
	check(t, err)
	return cfg
}

func setEnv(t *testing.T, vars []string) {
	t.Helper()
	for _, v := range os.Environ() {
		if key, _, _ := strings.Cut(v, "="); strings.HasPrefix(key, "AWS_") {
			t.Setenv(key, "")
		}
	}
	home := t.TempDir()
	vars = append([]string{
		"AWS_CONFIG_FILE=" + filepath.Join(home, "config"),
		"AWS_SHARED_CREDENTIALS_FILE=" + filepath.Join(home, "credentials"),
		"AWS_EC2_METADATA_DISABLED=true",
	}, vars...)
	for _, v := range vars {
		key, value, _ := strings.Cut(v, "=")
		t.Setenv(key, value)
	}
}

func withRetries(attempts int) config.LoadOptionsFunc {
	return config.WithRetryer(func() sdk.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.MaxBackoff = attempts, time.Millisecond
		})
	})
}

// pageClient returns a client for many large responses. On a busy machine, the SDK's connection is sometimes closed while
// a response is read ("use of closed network connection"), which the SDK retries in the program as well.
func pageClient(t *testing.T, s *Server) *ecr.Client {
	t.Helper()
	return ecr.NewFromConfig(load(t, s.Env(), withRetries(3)))
}

func ecrClient(t *testing.T, s *Server) *ecr.Client {
	t.Helper()
	return ecr.NewFromConfig(load(t, s.Env()))
}

func create(t *testing.T, s *Server, repositories ...string) {
	t.Helper()
	for _, r := range repositories {
		_, err := s.CreateRepository(r)
		check(t, err)
	}
}

func ref(t *testing.T, s *Server, reference string) name.Reference {
	t.Helper()
	r, err := name.ParseReference(s.RegistryHost + "/" + reference)
	check(t, err)
	return r
}

func admin(s *Server) remote.Option { return remote.WithAuth(authn.FromConfig(s.AdminAuth())) }

// pushImage pushes a new image with one layer under the tags (by digest if there are none), as the owner.
func pushImage(t *testing.T, s *Server, repo string, tags ...string) v1.Image {
	t.Helper()
	img, err := random.Image(512, 1)
	check(t, err)
	if len(tags) == 0 {
		tags = []string{"@" + digestOf(t, img).String()}
	}
	for _, tag := range tags {
		if !strings.HasPrefix(tag, "@") {
			tag = ":" + tag
		}
		check(t, remote.Write(ref(t, s, repo+tag), img, admin(s)))
	}
	return img
}

type digester interface{ Digest() (v1.Hash, error) }

func digestOf(t *testing.T, d digester) digest.Digest {
	t.Helper()
	h, err := d.Digest()
	check(t, err)
	return digest.Digest(h.String())
}

// checkCode fails unless err is an AWS error with the code, and its message contains the text.
func checkCode(t *testing.T, err error, code, text string) {
	t.Helper()
	var got smithy.APIError
	if !errors.As(err, &got) {
		t.Fatalf("got %v, want %s", err, code)
	}
	if got.ErrorCode() != code || !strings.Contains(got.ErrorMessage(), text) {
		t.Errorf("got %s: %s\nwant %s: …%s…", got.ErrorCode(), got.ErrorMessage(), code, text)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}
