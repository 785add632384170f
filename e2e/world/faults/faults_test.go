package faults

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	blobPath   = "/v2/a/blobs/sha256:00"
	bucketPath = "/a1b2c3-123456789012-00/00?X-Amz-Expires=3600&X-Amz-Signature=00"
	uploadPath = "/v2/a/blobs/uploads/0"
	blobSize   = 100_000
)

// server has one blob and accepts any other.
type server struct{ url string }

func serve(t *testing.T, f *Fault) server {
	t.Helper()
	s := httptest.NewServer(f.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return // the client has disconnected
		}
		if BlobRead(r) {
			w.Write(make([]byte, blobSize)) //nolint:errcheck // the client may be gone
		}
	})))
	t.Cleanup(s.Close)
	return server{s.URL}
}

// answer is what a client received, possibly an error.
type answer struct {
	status     int
	retryAfter string
	size       int
	err        error
}

// patience is how long the client waits for a stalled response.
const patience = time.Second

func (s server) ask(t *testing.T, method, path string, body []byte, header ...string) (a answer) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, s.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	impatience := time.AfterFunc(patience, cancel)
	defer impatience.Stop()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer{err: err}
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header.Get("Retry-After"), len(content), err}
}

func (s server) read(t *testing.T) answer { t.Helper(); return s.ask(t, http.MethodGet, blobPath, nil) }

func (s server) write(t *testing.T, size int) answer {
	t.Helper()
	return s.ask(t, http.MethodPatch, uploadPath, make([]byte, size))
}

func TestReads(t *testing.T) {
	for name, f := range map[string]*Fault{"cut": CutReads(2, 40_000), "stall": StallReads(2, 40_000)} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, f)
			for range 2 {
				if got := s.read(t); got.err == nil || got.size != 40_000 {
					t.Errorf("got %d bytes, %v", got.size, got.err)
				}
			}
			if got := s.read(t); got.err != nil || got.size != blobSize {
				t.Errorf("at last %d bytes, %v", got.size, got.err)
			}
			if f.Struck() != 2 {
				t.Errorf("struck %d times", f.Struck())
			}
		})
	}
	t.Run("a small blob is left alone", func(t *testing.T) {
		f := CutReads(1, blobSize)
		if got := serve(t, f).read(t); got.err != nil || f.Struck() > 0 {
			t.Errorf("got %v, struck %d times", got.err, f.Struck())
		}
	})
}

func TestWrites(t *testing.T) {
	for name, f := range map[string]*Fault{"cut": CutWrites(2, 40_000), "hang": Hang(BlobWrite, 2)} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, f)
			for range 2 {
				if got := s.write(t, blobSize); got.err == nil {
					t.Errorf("got %d", got.status)
				}
			}
			if got := s.write(t, blobSize); got.status != http.StatusOK {
				t.Errorf("at last %d, %v", got.status, got.err)
			}
			if f.Struck() != 2 {
				t.Errorf("struck %d times", f.Struck())
			}
		})
	}
	t.Run("a small blob is left alone", func(t *testing.T) {
		f := CutWrites(1, blobSize)
		if got := serve(t, f).write(t, blobSize-1); got.err != nil || f.Struck() > 0 {
			t.Errorf("got %v, struck %d times", got.err, f.Struck())
		}
	})
}

// TestBucket fails with S3's own errors, and does not affect the registry.
func TestBucket(t *testing.T) {
	for name, f := range map[string]*Fault{
		"InternalError": Bucket(http.StatusInternalServerError, "InternalError", "We encountered an internal error. Please try again.", 1),
		"SlowDown":      Unavailable(1, 1, 1),
	} {
		handler := f.Wrap(http.NotFoundHandler())
		ask := func(path string) *httptest.ResponseRecorder {
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
			return answer
		}
		answer := ask(bucketPath)
		if answer.Code < 500 || !strings.Contains(answer.Body.String(), "<Error><Code>"+name+"</Code>") || f.Struck() != 1 {
			t.Errorf("%s: %d %s, struck %d times", name, answer.Code, answer.Body, f.Struck())
		}
		for _, path := range []string{bucketPath, blobPath} {
			if answer := ask(path); answer.Code != http.StatusNotFound || f.Struck() != 1 {
				t.Errorf("%s: then %s: %d, struck %d times", name, path, answer.Code, f.Struck())
			}
		}
	}
}

// TestOwnClient fills ECR and checks the results despite a fault.
func TestOwnClient(t *testing.T) {
	f := Unavailable(1, 1, 1)
	s := serve(t, f)
	if got := s.ask(t, http.MethodGet, blobPath, nil, "User-Agent", "go-containerregistry/v0.22.1"); got.status != http.StatusOK || f.Struck() > 0 {
		t.Errorf("got %d, struck %d times", got.status, f.Struck())
	}
	for _, want := range []int{http.StatusServiceUnavailable, http.StatusOK} { // only once
		if got := s.read(t); got.status != want || f.Struck() != 1 {
			t.Errorf("anybody else: got %d, want %d, struck %d times", got.status, want, f.Struck())
		}
	}
}

// TestShare checks that about the right share is affected, and the same requests with the same seed.
func TestShare(t *testing.T) {
	statuses := func(f *Fault) (all []int) {
		s := serve(t, f)
		for range 200 {
			all = append(all, s.ask(t, http.MethodPost, "/", nil, "X-Amz-Target", "AmazonEC2ContainerRegistry_V20150921.DescribeImages").status)
		}
		return all
	}
	for name, fault := range map[string]func(seed uint64) *Fault{
		"unavailable": func(seed uint64) *Fault { return Unavailable(0.3, 200, seed) },
		"throttled":   func(seed uint64) *Fault { return Throttled(0.3, 200, seed) },
	} {
		first := fault(1)
		one := statuses(first)
		if n := first.Struck(); n < 40 || n > 80 {
			t.Errorf("%s: struck %d of 200 times", name, n)
		}
		if !slices.Equal(one, statuses(fault(1))) {
			t.Errorf("%s: the same seed is not the same", name)
		}
		if slices.Equal(one, statuses(fault(2))) {
			t.Errorf("%s: another seed is the same", name)
		}
	}
}

