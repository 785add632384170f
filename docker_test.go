package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/platforms"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/api/types/system"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
)

const (
	sourceHost = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
	targetHost = "registry.example.com"
	// otherSourceHost also belongs to ECR, but is not the one that the token is for.
	otherSourceHost = "123456789012.dkr-ecr.eu-west-1.on.aws"
	imageHash       = "sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
	sourceRef       = sourceHost + "/team/app@" + imageHash
	targetRepo      = targetHost + "/group/project/team/app"
	targetRef       = targetRepo + ":1.2"
	// targetByDigest can only be pushed by a request of our own.
	targetByDigest = targetRepo + "@" + imageHash

	pullPath       = "POST /images/create"
	pushPath       = "POST /images/" + targetRepo + "/push"
	digestPushPath = "POST /images/" + targetByDigest + "/push"
	resolvePath    = "GET /distribution/" + targetRef + "/json"
	removePath     = "DELETE /images/" + targetRef
	inspectPath    = "GET /images/" + targetRef + "/json"
	tagPath        = "POST /images/" + sourceRef + "/tag"
	loadPath       = "POST /images/load"
	prunePath      = "POST /images/prune"
	infoPath       = "GET /info"
	authPath       = "POST /auth"
)

// daemon responds like an engine, by method and path without the version, and records the requests. It answers
// unexpected requests with 501.
type daemon struct {
	version string // the newest API version that it supports
	answers map[string]http.HandlerFunc

	mu       sync.Mutex
	requests []apiRequest
}

type apiRequest struct {
	call    string // method and path, without the version
	version string
	query   url.Values
	auth    string // the header with the credentials
	body    string
}

var versionedPath = regexp.MustCompile(`^/v([0-9.]+)(/.*)$`)

func (d *daemon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/_ping" {
		w.Header().Set("Api-Version", d.version)
		return
	}
	match := versionedPath.FindStringSubmatch(r.URL.Path)
	if match == nil {
		http.Error(w, "page not found", http.StatusNotFound)
		return
	}
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body)) // for responses that depend on it
	call := r.Method + " " + match[2]
	d.mu.Lock()
	d.requests = append(d.requests, apiRequest{call, match[1], r.URL.Query(), r.Header.Get(registry.AuthHeader), string(body)})
	d.mu.Unlock()
	answer := d.answers[call]
	switch {
	case answer != nil:
		answer(w, r)
	case call == "GET /images/json":
		jsonAnswer(http.StatusOK, []any{})(w, r)
	case call == "GET /volumes", call == "POST /volumes/create":
		jsonAnswer(http.StatusOK, map[string]any{})(w, r)
	case strings.HasPrefix(call, "DELETE /volumes/"):
		w.WriteHeader(http.StatusNoContent)
	case call == infoPath:
		jsonAnswer(http.StatusOK, system.Info{ServerVersion: "29.0.0"})(w, r)
	default:
		problem(http.StatusNotImplemented, "the test has no answer for "+call)(w, r)
	}
}

// asked returns the requests for a call.
func (d *daemon) asked(call string) []apiRequest {
	d.mu.Lock()
	defer d.mu.Unlock()
	var found []apiRequest
	for _, request := range d.requests {
		if request.call == call {
			found = append(found, request)
		}
	}
	return found
}

func startDaemon(t *testing.T, answers map[string]http.HandlerFunc) (d *daemon, host string) {
	t.Helper()
	d = &daemon{version: "1.51", answers: answers}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	return d, "tcp://" + server.Listener.Addr().String()
}

// startEngine returns an engine that uses the real Docker client, with credentials whose user names the side.
func startEngine(t *testing.T, answers map[string]http.HandlerFunc) (*engine, *daemon) {
	t.Helper()
	d, host := startDaemon(t, answers)
	return engineAt(t, docker.Endpoint{Host: host}), d
}

func engineAt(t *testing.T, at docker.Endpoint) *engine {
	t.Helper()
	c, err := docker.Connect(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	e := newEngine(c, redact.New())
	t.Cleanup(func() { _ = e.client.Close() })
	e.source, e.target, e.targetHost = authOf("source"), authOf("target"), targetHost
	e.isSource = func(host string) bool { return host == sourceHost || host == otherSourceHost }
	return e
}

// authOf has a password whose base64 encoding has padding, and characters other than letters and digits.
func authOf(side string) registryAuth {
	return func(context.Context) (registry.AuthConfig, error) {
		return registry.AuthConfig{Username: side, Password: side + "?>~ÿ", ServerAddress: "the-token-s.example.com"}, nil
	}
}

func jsonAnswer(status int, body any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}
}

// problem responds with an engine's error.
func problem(status int, message string) http.HandlerFunc {
	return jsonAnswer(status, map[string]string{"message": message})
}

// stream responds with 200 and one message per line.
func stream(messages ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, strings.Join(messages, "\r\n"))
	}
}

func status(text string) string { return fmt.Sprintf(`{"status":%q}`, text) }

// streamError is an engine's error within a stream.
func streamError(text string) string {
	return fmt.Sprintf(`{"errorDetail":{"message":%q},"error":%q}`, text, text)
}

