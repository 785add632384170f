package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/secure"
)

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "engine: the tests start Docker Engines, which needs root")
		os.Exit(1)
	}
	if os.Getenv(startAndHang) != "" {
		hang()
	}
	if os.Getenv(transferFrom) != "" {
		transfer()
		return
	}
	os.Exit(m.Run())
}

// TestEngines starts two engines of each kind in parallel, and checks that nothing is left of them.
func TestEngines(t *testing.T) {
	stores := map[Kind]string{Classic: "overlay2", Containerd: "io.containerd.snapshotter.v1"}
	versions := map[Kind]string{Classic: classicVersion, Containerd: mobyVersion}
	for _, kind := range Kinds() {
		for _, name := range []string{"one", "another"} {
			t.Run(string(kind)+"/"+name, func(t *testing.T) {
				t.Parallel()
				e := start(t, kind, Options{})
				if !strings.HasPrefix(e.Version, versions[kind]) {
					t.Errorf("version %s, want %s", e.Version, versions[kind])
				}
				if got := store(t, e); !slices.Contains(got, stores[kind]) {
					t.Errorf("stores images with %q, want %s", got, stores[kind])
				}
				started := descendants(t, e.PID())
				if len(started) < 2 {
					t.Errorf("processes %v, want dockerd and its containerd", started)
				}
				if err := e.Close(); err != nil {
					t.Error(err)
				}
				checkGone(t, e, started)
				if err := e.Close(); err != nil {
					t.Error("closed again:", err)
				}
			})
		}
	}
}

// TestStartSmall starts dockerd on its own, and with a containerd if dockerd cannot run it: it cannot with CRI.
func TestStartSmall(t *testing.T) {
	for _, test := range []struct {
		name       string
		args       []string
		containerd bool
	}{
		{"inside", nil, false},
		{"beside", []string{"--cri-containerd"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			e, err := StartSmall(t.Context(), Options{Args: test.args})
			if err != nil {
				t.Fatal(err)
			}
			if got := store(t, e); !slices.Contains(got, "io.containerd.snapshotter.v1") {
				t.Errorf("stores images with %q", got)
			}
			started := descendants(t, e.PID())
			if beside := len(started) > 1; beside != test.containerd {
				t.Errorf("containerd beside dockerd: %t (%v)", beside, started)
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
			checkGone(t, e, started)
		})
	}
}

func TestStartErrors(t *testing.T) {
	beside := start(t, Containerd, Options{})
	cancelled, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	tests := map[string]struct {
		ctx  context.Context
		kind Kind
		opts Options
		want string
	}{
		"unknown flag":        {t.Context(), Containerd, Options{Args: []string{"--nonesuch"}}, "unknown flag: --nonesuch"},
		"bad value":           {t.Context(), Classic, Options{Args: []string{"--storage-driver=nonesuch"}}, "nonesuch"},
		"data root no folder": {t.Context(), Containerd, Options{DataRoot: "/dev/null"}, "/dev/null"},
		"unknown kind":        {t.Context(), "podman", Options{}, `no engine of the kind "podman"`},
		"cancelled context":   {cancelled, Classic, Options{}, "enough"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e, err := Start(tt.ctx, tt.kind, tt.opts)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one that says %q", err, tt.want)
			}
			if e != nil {
				t.Error("an engine beside the error")
			}
		})
	}
	if _, err := beside.version(t.Context()); err != nil {
		t.Error("another engine suffered:", err)
	}
}

func TestDataSurviveRestartAndKill(t *testing.T) {
	for _, kind := range Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			e := start(t, kind, Options{DataRoot: root})
			createVolume(t, e, "kept")
			for _, end := range []func(){func() {}, e.Kill} {
				end()
				if err := e.Restart(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := volumes(t, e); !slices.Contains(got, "kept") {
					t.Errorf("volumes after the restart: %v", got)
				}
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(root, "volumes", "kept")); err != nil {
				t.Error("Close removed the caller's folder:", err)
			}
		})
	}
}