func TestTooMany(t *testing.T) {
	f := TooMany(3, 1500*time.Millisecond)
	s := serve(t, f)
	for range 3 {
		if got := s.read(t); got.status != http.StatusOK {
			t.Errorf("within the limit: %d", got.status)
		}
	}
	beyond := time.Now()
	if got := s.read(t); got.status != http.StatusTooManyRequests || got.retryAfter != "2" {
		t.Errorf("beyond the limit: %d, Retry-After %q", got.status, got.retryAfter)
	}
	if got := s.ask(t, http.MethodPost, "/", nil); got.status != http.StatusOK {
		t.Errorf("an API: %d", got.status)
	}
	for s.read(t).status != http.StatusOK {
		time.Sleep(50 * time.Millisecond)
	}
	if pause := time.Since(beyond); pause < time.Second || pause > 10*time.Second {
		t.Errorf("open again after %s", pause)
	}
	for range 2 {
		s.read(t)
	}
	if got := s.read(t); got.status != http.StatusTooManyRequests {
		t.Errorf("beyond the limit of the next period: %d", got.status)
	}
	f.Lift()
	if got := s.read(t); got.status != http.StatusOK {
		t.Errorf("lifted: %d", got.status)
	}
}

func TestAt(t *testing.T) {
	calls := 0
	f := At(BlobRead, 2, func() { calls++ })
	s := serve(t, f)
	for i, want := range []int{0, 1, 1} {
		s.write(t, 1)
		if s.read(t); calls != want || f.Struck() != want {
			t.Errorf("after read %d: %d calls, struck %d times", i+1, calls, f.Struck())
		}
	}
}

func TestAnswered(t *testing.T) {
	f := Answered(BlobRead, http.StatusNotFound)
	found := false
	s := httptest.NewServer(f.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !found {
			w.WriteHeader(http.StatusNotFound)
		}
	})))
	defer s.Close()
	for i, want := range []int{1, 1} {
		if server := (server{s.URL}); server.read(t).err != nil || f.Struck() != want {
			t.Errorf("read %d: counted %d", i, f.Struck())
		}
		found = true
	}
}

func TestMatches(t *testing.T) {
	matches := map[string]Match{"read": BlobRead, "write": BlobWrite, "manifest read": ManifestRead, "manifest write": ManifestWrite, "ecr": ECRCall, "registry": Registry, "bucket": BucketRead}
	for _, test := range []struct {
		method, path, target string
		body                 int
		want                 []string
	}{
		{"GET", blobPath, "", 0, []string{"read", "registry"}},
		{"GET", bucketPath, "", 0, []string{"bucket", "read"}},
		{"HEAD", blobPath, "", 0, []string{"registry"}},
		{"POST", "/v2/a/blobs/uploads/", "", 0, []string{"registry"}},
		{"PATCH", uploadPath, "", 9, []string{"registry", "write"}},
		{"PUT", uploadPath, "", 9, []string{"registry", "write"}},
		{"PUT", uploadPath, "", 0, []string{"registry"}},
		{"PUT", "/v2/a/manifests/1.0", "", 9, []string{"manifest write", "registry"}},
		{"HEAD", "/v2/a/manifests/1.0", "", 0, []string{"manifest read", "registry"}},
		{"GET", "/jwt/auth", "", 0, []string{"registry"}},
		{"POST", "/", "AmazonEC2ContainerRegistry_V20150921.DescribeImages", 9, []string{"ecr"}},
		{"POST", "/", "", 9, nil}, // STS
	} {
		request := httptest.NewRequest(test.method, test.path, bytes.NewReader(make([]byte, test.body)))
		request.Header.Set("X-Amz-Target", test.target)
		var got []string
		for name, match := range matches {
			if match(request) {
				got = append(got, name)
			}
		}
		if slices.Sort(got); !slices.Equal(got, test.want) {
			t.Errorf("%s %s: %q, want %q", test.method, test.path, got, test.want)
		}
	}
}

// TestGateway has each status and a page.
func TestGateway(t *testing.T) {
	s := serve(t, Gateway(1, 8, 1))
	for _, want := range []int{520, 521, 522, 523, 524, 525, 526, 520, http.StatusOK} {
		if a := s.read(t); a.status != want || a.err != nil {
			t.Errorf("got %+v, want status %d", a, want)
		}
	}
}

// TestGoAway requests several times over HTTP/1.1 and HTTP/2. Each of the first two responses ends its connection.
func TestGoAway(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		var conns atomic.Int64
		f := GoAway(Any, 2)
		server := httptest.NewUnstartedServer(f.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, r.Proto) //nolint:errcheck // seen by the client
		})))
		server.EnableHTTP2 = http2
		server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				conns.Add(1)
			}
		}
		server.StartTLS()
		defer server.Close()
		for range 5 {
			response, err := server.Client().Get(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(response.Body); err != nil {
				t.Error(err)
			}
			response.Body.Close()
			if (response.ProtoMajor == 2) != http2 {
				t.Errorf("got %s", response.Proto)
			}
		}
		// Over HTTP/2, the second request may reach the server before the client is told to go away.
		if n := conns.Load(); n > 3 || n < 2 || n < 3 && !http2 {
			t.Errorf("HTTP/2 %t: %d connections, want 3", http2, n)
		}
	}
}