// causes are the errors that callers distinguish, and the one of ours that looks most like success.
var causes = map[string]error{
	"denied": docker.ErrDenied, "not found": docker.ErrNotFound, "truncated": docker.ErrBrokenOff,
	"full":      docker.ErrNoSpace,
	"cancelled": context.Canceled,
	"invalid":   docker.ErrInvalid, "not unpacked": docker.ErrNotUnpacked, "throttled": docker.ErrThrottled,
	"unavailable": docker.ErrUnavailable, "stalled": docker.ErrStalled, "engine gone": docker.ErrEngineGone,
}

// assertFailure expects an error with these words and, of all causes, only this one: "" is none of them.
func assertFailure(t *testing.T, err error, words, cause string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if !strings.Contains(err.Error(), words) {
		t.Errorf("got %q, want %q in it", err, words)
	}
	for name, target := range causes {
		if errors.Is(err, target) != (name == cause) {
			t.Errorf("%q is %s: %t, want %s alone", err, name, errors.Is(err, target), cause)
		}
	}
}

// nobody is an address where no engine listens.
const nobody = "tcp://127.0.0.1:1"

func TestStoreOf(t *testing.T) {
	tests := []struct {
		status [][2]string
		want   image.Store
	}{
		{nil, image.ClassicStore},
		{[][2]string{{"driver-type", "io.containerd.snapshotter.v1"}}, image.ContainerdStore},
	}
	for _, test := range tests {
		e, _ := startEngine(t, map[string]http.HandlerFunc{
			infoPath: jsonAnswer(http.StatusOK, system.Info{ServerVersion: "1.2.3", DriverStatus: test.status}),
		})
		if e.store != test.want || e.version != "1.2.3" {
			t.Errorf("%v: got %s, version %s, want %s", test.status, e.store, e.version, test.want)
		}
	}
}

func TestAPIVersionIsNegotiated(t *testing.T) {
	for engine, want := range map[string]string{"1.41": "1.41", "1.51": "1.51", "1.99": "1.51"} {
		d := &daemon{version: engine, answers: map[string]http.HandlerFunc{
			pullPath: stream(status("Digest: " + imageHash)), digestPushPath: stream(status("Pushed")),
		}}
		server := httptest.NewServer(d)
		defer server.Close()
		e := engineAt(t, docker.Endpoint{Host: "tcp://" + server.Listener.Addr().String()})
		if err := e.Pull(t.Context(), sourceRef, nil); err != nil {
			t.Error(err)
		}
		if _, err := e.Push(t.Context(), targetByDigest, nil); err != nil {
			t.Error(err)
		}
		for _, request := range d.requests {
			if request.version != want {
				t.Errorf("an engine that speaks %s is asked %s in %s, want %s", engine, request.call, request.version, want)
			}
		}
		if len(d.requests) != 3 {
			t.Errorf("%d requests", len(d.requests))
		}
	}
}

func TestPull(t *testing.T) {
	done := status("Digest: " + imageHash)
	tests := []struct {
		name         string
		answer       http.HandlerFunc
		words, cause string // of the error; no words: success
	}{
		{"success", stream(status("Pulling from team/app"), `{"status":"Downloading","progressDetail":{"current":1,"total":2},"id":"a"}`, done, status("Status: Downloaded newer image")), "", ""},
		{"already there", stream(done, status("Status: Image is up to date")), "", ""},
		{"refused with 403", problem(http.StatusForbidden, "pull access denied for team/app"), "pull access denied for team/app", "denied"},
		{"refused with 401 alone", problem(http.StatusUnauthorized, "authentication required"), "authentication required", "denied"},
		{"unknown", problem(http.StatusNotFound, "manifest for team/app not found: manifest unknown"), "manifest unknown", "not found"},
		{"404 alone", problem(http.StatusNotFound, "it is not there"), "it is not there", "not found"},
		{"an engine in trouble", problem(http.StatusInternalServerError, "no space left on device"), "no space left on device", "full"},
		{"no engine at all", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, "502 Bad Gateway", "unavailable"},
		{"denied in the stream", stream(status("Pulling"), streamError("denied: User is not authorized to perform: ecr:BatchGetImage")), "denied: User is not authorized", "denied"},
		{"unknown in the stream", stream(streamError("manifest unknown: Requested image not found")), "manifest unknown", "not found"},
		{"an error in the stream", stream(status("Pulling"), streamError("write /var/lib/docker: no space left on device")), "no space left", "full"},
		{"an error after the digest", stream(done, streamError("failed to unpack image on snapshotter overlayfs: mismatched image rootfs")), "failed to unpack", "not unpacked"},
		{"a blob", stream(`{"status":"Download complete","id":"a"}`, streamError("failed to unpack image on snapshotter overlayfs: unexpected media type application/octet-stream for sha256:0: not found")), "", ""},
		{"a blob that is an error's last word", stream(streamError("proxy says: failed to unpack image on snapshotter overlayfs: unexpected media type application/octet-stream")), "unexpected media", ""},
		{"an error without details", stream(done, `{"error":"failed to unpack"}`), "failed to unpack", ""},
		{"an error with its details alone", stream(done, `{"errorDetail":{"message":"failed to unpack"}}`), "failed to unpack", ""},
		{"an image named like a refusal", stream(streamError("unexpected status from HEAD request to https://registry/v2/team/access-denied/manifests/forbidden: 500 Internal Server Error")), "500 Internal", "unavailable"},
		{"truncated", stream(status("Pulling from team/app"), `{"status":"Pull complete","id":"a"}`), "ended before", "truncated"},
		{"empty", stream(), "ended before", "truncated"},
		{"half a message", stream(done, `{"status":"Status: Down`), "ended before", "truncated"},
		{"a connection that breaks", breakAfter(status("Pulling")), "ended before", "truncated"},
		{"no JSON", stream("<html>"), "invalid character '<'", "truncated"},
		{"throttled", problem(http.StatusTooManyRequests, "toomanyrequests: slow down"), "toomanyrequests", "throttled"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e, d := startEngine(t, map[string]http.HandlerFunc{pullPath: test.answer})
			err := e.Pull(t.Context(), sourceRef, nil)
			if test.words == "" && err != nil {
				t.Error(err)
			}
			if test.words != "" {
				assertFailure(t, err, test.words, test.cause)
			}
			want := url.Values{"fromImage": {sourceHost + "/team/app"}, "tag": {imageHash}}
			if asked := d.asked(pullPath); len(asked) != 1 || !reflect.DeepEqual(asked[0].query, want) {
				t.Errorf("asked %+v, want one with %v", asked, want)
			}
		})
	}
}

