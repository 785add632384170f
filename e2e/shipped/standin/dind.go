package standin

import (
	"context"
	"encoding/json"
	"path/filepath"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

// dind is a current engine that listens without TLS, as the official image does with an empty
// DOCKER_TLS_CERTDIR. Arguments are dockerd's, as with the official image.
func dind() *image {
	return &image{
		fill: fillDind,
		changes: []string{
			`ENTRYPOINT ["dockerd", "--bridge=none", "--iptables=false", "--ip6tables=false", ` +
				`"--userland-proxy=false", "--tls=false", "-H", "tcp://0.0.0.0:2375", "-H", "unix:///var/run/docker.sock"]`,
			"VOLUME /var/lib/docker",
			"VOLUME /var/lib/containerd",
			"EXPOSE 2375",
		},
	}
}

func fillDind(ctx context.Context, t *tree) error {
	if err := fillAlpine(ctx, t); err != nil {
		return err
	}
	bin, err := engine.BinDir(ctx, engine.Containerd)
	if err != nil {
		return err
	}
	for _, program := range []string{"dockerd", "containerd", "containerd-shim-runc-v2", "runc"} {
		if err := t.file("usr/local/bin/"+program, filepath.Join(bin, program)); err != nil {
			return err
		}
	}
	// The registries of the test world speak plain HTTP, and are not on the engine's loopback.
	config, err := json.Marshal(map[string][]string{"insecure-registries": {engine.Subnet.String()}})
	if err != nil {
		return err
	}
	return t.text("etc/docker/daemon.json", string(config))
}
