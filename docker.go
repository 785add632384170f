package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/filters"
	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
)

// registryAuth says how the engine logs in to a registry. An error is one of getting the credentials.
type registryAuth func(ctx context.Context) (registry.AuthConfig, error)

// engine drives one Docker Engine through its API. It never retries.
type engine struct {
	client  *client.Client
	at      docker.Endpoint
	version string
	store   image.Store
	cpus    int // that the engine has
	images  int // that it had when we came
	source  registryAuth
	target  registryAuth
	// targetHost is where target's credentials go, and isSource reports whether source's go to a host: ECR has several.
	targetHost string
	isSource   func(host string) bool
	hide       *redact.Redactor // learns what the engine is handed
	// stall is how long a call may be without progress; 0: for ever.
	stall time.Duration
	// loading is how long a load may take; 0: for ever.
	loading time.Duration
}

// newEngine is the engine at the other end of the connection.
func newEngine(c *docker.Connection, hide *redact.Redactor) *engine {
	store := image.ContainerdStore
	if c.IsClassic() {
		store = image.ClassicStore
	}
	return &engine{
		hide: hide, client: c.Client, at: c.At, version: c.Info.ServerVersion, store: store, cpus: c.Info.NCPU, images: c.Info.Images,
	}
}

// manifestsAPI is the first version of the API that tells whether the containerd store holds all of an image.
const manifestsAPI = "1.48"

// usable refuses an engine that could push less than it was asked for without our knowing.
func (e *engine) usable() error {
	api := e.client.ClientVersion()
	if e.store == image.ContainerdStore && versions.LessThan(api, manifestsAPI) {
		return fmt.Errorf("the engine, Docker %s at %s, speaks API %s; with the containerd image store %s is needed, which Docker 28 and "+
			"later have: use a current dind, such as docker:29-dind", e.version, e.at.Host, api, manifestsAPI)
	}
	return nil
}

// concurrency is how many images the engine pulls at a time, and pushes, unless the user says otherwise: enough to
// wait for a network, which most of a copy is, and not more than dind's shipped settings carry.
func (e *engine) concurrency() int { return min(max(4, 3*e.cpus), 16) }

// Login has the engine check the credentials against their registry.
func (e *engine) Login(ctx context.Context, auth registryAuth) error {
	config, err := auth(ctx)
	if err != nil {
		return err
	}
	if _, err := learnedHeader(e.hide, config); err != nil {
		return err
	}
	return e.watched(ctx, func(ctx context.Context, _ *docker.Watch) error {
		_, err := e.client.RegistryLogin(ctx, config)
		return err
	})
}

// watched makes a call that ends with docker.ErrStalled when it has made no progress for too long.
func (e *engine) watched(ctx context.Context, call func(context.Context, *docker.Watch) error) error {
	return e.followed(ctx, nil, call)
}

// followed is watched for a call of which progress hears what it transfers.
func (e *engine) followed(ctx context.Context, progress docker.Listener, call func(context.Context, *docker.Watch) error) error {
	return docker.Watched(ctx, e.stall, progress, call)
}

// finishedPull begins the status without which a pull has not succeeded.
const finishedPull = "Digest: "

// Pull fetches what the reference names, a digest, into the engine.
func (e *engine) Pull(ctx context.Context, ref string, progress docker.Listener) error {
	err := e.pull(ctx, ref, "", progress, func(docker.Message) error { return nil })
	if docker.IsBlob(err) {
		return nil
	}
	return err
}

// PullIndex pulls an index for one platform.
func (e *engine) PullIndex(ctx context.Context, ref string, platform ocispec.Platform, progress docker.Listener) error {
	wanted := ""
	if platform.OS != "" {
		wanted = platforms.FormatAll(platform)
	}
	return e.pull(ctx, ref, wanted, progress, func(docker.Message) error { return nil })
}

// pull has see look at each message of a pull, and end it with an error.
func (e *engine) pull(ctx context.Context, ref, platform string, progress docker.Listener, see func(docker.Message) error) error {
	auth, err := e.encodedAuth(ctx, ref)
	if err != nil {
		return err
	}
	return e.followed(ctx, progress, func(ctx context.Context, w *docker.Watch) error {
		body, err := e.client.ImagePull(ctx, ref, dockerimage.PullOptions{RegistryAuth: auth, Platform: platform})
		if err != nil {
			return err
		}
		defer body.Close() //nolint:errcheck // nothing is written
		finished := false
		err = docker.Drain(body, func(m docker.Message) error {
			w.See(m)
			finished = finished || strings.HasPrefix(m.Status, finishedPull)
			return see(m)
		})
		if err == nil && !finished {
			err = docker.ErrTruncated
		}
		return err
	})
}

