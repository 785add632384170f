package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/ecr"
)

// lookups records the names that the process looks up in DNS, and resolves none of them.
type lookups struct {
	mu    sync.Mutex
	names []string
}

func recordLookups(t *testing.T) *lookups {
	t.Helper()
	asked := &lookups{}
	before := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = before })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go asked.record(ours)
		return theirs, nil
	}}
	return asked
}

// record parses a DNS query over a stream: after two bytes of length and a header of twelve bytes come the labels of
// the name, each preceded by its length.
func (l *lookups) record(conn net.Conn) {
	defer conn.Close() //nolint:errcheck // the end of the question is the answer
	question := make([]byte, 512)
	n, _ := conn.Read(question)
	question = question[min(14, n):n]
	var labels []string
	for len(question) > 0 && question[0] > 0 && int(question[0]) < len(question) {
		labels = append(labels, string(question[1:1+question[0]]))
		question = question[1+question[0]:]
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names = append(l.names, strings.Join(labels, "."))
}

// metadata stands in for the machine's own role, the last resort of the SDK's chain.
func metadata(t *testing.T) (asked *atomic.Int32, endpoint string) {
	t.Helper()
	asked = &atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		http.NotFound(w, nil)
	}))
	t.Cleanup(server.Close)
	return asked, server.URL
}

// credentialSources are the ways in which a job can have its own credentials.
var credentialSources = map[string]map[string]string{
	"keys":         {"AWS_WEB_IDENTITY_TOKEN": ""},
	"web identity": {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_WEB_IDENTITY_TOKEN": "e.y.J"},
}

// TestNothingElseIsReached performs an entire migration whose AWS and engine have no names: any name that is looked up
// is an additional connection. The end-to-end tests have no other network.
func TestNothingElseIsReached(t *testing.T) {
	for name, credentials := range credentialSources {
		t.Run(name, func(t *testing.T) {
			asked, endpoint := metadata(t)
			looked := recordLookups(t)
			w := newWorld(t, map[string]http.HandlerFunc{"AssumeRoleWithWebIdentity": stsAnswer(http.StatusOK, assumed)})
			for name, value := range credentials {
				w.env[name] = value
			}
			w.env["AWS_EC2_METADATA_DISABLED"], w.env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "", endpoint
			if code, _, stderr := w.runAtOnce(t); code != exitDone {
				t.Errorf("exit code %d: %s", code, stderr)
			}
			if n := asked.Load(); n > 0 || len(looked.names) > 0 {
				t.Errorf("the machine's role is asked for %d times, and DNS for %v", n, looked.names)
			}
		})
	}
}

// TestAWSIsReachedInTheRegionAlone checks the endpoints' names, unless they are overridden.
func TestAWSIsReachedInTheRegionAlone(t *testing.T) {
	if os.Getenv("HTTPS_PROXY")+os.Getenv("https_proxy") != "" {
		t.Skip("names are left to the proxy")
	}
	for name, credentials := range credentialSources {
		t.Run(name, func(t *testing.T) {
			asked, endpoint := metadata(t)
			looked := recordLookups(t)
			awsEnv(t, "", map[string]string{
				"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/r", "AWS_EC2_METADATA_DISABLED": "", "AWS_EC2_METADATA_SERVICE_ENDPOINT": endpoint,
			})
			for name, value := range credentials {
				t.Setenv(name, value)
			}
			a := realAmazon(t)
			_, identityErr := a.CallerIdentity(t.Context())
			_, listErr := a.Repositories(t.Context())
			for _, err := range []error{identityErr, listErr} {
				assertAWSError(t, err, ecr.NoConnection)
			}
			looked.mu.Lock()
			defer looked.mu.Unlock()
			if len(looked.names) == 0 || asked.Load() > 0 {
				t.Errorf("DNS is asked for %v, the machine's role %d times", looked.names, asked.Load())
			}
			for _, host := range looked.names {
				known := func(ours string) bool { return host == ours || strings.HasPrefix(host, ours+".") } // with a search domain
				if !slices.ContainsFunc([]string{"sts.eu-west-1.amazonaws.com", "api.ecr.eu-west-1.amazonaws.com"}, known) {
					t.Errorf("%q is looked up", host)
				}
			}
			var notFound *net.DNSError
			if !errors.As(identityErr, &notFound) {
				t.Errorf("got %v", identityErr)
			}
		})
	}
}
