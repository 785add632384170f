package standin

import (
	"context"
	_ "embed"
	"path/filepath"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

//go:embed dockerd-entrypoint.sh
var dockerdEntrypoint string

// dind is an engine that starts like the official image's. The arguments are dockerd's, or a command to run instead.
func (m Maker) dind(kind engine.Kind) *image {
	return &image{
		fill: func(ctx context.Context, t *tree) error { return m.fillDind(ctx, t, kind) },
		changes: []string{
			`ENTRYPOINT ["dockerd-entrypoint.sh"]`,
			"ENV PATH=/usr/local/bin:/usr/bin:/bin",
			"ENV DOCKER_TLS_CERTDIR=/certs",
			"VOLUME /var/lib/docker",
			"VOLUME /var/lib/containerd",
			"EXPOSE 2375 2376",
		},
	}
}

func (m Maker) fillDind(ctx context.Context, t *tree, kind engine.Kind) error {
	if err := m.fillAlpine(ctx, t); err != nil {
		return err
	}
	bin, err := engine.BinDir(ctx, kind)
	if err != nil {
		return err
	}
	var programs []string
	for _, name := range []string{"dockerd", "containerd", "containerd-shim-runc-v2", "runc"} {
		programs = append(programs, filepath.Join(bin, name))
	}
	if err := addPrograms(ctx, t, programs...); err != nil {
		return err
	}
	// Alpine's busybox has printenv, and Debian's does not.
	if err := addInstalled(ctx, t, "openssl", "printenv"); err != nil {
		return err
	}
	// No container networks: it runs no containers.
	daemon := `{"bridge": "none", "iptables": false, "ip6tables": false, "userland-proxy": false}`
	if err := t.text("etc/docker/daemon.json", daemon); err != nil {
		return err
	}
	if err := t.text("etc/ssl/openssl.cnf", "[req]\ndistinguished_name = dn\n[dn]\n"); err != nil {
		return err
	}
	return t.script("usr/local/bin/dockerd-entrypoint.sh", dockerdEntrypoint)
}
