package bench

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

// The versions of the daemonless tools. Crane's is that of go-containerregistry in go.mod.
const (
	craneVersion   = "v0.22.1"
	regsyncVersion = "v0.11.7"
)

// newCrane copies each tag with a separate process. It is given the tags; listing them is not measured.
func newCrane(ctx context.Context, parallel int) (contender, error) {
	crane, err := engine.Tool(ctx, "github.com/google/go-containerregistry/cmd/crane", craneVersion)
	return contender{
		name: nameCrane, parallel: parallel, atOnce: parallel,
		commands: func(ctx context.Context, s *site) ([]*exec.Cmd, error) {
			if err := s.writeDockerConfig(); err != nil {
				return nil, err
			}
			var commands []*exec.Cmd
			for _, t := range s.tags {
				cmd := command(ctx, crane, "copy", s.from(t), s.to(t))
				if !s.source.network.TLS {
					cmd.Args = append(cmd.Args, "--insecure")
				}
				cmd.Env = append(cmd.Env, "DOCKER_CONFIG="+s.dir)
				commands = append(commands, cmd)
			}
			return commands, nil
		},
	}, err
}

// newRegsync copies all tags with one process, which is given the tags.
func newRegsync(ctx context.Context, parallel int) (contender, error) {
	regsync, err := engine.Tool(ctx, "github.com/regclient/regclient/cmd/regsync", regsyncVersion)
	return contender{
		name: nameRegsync, parallel: parallel, single: true,
		commands: func(ctx context.Context, s *site) ([]*exec.Cmd, error) {
			config, err := s.writeRegsyncConfig(parallel)
			if err != nil {
				return nil, err
			}
			return []*exec.Cmd{command(ctx, regsync, "once", "--config", config)}, nil
		},
	}, err
}

func (s *site) from(t tag) string { return s.AWS.RegistryHost + "/" + t.repository + ":" + t.name }
func (s *site) to(t tag) string   { return s.GitLab.Image + "/" + t.repository + ":" + t.name }

// login holds the credentials for a registry.
type login struct{ registry, user, password string }

func (s *site) logins() []login {
	ecr := s.AWS.PullAuth() // reads by the owner are not counted
	return []login{{s.AWS.RegistryHost, ecr.Username, ecr.Password}, {s.GitLab.Registry, s.GitLab.User, s.GitLab.Password}}
}

// writeDockerConfig logs in to both registries, as docker login does.
func (s *site) writeDockerConfig() error {
	auths := map[string]map[string]string{}
	for _, l := range s.logins() {
		auths[l.registry] = map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(l.user + ":" + l.password))}
	}
	_, err := s.writeJSON("config.json", map[string]any{"auths": auths})
	return err
}

// writeRegsyncConfig allows as many requests to a registry as concurrent images; the default is three.
func (s *site) writeRegsyncConfig(parallel int) (path string, err error) {
	tls := "enabled"
	if !s.source.network.TLS {
		tls = "disabled"
	}
	var creds, sync []map[string]any
	for _, l := range s.logins() {
		creds = append(creds, map[string]any{
			"registry": l.registry, "user": l.user, "pass": l.password, "tls": tls, "reqConcurrent": parallel,
		})
	}
	for _, t := range s.tags {
		sync = append(sync, map[string]any{"source": s.from(t), "target": s.to(t), "type": "image"})
	}
	return s.writeJSON("regsync.yaml", map[string]any{
		"version": 1, "creds": creds, "defaults": map[string]any{"parallel": parallel}, "sync": sync,
	})
}

// writeJSON writes a file that only this user can read. JSON is also valid YAML.
func (s *site) writeJSON(name string, content any) (path string, err error) {
	raw, err := json.Marshal(content)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	path = filepath.Join(s.dir, name)
	return path, os.WriteFile(path, raw, 0o600)
}