// An interrupted pull ends as soon as all the layers that it is for are present, and not before. Once they are, it goes on until
// those to be unpacked are, or it fails, which does not matter.
func TestPullContent(t *testing.T) {
	wanted := []digest.Digest{digest.FromString("first"), digest.FromString("second")}
	layer := func(d digest.Digest, text string) string {
		return fmt.Sprintf(`{"status":%q,"id":%q}`, text, d.Encoded()[:12])
	}
	first, second := layer(wanted[0], "Download complete"), layer(wanted[1], "Already exists")
	tests := []struct {
		name         string
		messages     []string
		ends         bool   // on its own, before it is interrupted
		words, cause string // of the error; no words: success
		unpack       bool   // the first
	}{
		{"both there", []string{status("Pulling from team/app"), layer(wanted[1], "Downloading"), first, second}, false, "", "", false},
		{"the second in use already", []string{first, layer(wanted[1], "Extracting")}, false, "", "", false},
		{"all of it before we looked", []string{first, status("Digest: " + imageHash)}, true, "", "", false},
		{"one of them, and an error", []string{first, streamError("no space left on device")}, true, "no space left", "full", false},
		{"one of them, and no more", []string{first, layer(wanted[1], "Downloading")}, true, "ended before", "truncated", false},
		{"unpacked", []string{first, second, layer(wanted[0], "Extracting"), layer(wanted[0], "Pull complete")}, false, "", "", true},
		{"unpacked before all is there", []string{layer(wanted[0], "Pull complete"), second}, false, "", "", true},
		{"not unpacked for lack of space", []string{first, second, streamError("no space left on device")}, true, "", "", true},
		{"one of them, and an error instead of the other", []string{first, streamError("no space left on device")}, true, "no space left", "full", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cutOff := make(chan bool, 1)
			e, _ := startEngine(t, map[string]http.HandlerFunc{pullPath: func(w http.ResponseWriter, r *http.Request) {
				stream(test.messages...)(w, r)
				w.(http.Flusher).Flush()
				if !test.ends {
					<-r.Context().Done()
					cutOff <- true
				}
			}})
			cut, arrived := docker.Cut{Layers: wanted}, 0
			if test.unpack {
				cut.Unpack, cut.Arrived = wanted[:1], func() { arrived++ }
			}
			err := e.PullContent(t.Context(), sourceRef, cut, nil)
			if cut.Arrived != nil && (arrived == 1) != (err == nil) {
				t.Errorf("the layers have arrived %d times", arrived)
			}
			if test.words == "" && err != nil {
				t.Error(err)
			}
			if test.words != "" {
				assertFailure(t, err, test.words, test.cause)
			}
			if !test.ends {
				<-cutOff
			}
		})
	}
}

// Callers get the progress of each blob from either store, each update once.
func TestTransfers(t *testing.T) {
	message := func(id, status, progress string) string {
		return fmt.Sprintf(`{"status":%q,"progressDetail":{%s},"id":%q}`, status, progress, id)
	}
	e, _ := startEngine(t, map[string]http.HandlerFunc{
		pullPath: stream(
			status("Pulling from team/app"),
			message("a", "Pulling fs layer", ""),
			message("a", "Downloading", `"current":5,"total":10`),
			message("a", "Downloading", `"current":5,"total":10`),
			message("b", "Already exists", ""),
			message("a", "Verifying Checksum", ""),
			message("a", "Download complete", `"hidecounts":true`),
			message("a", "Extracting", `"current":6,"total":10`),  // the classic store
			message("c", "Extracting", `"current":3,"units":"s"`), // the other one
			message("a", "Pull complete", ""),
			status("Digest: "+imageHash),
		),
		pushPath: stream(
			message("a", "Preparing", ""),
			message("a", "Waiting", ""),
			message("a", "Pushing", `"current":512,"total":1024`),
			message("a", "Pushed", ""),
			message("b", "Layer already exists", ""),
			message("c", "Mounted from group/other", ""),
			status("1.2: digest: "+imageHash+" size: 123"),
		),
	})
	var got []docker.Progress
	progress := func(transfer docker.Progress) { got = append(got, transfer) }
	for _, e.stall = range []time.Duration{0, time.Minute} { // with and without a stall limit
		got = nil
		if err := e.Pull(t.Context(), sourceRef, progress); err != nil {
			t.Error(err)
		}
		if _, err := e.Push(t.Context(), targetRef, progress); err != nil {
			t.Error(err)
		}
		want := []docker.Progress{
			{Blob: "a", Phase: docker.Downloading, Current: 5, Total: 10},
			{Blob: "a", Phase: docker.Downloading, Over: true},
			{Blob: "a", Phase: docker.Extracting, Current: 6, Total: 10},
			{Blob: "c", Phase: docker.Extracting},
			{Blob: "a", Phase: docker.Extracting, Over: true},
			{Blob: "a", Phase: docker.Pushing, Current: 512, Total: 1024},
			{Blob: "a", Phase: docker.Pushing, Over: true},
			{Blob: "b", Phase: docker.Pushing, Over: true},
			{Blob: "c", Phase: docker.Pushing, Over: true},
		}
		if !slices.Equal(got, want) {
			t.Errorf("told %+v\nwant %+v", got, want)
		}
	}
	if err := e.Pull(t.Context(), sourceRef, nil); err != nil { // without a progress callback
		t.Error(err)
	}
}

