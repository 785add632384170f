package docker

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFindEndpoint(t *testing.T) {
	dir := t.TempDir()
	const home = "/home/ci"
	socket, certs := filepath.Join(dir, "docker.sock"), filepath.Join(dir, "certs")
	for _, name := range []string{"docker.sock", "certs/client/ca.pem", "certs/client/cert.pem", "certs/client/key.pem", "half/client/ca.pem", "half/client/cert.pem"} {
		writeFile(t, filepath.Join(dir, name), nil)
	}
	const nowhere = "/nowhere/docker.sock"
	client := filepath.Join(certs, "client")
	tests := []struct {
		name     string
		settings Settings
		socket   string
		want     Endpoint
	}{
		{"nothing at all", Settings{Home: home}, nowhere, Endpoint{Host: "tcp://docker:2375"}},
		{"the socket", Settings{Home: home}, socket, Endpoint{Host: "unix://" + socket}},
		{"a folder in the socket's place", Settings{Home: home}, dir, Endpoint{Host: "tcp://docker:2375"}},
		{"the socket before dind's certificates", Settings{Home: home, TLSCertDir: certs}, socket, Endpoint{Host: "unix://" + socket}},
		{"dind's certificates", Settings{Home: home, TLSCertDir: certs}, nowhere, Endpoint{"tcp://docker:2376", client}},
		{"no certificates yet", Settings{Home: home, TLSCertDir: filepath.Join(dir, "none")}, nowhere, Endpoint{Host: "tcp://docker:2375"}},
		{"a key still to come", Settings{Home: home, TLSCertDir: filepath.Join(dir, "half")}, nowhere, Endpoint{Host: "tcp://docker:2375"}},
		{"TLS alone: the CLI's folder", Settings{Home: home, TLSVerify: "1"}, nowhere, Endpoint{"tcp://docker:2376", home + "/.docker"}},
		{"TLS and dind's certificates", Settings{Home: home, TLSVerify: "1", TLSCertDir: certs}, nowhere, Endpoint{"tcp://docker:2376", client}},
		{"TLS and certificates of one's own", Settings{Home: home, TLSVerify: "1", CertPath: "/own", TLSCertDir: certs}, nowhere, Endpoint{"tcp://docker:2376", "/own"}},
		{"a host", Settings{Host: "tcp://dind:2375"}, socket, Endpoint{Host: "tcp://dind:2375"}},
		{"a host and dind's certificates", Settings{Host: "tcp://dind:2376", TLSCertDir: certs}, socket, Endpoint{"tcp://dind:2376", client}},
		{"a host and certificates", Settings{Host: "tcp://dind:2376", CertPath: "/own", TLSCertDir: certs}, socket, Endpoint{"tcp://dind:2376", "/own"}},
		{"a host with TLS", Settings{Host: "tcp://dind:2376", TLSVerify: "0", Home: home}, socket, Endpoint{"tcp://dind:2376", home + "/.docker"}},
		{"another socket", Settings{Host: "unix:///run/user/1000/docker.sock", TLSVerify: "1", TLSCertDir: certs}, socket, Endpoint{Host: "unix:///run/user/1000/docker.sock"}},
	}
	for _, test := range tests {
		if got := test.settings.Endpoint(test.socket); got != test.want {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
	}
}

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestEndpointURL(t *testing.T) {
	tests := []struct {
		at   Endpoint
		want string
	}{
		{Endpoint{Host: "unix:///var/run/docker.sock"}, "http://api.moby.localhost/v1.51/images/a@b/push"},
		{Endpoint{Host: "unix:///var/run/docker.sock", CertPath: "/certs"}, "http://api.moby.localhost/v1.51/images/a@b/push"},
		{Endpoint{Host: "tcp://docker:2375"}, "http://docker:2375/v1.51/images/a@b/push"},
		{Endpoint{Host: "tcp://docker:2376", CertPath: "/certs"}, "https://docker:2376/v1.51/images/a@b/push"},
		{Endpoint{Host: "tcp://[::1]:2375"}, "http://[::1]:2375/v1.51/images/a@b/push"},
		{Endpoint{Host: "tcp://gateway:80/engine"}, "http://gateway:80/engine/v1.51/images/a@b/push"},
	}
	for _, test := range tests {
		if got := test.at.url("/v1.51/images/a@b/push"); got != test.want {
			t.Errorf("%+v: got %s, want %s", test.at, got, test.want)
		}
	}
}
