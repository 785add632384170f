package bench

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/aws"
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
			if err := s.writeDockerConfig(ctx); err != nil {
				return nil, err
			}
			var commands []*exec.Cmd
			for _, t := range s.tags {
				cmd := command(ctx, crane, "copy", "--insecure", s.source(t), s.target(t))
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
			config, err := s.writeRegsyncConfig(ctx, parallel)
			if err != nil {
				return nil, err
			}
			return []*exec.Cmd{command(ctx, regsync, "once", "--config", config)}, nil
		},
	}, err
}

func (s *site) source(t tag) string { return s.AWS.RegistryHost + "/" + t.repository + ":" + t.name }
func (s *site) target(t tag) string { return s.GitLab.Image + "/" + t.repository + ":" + t.name }

// login holds the credentials for a registry.
type login struct{ registry, user, password string }

func (s *site) logins(ctx context.Context) ([]login, error) {
	ecr, err := ecrLogin(ctx, s.AWS)
	return []login{ecr, {s.GitLab.Registry, s.GitLab.User, s.GitLab.Password}}, err
}

// ecrLogin gets a token from ECR as a user, because reads by the owner are not counted.
func ecrLogin(ctx context.Context, server *aws.Server) (login, error) {
	out, err := ecrClient(server).GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		return login{}, err
	}
	if len(out.AuthorizationData) == 0 {
		return login{}, errors.New("ECR issued no token")
	}
	token, err := base64.StdEncoding.DecodeString(awssdk.ToString(out.AuthorizationData[0].AuthorizationToken))
	user, password, _ := strings.Cut(string(token), ":")
	return login{server.RegistryHost, user, password}, err
}

func ecrClient(server *aws.Server) *ecr.Client {
	return ecr.New(ecr.Options{
		Region:       server.Region,
		BaseEndpoint: awssdk.String(server.Endpoint),
		Credentials: awssdk.CredentialsProviderFunc(func(context.Context) (awssdk.Credentials, error) {
			return awssdk.Credentials{AccessKeyID: server.AccessKeyID, SecretAccessKey: server.SecretAccessKey}, nil
		}),
	})
}

// writeDockerConfig logs in to both registries, as docker login does.
func (s *site) writeDockerConfig(ctx context.Context) error {
	logins, err := s.logins(ctx)
	if err != nil {
		return err
	}
	auths := map[string]map[string]string{}
	for _, l := range logins {
		auths[l.registry] = map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(l.user + ":" + l.password))}
	}
	_, err = s.writeJSON("config.json", map[string]any{"auths": auths})
	return err
}

// writeRegsyncConfig allows as many requests to a registry as concurrent images; the default is three.
func (s *site) writeRegsyncConfig(ctx context.Context, parallel int) (path string, err error) {
	logins, err := s.logins(ctx)
	if err != nil {
		return "", err
	}
	var creds, sync []map[string]any
	for _, l := range logins {
		creds = append(creds, map[string]any{
			"registry": l.registry, "user": l.user, "pass": l.password, "tls": "disabled", "reqConcurrent": parallel,
		})
	}
	for _, t := range s.tags {
		sync = append(sync, map[string]any{"source": s.source(t), "target": s.target(t), "type": "image"})
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