// A sweep removes what the engine keeps in addition to its images: the filter matches none of them.
func TestSweep(t *testing.T) {
	e, d := startEngine(t, map[string]http.HandlerFunc{prunePath: jsonAnswer(http.StatusOK, map[string]any{})})
	if err := e.Sweep(t.Context()); err != nil {
		t.Error(err)
	}
	want := url.Values{"filters": {`{"label":{"` + nobodysLabel + `":true}}`}}
	if asked := d.asked(prunePath); len(asked) != 1 || !reflect.DeepEqual(asked[0].query, want) {
		t.Errorf("asked %+v, want one with %v", asked, want)
	}
}

func TestConcurrencyOfAnEngine(t *testing.T) {
	for cpus, want := range map[int]int{0: 8, 1: 8, 2: 16, 4: 16, 96: 16} {
		if got := (&engine{cpus: cpus}).concurrency(); got != want {
			t.Errorf("%d processors: %d at a time, want %d", cpus, got, want)
		}
	}
}

// breakAfter sends the messages and closes the connection, with more announced.
func breakAfter(messages ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		stream(messages...)(w, r)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

func TestPush(t *testing.T) {
	const pushed = digest.Digest("sha256:d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35")
	done := status("1.2: digest: " + pushed.String() + " size: 1234")
	tests := []struct {
		name         string
		ref          string
		answer       http.HandlerFunc
		want         digest.Digest
		words, cause string
	}{
		{"containerd's", targetRef, stream(status("Pushed"), done), pushed, "", ""},
		{"the classic store's", targetRef, stream(done, `{"progressDetail":{},"aux":{"Tag":"1.2","Digest":"`+pushed.String()+`","Size":1234}}`), pushed, "", ""},
		{"an index that became a manifest", targetRef, stream(done, `{"aux":{"manifestPushedInsteadOfIndex":true,"originalIndex":{},"selectedManifest":{}}}`), "", "one manifest instead of the index", "invalid"},
		{"missing content", targetRef, stream(`{"aux":{"contentMissing":true,"desc":{}}}`, done), "", "misses content", "invalid"},
		{"no last line", targetRef, stream(status("Pushed"), status("1.2: digest: "+pushed.String())), "", "ended before", "truncated"},
		{"empty", targetRef, stream(), "", "ended before", "truncated"},
		{"half a message", targetRef, stream(status("Pushed"), done[:20]), "", "ended before", "truncated"},
		{"a connection that breaks", targetRef, breakAfter(done), "", "ended before", "truncated"},
		{"denied", targetRef, stream(status("Preparing"), streamError("denied: requested access to the resource is denied")), "", "denied: requested access to the resource is denied", "denied"},
		{"containerd's denied", targetRef, stream(streamError("push access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed")), "", "push access denied", "denied"},
		{"a 401 of the registry's", targetRef, stream(streamError(`unexpected status from PUT request to https://registry/v2/x: 401 Unauthorized`)), "", "401", "denied"},
		{"a registry's code", targetRef, stream(streamError(`{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)), "", "UNAUTHORIZED", "denied"},
		{"a 403 of the registry's", targetRef, stream(streamError("unexpected status from HEAD request to https://registry/v2/x: 403 Forbidden")), "", "403", "denied"},
		{"no credentials", targetRef, stream(streamError("no basic auth credentials")), "", "no basic auth", "denied"},
		{"unknown", targetRef, stream(streamError("manifest unknown")), "", "manifest unknown", "not found"},
		{"a layer that is not there", targetRef, stream(streamError("content digest " + pushed.String() + ": not found")), "", "content digest", ""}, // in the engine: the registry may have it
		{"an error after the last line", targetRef, stream(done, streamError("broken pipe")), "", "broken pipe", "unavailable"},
		{"refused", targetRef, problem(http.StatusNotFound, "An image does not exist locally with the tag"), "", "does not exist locally", "not found"},

		{"by digest", targetByDigest, stream(status("Pushed")), "", "", ""},
		{"by digest, an index that became a manifest", targetByDigest, stream(`{"aux":{"manifestPushedInsteadOfIndex":true}}`), "", "one manifest instead of the index", "invalid"},
		{"by digest, missing content", targetByDigest, stream(`{"aux":{"contentMissing":true}}`), "", "misses content", "invalid"},
		{"by digest, empty", targetByDigest, stream(), "", "ended before", "truncated"},
		{"by digest, a connection that breaks", targetByDigest, breakAfter(status("Pushed")), "", "ended before", "truncated"},
		{"by digest, denied", targetByDigest, stream(streamError("denied: requested access to the resource is denied")), "", "denied: requested", "denied"},
		{"by digest, refused", targetByDigest, problem(http.StatusNotFound, "An image does not exist locally with the tag"), "", "does not exist locally", "not found"},
		{"by digest, unauthorized", targetByDigest, problem(http.StatusUnauthorized, "authentication required"), "", "authentication required", "denied"},
		{"by digest, an engine in trouble", targetByDigest, problem(http.StatusInternalServerError, "no space left on device"), "", "no space left on device", "full"},
		{"by digest, no engine at all", targetByDigest, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, "", "502 Bad Gateway", "unavailable"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e, d := startEngine(t, map[string]http.HandlerFunc{pushPath: test.answer, digestPushPath: test.answer})
			got, err := e.Push(t.Context(), test.ref, nil)
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if test.words == "" && err != nil {
				t.Error(err)
			}
			if test.words != "" {
				assertFailure(t, err, test.words, test.cause)
			}
			call, query := pushPath, url.Values{"tag": {"1.2"}}
			if test.ref == targetByDigest {
				call, query = digestPushPath, url.Values{}
			}
			if asked := d.asked(call); len(asked) != 1 || !reflect.DeepEqual(asked[0].query, query) {
				t.Errorf("asked %+v, want one with %v", asked, query)
			}
		})
	}
}

func TestCancelEndsAStream(t *testing.T) {
	calls := map[string]func(context.Context, *engine) error{
		"pull":           func(ctx context.Context, e *engine) error { return e.Pull(ctx, sourceRef, nil) },
		"push":           func(ctx context.Context, e *engine) error { _, err := e.Push(ctx, targetRef, nil); return err },
		"push by digest": func(ctx context.Context, e *engine) error { _, err := e.Push(ctx, targetByDigest, nil); return err },
		"load":           func(ctx context.Context, e *engine) error { return e.Load(ctx, []byte("archive")) },
	}
	answers := map[string]func(w http.ResponseWriter){
		"before the answer": func(http.ResponseWriter) {},
		"in the stream": func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, status("denied: not found")+`{"status":`)
			w.(http.Flusher).Flush()
		},
	}
	for name, call := range calls {
		for when, begin := range answers {
			t.Run(name+" "+when, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				answer := func(w http.ResponseWriter, r *http.Request) {
					begin(w)
					cancel()
					<-r.Context().Done()
				}
				e, _ := startEngine(t, map[string]http.HandlerFunc{pullPath: answer, pushPath: answer, digestPushPath: answer, loadPath: answer})
				assertFailure(t, call(ctx, e), "context canceled", "cancelled")
			})
		}
	}
}

func TestLoad(t *testing.T) {
	tests := []struct {
		name         string
		answer       http.HandlerFunc
		words, cause string
	}{
		{"success", stream(`{"stream":"Loaded image: a:1\n"}`), "", ""},
		{"an error in the stream", stream(streamError("invalid archive")), "invalid archive", ""},
		{"empty", stream(), "ended before", "truncated"},
		{"refused", problem(http.StatusBadRequest, "invalid tar header"), "invalid tar header", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e, d := startEngine(t, map[string]http.HandlerFunc{loadPath: test.answer})
			err := e.Load(t.Context(), []byte("archive"))
			if test.words == "" && err != nil {
				t.Error(err)
			}
			if test.words != "" {
				assertFailure(t, err, test.words, test.cause)
			}
			if asked := d.asked(loadPath); len(asked) != 1 || asked[0].body != "archive" || asked[0].query.Get("quiet") != "1" {
				t.Errorf("asked %+v", asked)
			}
		})
	}
}

func TestMissing(t *testing.T) {
	manifest := func(content string, available bool) map[string]any {
		return map[string]any{"Descriptor": ocispec.Descriptor{Digest: digest.FromString(content)}, "Available": available}
	}
	e, d := startEngine(t, map[string]http.HandlerFunc{inspectPath: jsonAnswer(http.StatusOK, map[string]any{
		"Manifests": []any{manifest("a", true), manifest("b", false), manifest("c", true), manifest("d", false)},
	})})
	got, err := e.Missing(t.Context(), targetRef)
	if want := []digest.Digest{digest.FromString("b"), digest.FromString("d")}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if asked := d.asked(inspectPath); len(asked) != 1 || asked[0].query.Get("manifests") != "1" {
		t.Errorf("asked %+v", asked)
	}
}

func TestMissingFails(t *testing.T) {
	e, _ := startEngine(t, map[string]http.HandlerFunc{inspectPath: problem(http.StatusNotFound, "No such image: "+targetRef)})
	_, err := e.Missing(t.Context(), targetRef)
	assertFailure(t, err, "No such image", "not found")

	old := httptest.NewServer(&daemon{version: "1.47"})
	defer old.Close()
	_, err = engineAt(t, docker.Endpoint{Host: "tcp://" + old.Listener.Addr().String()}).Missing(t.Context(), targetRef)
	assertFailure(t, err, "requires API version 1.48", "")
}

func TestResolve(t *testing.T) {
	want := image.Resolved{Digest: imageHash, Platforms: []ocispec.Platform{{OS: "linux", Architecture: "arm", Variant: "v7"}}}
	found := registry.DistributionInspect{Descriptor: ocispec.Descriptor{Digest: want.Digest}, Platforms: want.Platforms}
	tests := []struct {
		name         string
		answer       http.HandlerFunc
		words, cause string
	}{
		{"found", jsonAnswer(http.StatusOK, found), "", ""},
		{"a 404", problem(http.StatusNotFound, "no such thing"), "no such thing", "not found"},
		{"a 404 in words", problem(http.StatusInternalServerError, "manifest unknown: manifest unknown"), "manifest unknown", "not found"},
		{"a repository that is not there", problem(http.StatusInternalServerError, "name unknown: repository name not known to registry"), "name unknown", "not found"},
		{"a 401", problem(http.StatusUnauthorized, "authentication required"), "authentication required", "denied"},
		{"a 403", problem(http.StatusForbidden, "requested access to the resource is denied"), "denied", "denied"},
		{"a 403 without words", problem(http.StatusForbidden, "no"), "no", "denied"},
		{"a registry in trouble", problem(http.StatusInternalServerError, "received unexpected HTTP status: 502 Bad Gateway"), "502", "unavailable"},
		{"half an answer", stream(`{"Descriptor":{"digest":"` + imageHash), "unexpected EOF", "unavailable"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e, _ := startEngine(t, map[string]http.HandlerFunc{resolvePath: test.answer})
			got, err := e.Resolve(t.Context(), targetRef)
			if test.words != "" {
				assertFailure(t, err, test.words, test.cause)
				return
			}
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
		})
	}
}

func TestTagAndRemove(t *testing.T) {
	e, d := startEngine(t, map[string]http.HandlerFunc{
		tagPath:    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) },
		removePath: jsonAnswer(http.StatusOK, []any{}),
	})
	if err := e.Tag(t.Context(), sourceRef, targetRef); err != nil {
		t.Error(err)
	}
	if asked := d.asked(tagPath); len(asked) != 1 || !reflect.DeepEqual(asked[0].query, url.Values{"repo": {targetRepo}, "tag": {"1.2"}}) {
		t.Errorf("asked %+v", asked)
	}
	if err := e.Remove(t.Context(), targetRef); err != nil {
		t.Error(err)
	}
	if asked := d.asked(removePath); len(asked) != 1 || asked[0].query.Has("force") {
		t.Errorf("asked %+v", asked)
	}
}

func TestLocalImages(t *testing.T) {
	const id = "sha256:4b227777d4dd1fc61c6f884f48641d02b4d121d3fd328cb08b5531fcacdabf8a"
	named := map[string]any{"Id": id, "RepoTags": []string{targetRef}, "RepoDigests": []string{sourceRef}}
	e, d := startEngine(t, map[string]http.HandlerFunc{
		"GET /images/json": jsonAnswer(http.StatusOK, []any{named, map[string]any{"Id": imageHash, "RepoTags": []string{"<none>:<none>"}}}),
		inspectPath:        jsonAnswer(http.StatusOK, named),
	})
	want := image.Local{ID: id, Names: []string{targetRef, sourceRef}}
	if got, err := e.Local(t.Context()); err != nil || !reflect.DeepEqual(got, []image.Local{want, {ID: imageHash}}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if asked := d.asked("GET /images/json"); len(asked) != 1 || asked[0].query.Get("all") != "1" {
		t.Errorf("asked %+v", asked)
	}
	if got, err := e.Find(t.Context(), targetRef); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}

	e, _ = startEngine(t, map[string]http.HandlerFunc{
		"GET /images/json": problem(http.StatusInternalServerError, "out of order"),
		inspectPath:        problem(http.StatusNotFound, "No such image: "+targetRef),
	})
	_, err := e.Local(t.Context())
	assertFailure(t, err, "out of order", "")
	_, err = e.Find(t.Context(), targetRef)
	assertFailure(t, err, "No such image", "not found")
}

func TestTagAndRemoveFail(t *testing.T) {
	e, _ := startEngine(t, map[string]http.HandlerFunc{
		tagPath:    problem(http.StatusNotFound, "No such image: "+sourceRef),
		removePath: problem(http.StatusConflict, "image is being used by running container"),
	})
	assertFailure(t, e.Tag(t.Context(), sourceRef, targetRef), "No such image", "not found")
	assertFailure(t, e.Remove(t.Context(), targetRef), "being used", "")

	e, d := startEngine(t, map[string]http.HandlerFunc{removePath: problem(http.StatusNotFound, "No such image")})
	if err := e.Remove(t.Context(), targetRef); err != nil || len(d.asked(removePath)) != 1 {
		t.Errorf("an unknown reference: %v", err)
	}
}

func TestLogin(t *testing.T) {
	e, d := startEngine(t, map[string]http.HandlerFunc{authPath: jsonAnswer(http.StatusOK, registry.AuthenticateOKBody{Status: "Login Succeeded"})})
	if err := e.Login(t.Context(), e.target); err != nil {
		t.Error(err)
	}
	want, _ := e.target(t.Context())
	var got registry.AuthConfig
	if asked := d.asked(authPath); len(asked) != 1 || json.Unmarshal([]byte(asked[0].body), &got) != nil || got != want {
		t.Errorf("asked %+v, want %+v", asked, want)
	}

	e, _ = startEngine(t, map[string]http.HandlerFunc{authPath: problem(http.StatusUnauthorized, "Get https://registry.example.com/v2/: unauthorized: HTTP Basic: Access denied")})
	assertFailure(t, e.Login(t.Context(), e.target), "Access denied", "denied")

	broken := errors.New("no token")
	err := e.Login(t.Context(), func(context.Context) (registry.AuthConfig, error) { return registry.AuthConfig{}, broken })
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// decodeAuth decodes the credentials header like an engine: base64url with padding. An engine ignores any other
// encoding, and continues anonymously.
func decodeAuth(t *testing.T, request apiRequest) registry.AuthConfig {
	t.Helper()
	decoded, err := base64.URLEncoding.DecodeString(request.auth)
	if err != nil {
		t.Errorf("%s: the header %q is not base64url with padding: %v", request.call, request.auth, err)
	}
	var auth registry.AuthConfig
	if err := json.Unmarshal(decoded, &auth); err != nil {
		t.Errorf("%s: the header holds %q: %v", request.call, decoded, err)
	}
	return auth
}

func TestCredentialsGoToTheirHostAlone(t *testing.T) {
	hosts := map[string]string{ // "": not one of the two
		targetHost:             "target",
		sourceHost:             "source",
		otherSourceHost:        "source",
		targetHost + ":5000":   "",
		"sub." + targetHost:    "",
		targetHost + ".evil.x": "",
		"public.ecr.aws":       "",
		"localhost:5000":       "",
	}
	calls := map[string]func(context.Context, *engine, string) error{
		"POST /images/create": func(ctx context.Context, e *engine, repo string) error { return e.Pull(ctx, repo+"@"+imageHash, nil) },
		"POST /images/%s/push": func(ctx context.Context, e *engine, repo string) error {
			_, err := e.Push(ctx, repo+":1", nil)
			return err
		},
		"POST /images/%s@" + imageHash + "/push": func(ctx context.Context, e *engine, repo string) error {
			_, err := e.Push(ctx, repo+"@"+imageHash, nil)
			return err
		},
		"GET /distribution/%s:1/json": func(ctx context.Context, e *engine, repo string) error {
			_, err := e.Resolve(ctx, repo+":1")
			return err
		},
	}
	for pattern, call := range calls {
		for host, side := range hosts {
			repo := host + "/group/project/" + targetHost + "/app" // the target's name only counts as the host
			path := strings.ReplaceAll(pattern, "%s", repo)
			e, d := startEngine(t, nil)
			err := call(t.Context(), e, repo)
			if side == "" {
				if err == nil || !strings.Contains(err.Error(), host+" is not a host that ECR has named") || len(d.asked(path)) > 0 {
					t.Errorf("%s: %v, asked %+v", path, err, d.asked(path))
				}
				continue
			}
			if err == nil || !strings.Contains(err.Error(), "the test has no answer") {
				t.Fatalf("%s: %v", path, err)
			}
			asked := d.asked(path)
			if len(asked) != 1 {
				t.Fatalf("%s: asked %+v", path, d.requests)
			}
			want, _ := authOf(side)(t.Context())
			want.ServerAddress = host // of the reference, not that of the token
			if got := decodeAuth(t, asked[0]); got != want {
				t.Errorf("%s has the credentials of %s, want %s", path, got.Username, side)
			}
		}
	}
}

// TestNothingGoesOutWithoutCredentials: the engine would continue anonymously.
func TestNothingGoesOutWithoutCredentials(t *testing.T) {
	e, d := startEngine(t, nil)
	noToken := errors.New("no token")
	e.source = func(context.Context) (registry.AuthConfig, error) { return registry.AuthConfig{}, noToken }
	_, resolveErr := e.Resolve(t.Context(), sourceRef)
	_, pushErr := e.Push(t.Context(), sourceRef, nil)
	for _, err := range []error{e.Pull(t.Context(), sourceRef, nil), resolveErr, pushErr} {
		if !errors.Is(err, noToken) {
			t.Errorf("got %v", err)
		}
	}
	if err := e.Pull(t.Context(), "Not A Reference", nil); err == nil || !strings.Contains(err.Error(), `reference "Not A Reference"`) {
		t.Errorf("got %v", err)
	}
	if len(d.requests) != 1 {
		t.Errorf("asked %+v", d.requests[1:])
	}
}

// A call without progress ends, whatever else the engine sends meanwhile, and one with progress does not.
func TestStall(t *testing.T) {
	repeating := func(message func(i int) string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for i := 0; ; i++ {
				if i == 20 {
					_, _ = io.WriteString(w, status("Digest: "+imageHash))
					return
				}
				_, _ = io.WriteString(w, message(i))
				w.(http.Flusher).Flush()
				select {
				case <-r.Context().Done():
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
		}
	}
	same := repeating(func(int) string { return `{"status":"Downloading","progressDetail":{"current":7,"total":9},"id":"a"}` })
	moving := repeating(func(i int) string {
		return fmt.Sprintf(`{"status":"Downloading","progressDetail":{"current":%d,"total":99},"id":"a"}`, i)
	})
	silent := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	pull := func(ctx context.Context, e *engine) error { return e.Pull(ctx, sourceRef, nil) }
	for _, test := range []struct {
		name    string
		path    string
		answer  http.HandlerFunc
		call    func(context.Context, *engine) error
		stalled bool
	}{
		{"a pull without an answer", pullPath, silent, pull, true},
		{"a pull that repeats itself", pullPath, same, pull, true},
		{"a pull that moves", pullPath, moving, pull, false},
		{"a push without an answer", pushPath, silent, func(ctx context.Context, e *engine) error { _, err := e.Push(ctx, targetRef, nil); return err }, true},
		{"a push that repeats itself", pushPath, same, func(ctx context.Context, e *engine) error { _, err := e.Push(ctx, targetRef, nil); return err }, true},
		{"a load", loadPath, silent, func(ctx context.Context, e *engine) error { return e.Load(ctx, nil) }, true},
		{"a tag", tagPath, silent, func(ctx context.Context, e *engine) error { return e.Tag(ctx, sourceRef, targetRef) }, true},
		{"a login", authPath, silent, func(ctx context.Context, e *engine) error { return e.Login(ctx, e.target) }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			e, _ := startEngine(t, map[string]http.HandlerFunc{test.path: test.answer})
			e.stall = 400 * time.Millisecond
			err := test.call(t.Context(), e)
			switch {
			case test.stalled:
				assertFailure(t, err, "no progress for 400ms", "stalled")
			case err != nil:
				t.Error(err)
			}
		})
	}
}

// A load has its own limit.
func TestLoadIsStuck(t *testing.T) {
	silent := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}
	e, _ := startEngine(t, map[string]http.HandlerFunc{loadPath: silent})
	e.stall, e.loading = time.Minute, 50*time.Millisecond
	assertFailure(t, e.Load(t.Context(), nil), "the load did not finish within 50ms", "stalled")
}

// Once the containerd store has been full, a pull may be waiting for a lock that nobody holds any more.
func TestPullAfterAFullDisk(t *testing.T) {
	full := streamError("write /data: no space left on device")
	for _, store := range []image.Store{image.ContainerdStore, image.ClassicStore} {
		pulls := 0
		e, _ := startEngine(t, map[string]http.HandlerFunc{pullPath: func(w http.ResponseWriter, r *http.Request) {
			if pulls++; pulls == 1 {
				_, _ = io.WriteString(w, full)
				return
			}
			<-r.Context().Done()
		}})
		e.store, e.filled.Locks, e.stall = store, store == image.ContainerdStore, 50*time.Millisecond
		assertFailure(t, e.Pull(t.Context(), sourceRef, nil), "no space left on device", "full")
		want := map[image.Store]string{image.ContainerdStore: "restart the engine", image.ClassicStore: "by MIGRATE_STALL"}[store]
		assertFailure(t, e.Pull(t.Context(), sourceRef, nil), want, "stalled")
	}
}

// An index is pulled for the requested platform.
func TestPullIndex(t *testing.T) {
	for _, test := range []struct {
		platform ocispec.Platform
		want     string
	}{
		{ocispec.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}, "linux/arm64/v8"},
		{ocispec.Platform{}, ""},
	} {
		var asked string
		e, _ := startEngine(t, map[string]http.HandlerFunc{pullPath: func(w http.ResponseWriter, r *http.Request) {
			asked = r.URL.Query().Get("platform")
			_, _ = io.WriteString(w, `{"status":"Digest: sha256:00"}`)
		}})
		if err := e.PullIndex(t.Context(), sourceRef, test.platform, nil); err != nil || asked != test.want {
			t.Errorf("asked for %q instead of %q, error %v", asked, test.want, err)
		}
	}
}

func TestEngineGone(t *testing.T) {
	server := httptest.NewServer(&daemon{version: "1.51"})
	e := engineAt(t, docker.Endpoint{Host: "tcp://" + server.Listener.Addr().String()})
	server.Close()
	_, push := e.Push(t.Context(), targetByDigest, nil)
	for name, err := range map[string]error{"pull": e.Pull(t.Context(), sourceRef, nil), "push by digest": push, "tag": e.Tag(t.Context(), "a", "b")} {
		if !errors.Is(err, docker.ErrEngineGone) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An engine with the containerd store that cannot report what it holds is rejected. The classic store does not need
// that call.
func TestUsable(t *testing.T) {
	containerd := system.Info{ServerVersion: "27.5.1", DriverStatus: [][2]string{{"driver-type", "io.containerd.snapshotter.v1"}}}
	for _, test := range []struct {
		api  string
		info system.Info
		want string
	}{
		{"1.47", containerd, "Docker 27.5.1"},
		{"1.48", containerd, ""},
		{"1.41", system.Info{ServerVersion: "20.10.24"}, ""},
	} {
		d, host := startDaemon(t, map[string]http.HandlerFunc{infoPath: jsonAnswer(http.StatusOK, test.info)})
		d.version = test.api
		err := engineAt(t, docker.Endpoint{Host: host}).usable()
		if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("API %s, %s: error %v", test.api, test.info.ServerVersion, err)
		}
	}
}

func TestPlatform(t *testing.T) {
	e, _ := startEngine(t, map[string]http.HandlerFunc{
		inspectPath: jsonAnswer(http.StatusOK, map[string]string{
			"Os": "windows", "OsVersion": "10.0.20348.1", "Architecture": "arm64", "Variant": "v8",
		}),
	})
	got, err := e.Platform(t.Context(), targetRef)
	if want := "windows(10.0.20348.1)/arm64/v8"; err != nil || platforms.FormatAll(got) != want {
		t.Errorf("platform %s, error %v", platforms.FormatAll(got), err)
	}
	if _, err := e.Platform(t.Context(), "registry.example.com/gone:1"); err == nil {
		t.Error("no error for an image that is not there")
	}
}