// errCutOff ends the reading of a pull whose layers are all there.
var errCutOff = errors.New("the layers are there")

// PullContent pulls until the engine has the layers, and cuts the pull off while they are being unpacked. The engine
// keeps what a pull has brought that was cut off, for some hours or until Sweep (moby/moby, daemon/containerd/leases.go).
func (e *engine) PullContent(ctx context.Context, ref string, layers []digest.Digest, progress docker.Listener) error {
	ctx, cutOff := context.WithCancel(ctx)
	defer cutOff()
	var names []string
	for _, layer := range layers {
		names = append(names, image.Short(layer))
	}
	arrivals := docker.AwaitLayers(names)
	err := e.pull(ctx, ref, "", progress, func(m docker.Message) error {
		if arrivals.See(m) {
			return errCutOff
		}
		return nil
	})
	if errors.Is(err, errCutOff) {
		return nil
	}
	return err
}

// nobodysLabel is a label that no image has.
const nobodysLabel = "invalid.ecr2gitlab.nobodys"

// Sweep has the engine drop what it keeps of pulls that were cut off, which it does when images are pruned. No image
// is: none has the label.
func (e *engine) Sweep(ctx context.Context) error {
	return e.watched(ctx, func(ctx context.Context, _ *docker.Watch) error {
		_, err := e.client.ImagesPrune(ctx, filters.NewArgs(filters.Arg("label", nobodysLabel)))
		return err
	})
}

// Push pushes the reference: a tag, or a digest that the engine holds under that very name. The digest it returns
// is the one the engine reports, and empty for a push by digest, of which it reports none.
func (e *engine) Push(ctx context.Context, ref string, progress docker.Listener) (pushed digest.Digest, err error) {
	err = e.followed(ctx, progress, func(ctx context.Context, w *docker.Watch) error {
		body, err := e.startPush(ctx, ref)
		if err != nil {
			return err
		}
		defer body.Close() //nolint:errcheck // nothing is written
		var report docker.PushReport
		err = docker.Drain(body, func(m docker.Message) error {
			w.See(m)
			return report.See(m)
		})
		if err == nil {
			pushed, err = report.Outcome(strings.Contains(ref, "@"))
		}
		return docker.ClassifyPush(err)
	})
	return pushed, err
}

// startPush asks for the push. The docker client refuses to push a digest, which the engine's API takes: the
// containerd store pushes the manifest without a tag.
func (e *engine) startPush(ctx context.Context, ref string) (io.ReadCloser, error) {
	auth, err := e.encodedAuth(ctx, ref)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(ref, "@") {
		return e.client.ImagePush(ctx, ref, dockerimage.PushOptions{RegistryAuth: auth})
	}
	return docker.PushDigest(ctx, e.client, e.at, ref, auth)
}

// loadLimit is how long a load may take. It is a matter of milliseconds, or never ends.
const loadLimit = 20 * time.Second

// Load hands an OCI image layout, as a tar archive, to the engine.
func (e *engine) Load(ctx context.Context, archive []byte) error {
	if e.loading == 0 {
		return e.load(ctx, archive)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, e.loading, docker.ErrStalled)
	defer cancel()
	err := e.load(ctx, archive)
	if err != nil && errors.Is(context.Cause(ctx), docker.ErrStalled) {
		return docker.Failure(fmt.Sprintf("no end of a load within %s", e.loading), docker.ErrStalled)
	}
	return err
}

func (e *engine) load(ctx context.Context, archive []byte) error {
	return e.watched(ctx, func(ctx context.Context, w *docker.Watch) error {
		response, err := e.client.ImageLoad(ctx, bytes.NewReader(archive), client.ImageLoadWithQuiet(true))
		if err != nil {
			return err
		}
		defer response.Body.Close() //nolint:errcheck // nothing is written
		return docker.Drain(response.Body, func(m docker.Message) error { w.See(m); return nil })
	})
}

// inspect asks the engine about a local image.
func (e *engine) inspect(ctx context.Context, ref string, options ...client.ImageInspectOption) (inspected dockerimage.InspectResponse, err error) {
	err = e.watched(ctx, func(ctx context.Context, _ *docker.Watch) (err error) {
		inspected, err = e.client.ImageInspect(ctx, ref, options...)
		return err
	})
	return inspected, err
}