func TestTCPAddr(t *testing.T) {
	for _, kind := range Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			addr := freeAddr(t)
			start(t, kind, Options{TCPAddr: addr})
			response, err := http.Get("http://" + addr + "/_ping")
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if response.StatusCode != http.StatusOK {
				t.Error(response.Status)
			}
		})
	}
}

// TestBridge checks the network from both sides: the engine answers this machine over TCP, and logs in to a registry
// here.
func TestBridge(t *testing.T) {
	e := start(t, Containerd, Options{Bridge: true})
	other := start(t, Containerd, Options{Bridge: true})
	if slices.Equal(e.HostAddrs, other.HostAddrs) {
		t.Errorf("two engines with one network: %v", e.HostAddrs)
	}
	if err := e.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, addr := range e.HostAddrs {
		if got := loginStatus(t, e, addr); got != http.StatusOK {
			t.Errorf("login of the engine at %s: status %d", addr, got)
		}
		if got := loginStatus(t, other, addr); got == http.StatusOK {
			t.Errorf("the other engine reaches %s", addr)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := net.InterfaceByName(e.network.name); err == nil {
		t.Errorf("%s is still there", e.network.name)
	}
}

// TestVerify logs in at registries with TLS, at the engine's own addresses and at those of another engine's network. Neither
// a certificate that the engine does not trust nor plain HTTP will do.
func TestVerify(t *testing.T) {
	authority, err := secure.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			e, other := start(t, kind, Options{Verify: true}), start(t, kind, Options{Verify: true})
			for _, addr := range append(slices.Clone(e.HostAddrs), other.HostAddrs[0]) {
				registry := startRegistry(t, addr, authority)
				if got := login(t, e, registry); got == http.StatusOK {
					t.Errorf("login at %s without trust", registry)
				}
				if err := e.Trust(registry, authority.PEM); err != nil {
					t.Fatal(err)
				}
				if got := login(t, e, registry); got != http.StatusOK {
					t.Errorf("login at %s: status %d", registry, got)
				}
			}
			if got := login(t, e, startRegistry(t, e.HostAddrs[0], nil)); got == http.StatusOK {
				t.Error("login over plain HTTP")
			}
		})
	}
}

// TestIsolation gives the engine an environment that could mislead it.
func TestIsolation(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	e := start(t, Containerd, Options{Env: []string{"GIVEN=yes"}})
	env, err := os.ReadFile(procFile(e.PID(), "environ"))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimRight(string(env), "\x00"), "\x00")
	if !slices.Contains(got, "GIVEN=yes") {
		t.Errorf("environment %q lacks what was given", got)
	}
	for _, variable := range got {
		name, _, _ := strings.Cut(variable, "=")
		if !slices.Contains([]string{"PATH", "HOME", "PWD", "GIVEN"}, name) {
			t.Errorf("%s is handed on", name)
		}
	}
}

