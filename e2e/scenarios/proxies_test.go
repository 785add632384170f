package scenarios

import (
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/aws"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/gitlab"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/proxy"
)

// In a network without a direct route, job and engine each use their own proxy, for everything but each other.
func TestMigratesThroughProxies(t *testing.T) {
	t.Parallel()
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := startBehindProxies(t, kind, enginesProxy)
			shapes := s.fillWith(t, usualShapes...)
			plan := s.command(t, []string{"plan"}, s.job...)
			expectExit(t, plan, 0)
			expectOutput(t, plan.Stdout, "nothing has been copied")
			outcome := s.run(t, s.job...)
			expectExit(t, outcome, 0)
			s.expectArrived(t, outcome.Stdout, shapes...)
			expectNothingLeft(t, s.Engine)
			s.expectTunnels(t)
			if n := s.direct.Load(); n > 0 {
				t.Errorf("%d requests did not come through a proxy", n)
			}
		})
	}
}

// What keeps the engine from the registries is told apart, with a remedy for the engine and not for the job.
func TestEngineBehindProxyFails(t *testing.T) {
	t.Parallel()
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel() // it mostly waits
			s := startBehindProxies(t, kind, enginesProxy)
			s.fillWith(t, "docker-manifest")
			fails := func(says ...string) {
				t.Helper()
				outcome := s.run(t, s.job...)
				expectExit(t, outcome, 1)
				expectOutput(t, outcome.Stderr, says...)
				expectUntouched(t, s.scene)
			}
			s.forEngine.Refuse("", http.StatusForbidden)
			fails("the engine's proxy does not let it connect to "+s.AWS.RegistryHost, "allow that in the proxy", "docker:dind service")
			s.forEngine.Refuse("", http.StatusProxyAuthRequired)
			fails("the engine's proxy requires a login", "HTTPS_PROXY with a user and password", "docker:dind service")
			if err := s.forEngine.Close(); err != nil {
				t.Fatal(err)
			}
			fails("the engine cannot reach the ECR registry "+s.AWS.RegistryHost, "proxyconnect", "The engine uses a proxy", "docker:dind service")
		})
	}
}

// Without its variables, the engine cannot use the proxy of its network.
func TestEngineWithoutItsProxy(t *testing.T) {
	t.Parallel()
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel() // it mostly waits
			s := startBehindProxies(t, kind, nil)
			s.fillWith(t, "docker-manifest")
			outcome := s.run(t, s.job...)
			expectExit(t, outcome, 1)
			expectOutput(t, outcome.Stdout, "logging in to "+s.AWS.RegistryHost+" again, because of: ")
			expectOutput(t, outcome.Stderr, "the engine cannot reach the ECR registry "+s.AWS.RegistryHost, "it has no proxy", "docker:dind service")
			expectUntouched(t, s.scene)
		})
	}
}

// behindProxies is a scene whose engine reaches nothing but a proxy, and whose job uses another one.
type behindProxies struct {
	*scene
	forJob, forEngine *proxy.Tunnel
	job               []string // the job's variables
	direct            atomic.Int64
}

// startBehindProxies starts the scene, with an engine that has the variables.
func startBehindProxies(t *testing.T, kind engine.Kind, env func(hostAddrs []string) []string) *behindProxies {
	t.Helper()
	e := ownEngine(t, kind, engine.Options{Confined: true, EnvFor: env})
	s := &behindProxies{}
	addr := e.HostAddrs
	s.forEngine, s.forJob = startTunnel(t, addr, enginesPort), startTunnel(t, addr, jobsPort)
	s.scene = startSceneOn(t, e, world.Options{
		AWS:    aws.Options{APIAddr: addr[0] + ":0", Wrap: s.noteDirect},
		GitLab: gitlab.Options{StorageAddr: addr[1] + ":0", Wrap: s.noteDirect},
	})
	// On loopback, neither Go nor Docker would use a proxy.
	host := startProxy(t, proxy.Options{Engine: e.Host, Listen: "tcp://" + addr[0] + ":0"}).Host
	s.job = []string{"DOCKER_HOST=" + host, "HTTP_PROXY=" + s.forJob.URL, "HTTPS_PROXY=" + s.forJob.URL}
	return s
}

// The ports of the proxies, at the last of an engine's HostAddrs.
const enginesPort, jobsPort = "3128", "3129"

// enginesProxy returns the variables of an engine for its proxy.
func enginesProxy(hostAddrs []string) []string {
	url := "http://" + net.JoinHostPort(hostAddrs[len(hostAddrs)-1], enginesPort)
	return []string{"HTTP_PROXY=" + url, "HTTPS_PROXY=" + url, "NO_PROXY=docker"}
}

// startTunnel starts a proxy that connects from its own address, and resolves the world's names.
func startTunnel(t *testing.T, hostAddrs []string, port string) *proxy.Tunnel {
	t.Helper()
	own := hostAddrs[len(hostAddrs)-1]
	p, err := proxy.StartTunnel(t.Context(), proxy.TunnelOptions{
		Listen: net.JoinHostPort(own, port), From: own, Hosts: world.Hosts(hostAddrs),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() }) //nolint:errcheck // a test may have closed it
	return p
}

// noteDirect counts the requests that do not come from a proxy, except for the tests' own, which use plain HTTP.
func (s *behindProxies) noteDirect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, _, err := net.SplitHostPort(r.RemoteAddr)
		if own := s.Engine.HostAddrs; r.TLS != nil && (err != nil || from != own[len(own)-1]) {
			s.direct.Add(1)
		}
		next.ServeHTTP(w, r)
	})
}

// expectTunnels checks which proxy was used for what: the job's for AWS and one byte of a layer, the engine's for the rest.
func (s *behindProxies) expectTunnels(t *testing.T) {
	t.Helper()
	api := strings.TrimPrefix(s.AWS.Endpoint, "https://")
	byJob, byEngine := s.forJob.Opened(), s.forEngine.Opened()
	t.Logf("the job's tunnels: %v\nthe engine's: %v", byJob, byEngine)
	for _, host := range []string{api, s.AWS.BucketHost} {
		if byJob[host] == 0 {
			t.Errorf("the job did not reach %s through its proxy: %v", host, byJob)
		}
		delete(byJob, host)
	}
	if len(byJob) > 0 {
		t.Errorf("the job used its proxy for %v", byJob)
	}
	for _, host := range []string{s.AWS.RegistryHost, s.AWS.BucketHost, s.GitLab.Registry} {
		if byEngine[host] == 0 {
			t.Errorf("the engine did not reach %s through its proxy: %v", host, byEngine)
		}
	}
	if byEngine[api] > 0 {
		t.Errorf("the engine used its proxy for %v", byEngine)
	}
	if read, sent := s.forEngine.Bytes(s.AWS.BucketHost), s.forEngine.Bytes(s.GitLab.Registry); read < s.AWS.BlobBytesOut() || sent < s.GitLab.BytesIn() {
		t.Errorf("%d of %d bytes from ECR and %d of %d bytes to GitLab went through the engine's proxy",
			read, s.AWS.BlobBytesOut(), sent, s.GitLab.BytesIn())
	}
}