// Missing returns the manifests below the reference that the engine does not hold whole. It answers for engines with
// the containerd store, from API 1.48 on.
func (e *engine) Missing(ctx context.Context, ref string) ([]digest.Digest, error) {
	inspected, err := e.inspect(ctx, ref, client.ImageInspectWithManifests(true))
	if err != nil {
		return nil, err
	}
	var missing []digest.Digest
	for _, manifest := range inspected.Manifests {
		if !manifest.Available {
			missing = append(missing, manifest.Descriptor.Digest)
		}
	}
	return missing, nil
}

// Platform returns what the config of a local image says of its platform.
func (e *engine) Platform(ctx context.Context, ref string) (ocispec.Platform, error) {
	inspected, err := e.inspect(ctx, ref)
	return ocispec.Platform{
		OS: inspected.Os, OSVersion: inspected.OsVersion, Architecture: inspected.Architecture, Variant: inspected.Variant,
	}, err
}

// ImageID returns the digest of the config of a local single image.
func (e *engine) ImageID(ctx context.Context, ref string) (id digest.Digest, err error) {
	err = e.watched(ctx, func(ctx context.Context, _ *docker.Watch) (err error) {
		id, err = docker.ImageID(ctx, e.client, ref, e.store == image.ContainerdStore)
		return err
	})
	return id, err
}

// Tag gives the image a second reference.
func (e *engine) Tag(ctx context.Context, source, target string) error {
	return e.watched(ctx, func(ctx context.Context, _ *docker.Watch) error { return e.client.ImageTag(ctx, source, target) })
}

// Remove takes the reference away, and the content with its last one. An unknown reference is no error.
func (e *engine) Remove(ctx context.Context, ref string) error {
	return e.watched(ctx, func(ctx context.Context, _ *docker.Watch) error {
		_, err := e.client.ImageRemove(ctx, ref, dockerimage.RemoveOptions{})
		if cerrdefs.IsNotFound(err) {
			return nil
		}
		return err
	})
}

// Resolve has the engine ask the registry what the reference stands for.
func (e *engine) Resolve(ctx context.Context, ref string) (resolved image.Resolved, err error) {
	auth, err := e.encodedAuth(ctx, ref)
	if err != nil {
		return image.Resolved{}, err
	}
	err = e.watched(ctx, func(ctx context.Context, _ *docker.Watch) error {
		inspected, err := e.client.DistributionInspect(ctx, ref, auth)
		resolved = image.Resolved{Digest: inspected.Descriptor.Digest, Platforms: inspected.Platforms}
		return err
	})
	return resolved, err
}

// engineAuth hands the engine ECR's token, the current one each time.
func (a *amazon) engineAuth(ctx context.Context) (registry.AuthConfig, error) {
	auth, err := a.Credentials(ctx)
	return registry.AuthConfig{Username: auth.Username, Password: string(auth.Password), ServerAddress: auth.ServerAddress}, err
}

func (c Config) targetAuth(context.Context) (registry.AuthConfig, error) {
	return registry.AuthConfig{Username: c.RegistryUser, Password: string(c.RegistryPassword), ServerAddress: c.Registry}, nil
}

// learnedHeader is the header that an engine is handed the credentials in. The redactor learns it, and the password.
func learnedHeader(hide *redact.Redactor, config registry.AuthConfig) (string, error) {
	header, err := registry.EncodeAuthConfig(config)
	if err == nil && !hide.Knows(header) {
		hide.Learn(config.Username+":"+config.Password, header, config.Password)
	}
	return header, err
}

// encodedAuth is the header with the credentials for the registry that the reference names. Neither side's go to a host
// that is not its own, and an engine uses them only for the host that they name.
func (e *engine) encodedAuth(ctx context.Context, ref string) (string, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", fmt.Errorf("reference %q: %w", ref, err)
	}
	host := reference.Domain(named)
	var auth registryAuth
	switch {
	case host == e.targetHost:
		auth = e.target
	case e.isSource(host):
		auth = e.source
	default:
		return "", fmt.Errorf("reference %q: ECR has not named %s as one of its hosts, so it gets no credentials", ref, host)
	}
	config, err := auth(ctx)
	if err != nil {
		return "", err
	}
	config.ServerAddress = host
	return learnedHeader(e.hide, config)
}
