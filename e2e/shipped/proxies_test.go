package shipped

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/aws"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/gitlab"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/proxy"
)

// documentedProxy is the proxy in the documentation.
const documentedProxy = "http://proxy.example.com:3128"

var proxyBlock = regexp.MustCompile("(?s)```yaml\n(migration:\n  variables:\n    HTTP_PROXY: [^`]*)```")

// testProxies adds the variables from the documentation to the including project. Job and service then use the proxy for
// everything but each other.
func (s shipping) testProxies(t *testing.T) {
	address := s.engine.HostAddrs[4]
	tunnel, err := proxy.StartTunnel(t.Context(), proxy.TunnelOptions{Listen: net.JoinHostPort(address, "3128"), From: address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tunnel.Close(); err != nil {
			t.Error(err)
		}
	})
	var direct atomic.Int64
	noteDirect := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.TLS != nil && !strings.HasPrefix(r.RemoteAddr, address+":") { // the tests' own client uses plain HTTP
				direct.Add(1)
			}
			next.ServeHTTP(w, r)
		})
	}
	w := s.startWorldOf(t, world.Options{AWS: aws.Options{Wrap: noteDirect}, GitLab: gitlab.Options{Wrap: noteDirect}})

	shown := include{Component: readIncludes(t, "docs/pipeline.md")[0].Component, Inputs: map[string]any{}}
	p := s.includingProject(t, w, shown)
	p.setVariables(t, w.Env())
	p.addProxy(t, tunnel.URL)
	output := p.run(t, "--variable", newPipeline, "--variable", bulkMigrate)
	s.compare(t, w)
	expectOutput(t, output, "tcp://docker:2376")
	opened := tunnel.Opened()
	t.Logf("the proxy's connections: %v", opened)
	for _, host := range []string{strings.TrimPrefix(w.AWS.Endpoint, "https://"), w.AWS.RegistryHost, w.AWS.BucketHost, w.GitLab.Registry} {
		if opened[host] == 0 {
			t.Errorf("nothing reached %s through the proxy: %v", host, opened)
		}
	}
	if n := direct.Load(); n > 0 {
		t.Errorf("%d requests did not come through the proxy", n)
	}
}

// addProxy adds the documented variables to the project's pipeline, for the proxy at the URL.
func (p project) addProxy(t *testing.T, url string) {
	t.Helper()
	block := proxyBlock.FindStringSubmatch(read(t, "docs/pipeline.md"))
	if block == nil || strings.Count(block[1], documentedProxy) != 2 {
		t.Fatal("docs/pipeline.md has no YAML block with the proxy's variables")
	}
	file := filepath.Join(p.dir, ".gitlab-ci.yml")
	pipeline, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pipeline = append(pipeline, strings.ReplaceAll(block[1], documentedProxy, url)...)
	if err := os.WriteFile(file, pipeline, 0o644); err != nil {
		t.Fatal(err)
	}
}