// TestEngineEndsWithItsProcess kills a process that has started an engine. The next engine cleans up.
func TestEngineEndsWithItsProcess(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	parent, host := startHanging(t)
	started := descendants(t, parent.Pid)
	if len(started) < 3 {
		t.Fatalf("processes %v, want the parent, dockerd and its containerd", started)
	}
	if err := parent.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := parent.Wait(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for slices.ContainsFunc(started, alive) {
		if time.Now().After(deadline) {
			t.Fatalf("of %v some are still there", started)
		}
		time.Sleep(10 * time.Millisecond)
	}
	e := start(t, Containerd, Options{})
	if left := filepath.Dir(strings.TrimPrefix(host, "unix://")); exists(left) {
		t.Errorf("%s is still there", left)
	}
	data, err := filepath.Glob(filepath.Join(os.TempDir(), "engine-data-*"))
	if err != nil || !slices.Equal(data, []string{e.data.path}) {
		t.Errorf("data of engines: %v, %v, want %s alone", data, err, e.data.path)
	}
}

func start(t *testing.T, kind Kind, opts Options) *Engine {
	t.Helper()
	e, err := Start(t.Context(), kind, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// store returns the storage driver's name and status.
func store(t *testing.T, e *Engine) []string {
	t.Helper()
	var info struct {
		Driver       string
		DriverStatus [][2]string
	}
	if err := e.get(t.Context(), "/info", &info); err != nil {
		t.Fatal(err)
	}
	words := []string{info.Driver}
	for _, status := range info.DriverStatus {
		words = append(words, status[1])
	}
	return words
}

func createVolume(t *testing.T, e *Engine, name string) {
	t.Helper()
	if got := post(t, e, "/volumes/create", `{"Name": "`+name+`"}`); got != http.StatusCreated {
		t.Fatalf("create a volume: status %d", got)
	}
}

func volumes(t *testing.T, e *Engine) []string {
	t.Helper()
	var answer struct{ Volumes []struct{ Name string } }
	if err := e.get(t.Context(), "/volumes", &answer); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, volume := range answer.Volumes {
		names = append(names, volume.Name)
	}
	return names
}

// loginStatus has the engine log in to an open registry over plain HTTP at the given address of this machine.
func loginStatus(t *testing.T, e *Engine, addr string) int {
	t.Helper()
	return login(t, e, startRegistry(t, addr, nil))
}

// startRegistry starts an open registry at the given address of this machine, with a certificate of the authority or over
// plain HTTP, and returns its host:port.
func startRegistry(t *testing.T, addr string, authority *secure.Authority) string {
	t.Helper()
	inner, err := net.Listen("tcp", net.JoinHostPort(addr, "0"))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := authority.Listen(inner)
	if err != nil {
		t.Fatal(err)
	}
	registry := &httptest.Server{Listener: listener, Config: &http.Server{
		Handler: authority.Guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})),
	}}
	registry.Start()
	t.Cleanup(registry.Close)
	return inner.Addr().String()
}

// login has the engine log in to a registry, and returns the status of its response.
func login(t *testing.T, e *Engine, registry string) int {
	t.Helper()
	body, err := json.Marshal(map[string]string{"serveraddress": registry, "username": "a", "password": "b"})
	if err != nil {
		t.Fatal(err)
	}
	return post(t, e, "/auth", string(body))
}

func post(t *testing.T, e *Engine, path, body string) (status int) {
	t.Helper()
	transport := &http.Transport{DialContext: e.dial, DisableKeepAlives: true}
	client := http.Client{Transport: transport}
	response, err := client.Post("http://engine"+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

func freeAddr(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // it has served its purpose
	return listener.Addr().String()
}

func checkGone(t *testing.T, e *Engine, pids []int) {
	t.Helper()
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
	for _, dir := range []string{e.run.path, e.data.path} {
		if exists(dir) {
			t.Errorf("%s is still there", dir)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), e.run.path) || strings.Contains(string(mounts), e.data.path) {
		t.Errorf("still mounted:\n%s", mounts)
	}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// TestHosts finds a registry by a name that this machine does not know, and does not change the machine's /etc.
func TestHosts(t *testing.T) {
	const name = "registry.of-this-test.example"
	asked := make(chan string, 10)
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Host
		w.WriteHeader(http.StatusNotFound)
	}))
	defer registry.Close()
	_, port, err := net.SplitHostPort(registry.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range Kinds() {
		e := start(t, kind, Options{Hosts: func([]string) map[string]string { return map[string]string{name: "127.0.0.1"} }})
		var answer any
		if err := e.get(t.Context(), "/distribution/"+name+":"+port+"/image:tag/json", &answer); err == nil {
			t.Errorf("%s: the image that does not exist is %v", kind, answer)
		}
		select {
		case host := <-asked:
			if host != name+":"+port {
				t.Errorf("%s: asked for %s", kind, host)
			}
		default:
			t.Errorf("%s: the registry was not asked", kind)
		}
		for len(asked) > 0 {
			<-asked
		}
	}
	if machine, err := os.ReadFile("/etc/hosts"); err != nil || strings.Contains(string(machine), name) {
		t.Errorf("the machine's own hosts: %s, %v", machine, err)
	}
}
