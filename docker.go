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

// registryAuth returns the credentials for one registry. Its errors are about obtaining them.
type registryAuth func(ctx context.Context) (registry.AuthConfig, error)

// engine calls the API of one Docker Engine. It never retries.
type engine struct {
	client  *client.Client
	at      docker.Endpoint
	version string
	store   image.Store
	cpus    int  // of the engine's host
	images  int  // that the engine held before the run
	proxied bool // the engine has a proxy for HTTPS
	source  registryAuth
	target  registryAuth
	// targetHost is the only host that gets target's credentials. isSource reports whether a host gets source's: ECR
	// may use several hosts.
	targetHost string
	isSource   func(host string) bool
	region     string           // of source
	hide       *redact.Redactor // learns all credentials before the engine gets them
	// stall is how long a call may go without progress; 0 means no limit.
	stall  time.Duration
	filled docker.Filled
	// loading is how long a load may take; 0 means no limit.
	loading time.Duration
}

// newEngine returns the engine behind a connection.
func newEngine(c *docker.Connection, hide *redact.Redactor) *engine {
	store := image.ContainerdStore
	if c.IsClassic() {
		store = image.ClassicStore
	}
	return &engine{
		filled: docker.Filled{Locks: store == image.ContainerdStore},
		hide:   hide, client: c.Client, at: c.At, version: c.Info.ServerVersion, store: store, cpus: c.Info.NCPU, images: c.Info.Images,
		proxied: c.Info.HTTPSProxy != "",
	}
}

// manifestsAPI is the first API version that reports whether the containerd store holds an image completely.
const manifestsAPI = "1.48"

// usable rejects an engine that could push a part of an image without reporting it.
func (e *engine) usable() error {
	api := e.client.ClientVersion()
	if e.store == image.ContainerdStore && versions.LessThan(api, manifestsAPI) {
		return fmt.Errorf("the engine, Docker %s at %s, speaks API %s; with the containerd image store %s is needed, which Docker 28 and "+
			"later have: use a current dind, such as docker:29-dind", e.version, e.at.Host, api, manifestsAPI)
	}
	return nil
}

// concurrency returns the default number of images to pull at a time, and to push: enough to hide the network's latency,
// and no more than a dind with the shipped settings can handle.
func (e *engine) concurrency() int { return min(max(8, 8*e.cpus), 16) }

// Login has the engine log in to the registry of the credentials.
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

// watched makes a call, which fails with docker.ErrStalled if it makes no progress for too long.
func (e *engine) watched(ctx context.Context, call func(context.Context, *docker.Watch) error) error {
	return e.followed(ctx, nil, call)
}

// followed is watched, with a listener for what the call transfers.
func (e *engine) followed(ctx context.Context, progress docker.Listener, call func(context.Context, *docker.Watch) error) error {
	return docker.Watched(ctx, e.stall, progress, call)
}

// finishedPull is the prefix of the status message without which a pull has not succeeded.
const finishedPull = "Digest: "

// Pull fetches what a digest reference names into the engine.
func (e *engine) Pull(ctx context.Context, ref string, progress docker.Listener) error {
	err := e.pull(ctx, ref, "", progress, func(docker.Message) error { return nil })
	if errors.Is(err, docker.ErrBlob) {
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

// pull passes each message of a pull to see, whose error ends the pull.
func (e *engine) pull(ctx context.Context, ref, platform string, progress docker.Listener, see func(docker.Message) error) error {
	auth, err := e.encodedAuth(ctx, ref)
	if err != nil {
		return err
	}
	err = docker.WatchedPull(ctx, e.stall, &e.filled, progress, func(ctx context.Context, w *docker.Watch) error {
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
	return docker.InRegion(err, e.region)
}

// errCutOff ends a pull that has brought what it was for.
var errCutOff = errors.New("the layers are there")

// PullContent pulls until the engine has the layers of the cut, and cancels the pull while they are being unpacked. The engine
// keeps the content of a canceled pull for some hours, or until Sweep (moby/moby, daemon/containerd/leases.go).
func (e *engine) PullContent(ctx context.Context, ref string, cut docker.Cut, progress docker.Listener) error {
	ctx, cutOff := context.WithCancel(ctx)
	defer cutOff()
	arrivals := docker.NewArrivals(cut, image.Short)
	err := e.pull(ctx, ref, "", progress, func(m docker.Message) error {
		if arrivals.See(m) {
			return errCutOff
		}
		return nil
	})
	if errors.Is(err, errCutOff) || len(cut.Unpack) > 0 && arrivals.Complete() {
		return nil
	}
	return err
}

// nobodysLabel is a label that no image has.
const nobodysLabel = "invalid.ecr2gitlab.nobodys"

// Sweep has the engine delete the content of canceled pulls, which it does whenever images are pruned. No image is
// pruned, because none has the label.
func (e *engine) Sweep(ctx context.Context) error {
	return e.watched(ctx, func(ctx context.Context, _ *docker.Watch) error {
		_, err := e.client.ImagesPrune(ctx, filters.NewArgs(filters.Arg("label", nobodysLabel)))
		return err
	})
}

// Push pushes a local tag, or a local digest reference. It returns the digest that the engine reports, which is empty for
// a push by digest.
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

// startPush starts the push and returns its messages. The docker client rejects digest references, although the engine's
// API accepts them: the containerd store then pushes the manifest without a tag.
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

// loadLimit is how long a load may take. A load takes milliseconds, or never ends.
const loadLimit = 20 * time.Second

// Load loads an OCI image layout, as a tar archive, into the engine.
func (e *engine) Load(ctx context.Context, archive []byte) error {
	if e.loading == 0 {
		return e.load(ctx, archive)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, e.loading, docker.ErrStalled)
	defer cancel()
	err := e.load(ctx, archive)
	if err != nil && errors.Is(context.Cause(ctx), docker.ErrStalled) {
		return docker.Failure(fmt.Sprintf("the load did not finish within %s", e.loading), docker.ErrStalled)
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

// Missing returns the manifests below the reference of which the engine lacks content. It requires the containerd store
// and API 1.48.
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

// Platform returns the platform in the config of a local image.
func (e *engine) Platform(ctx context.Context, ref string) (ocispec.Platform, error) {
	inspected, err := e.inspect(ctx, ref)
	return ocispec.Platform{
		OS: inspected.Os, OSVersion: inspected.OsVersion, Architecture: inspected.Architecture, Variant: inspected.Variant,
	}, err
}

// ImageID returns the config digest of a local single-platform image.
func (e *engine) ImageID(ctx context.Context, ref string) (id digest.Digest, err error) {
	err = e.watched(ctx, func(ctx context.Context, _ *docker.Watch) (err error) {
		id, err = docker.ImageID(ctx, e.client, ref, e.store == image.ContainerdStore)
		return err
	})
	return id, err
}

// Tag adds a reference to a local image.
func (e *engine) Tag(ctx context.Context, source, target string) error {
	return e.watched(ctx, func(ctx context.Context, _ *docker.Watch) error { return e.client.ImageTag(ctx, source, target) })
}

// Remove removes the reference, and with the last one the content. An unknown reference is not an error.
func (e *engine) Remove(ctx context.Context, ref string) error {
	return e.watched(ctx, func(ctx context.Context, _ *docker.Watch) error {
		_, err := e.client.ImageRemove(ctx, ref, dockerimage.RemoveOptions{})
		if cerrdefs.IsNotFound(err) {
			return nil
		}
		return err
	})
}

// Local lists the local images, including those without a name.
func (e *engine) Local(ctx context.Context) (images []image.Local, err error) {
	err = e.watched(ctx, func(ctx context.Context, _ *docker.Watch) error {
		listed, err := e.client.ImageList(ctx, dockerimage.ListOptions{All: true})
		for _, i := range listed {
			images = append(images, e.local(i.ID, i.RepoTags, i.RepoDigests))
		}
		return err
	})
	return images, err
}

// Find returns the local image that a reference or an image ID stands for.
func (e *engine) Find(ctx context.Context, ref string) (image.Local, error) {
	found, err := e.inspect(ctx, ref)
	return e.local(found.ID, found.RepoTags, found.RepoDigests), err
}

func (e *engine) local(id string, tags, digests []string) image.Local {
	return image.Local{ID: digest.Digest(id), Names: docker.References(tags, digests, e.store == image.ClassicStore)}
}

// Resolve has the engine ask the registry for the digest and platforms of the reference.
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

// engineAuth returns ECR's current token.
func (a *amazon) engineAuth(ctx context.Context) (registry.AuthConfig, error) {
	auth, err := a.Credentials(ctx)
	return registry.AuthConfig{Username: auth.Username, Password: string(auth.Password), ServerAddress: auth.ServerAddress}, err
}

func (c Config) targetAuth(context.Context) (registry.AuthConfig, error) {
	return registry.AuthConfig{Username: c.RegistryUser, Password: string(c.RegistryPassword), ServerAddress: c.Registry}, nil
}

// learnedHeader returns the header that carries the credentials to the engine. The redactor learns it and the password.
func learnedHeader(hide *redact.Redactor, config registry.AuthConfig) (string, error) {
	header, err := registry.EncodeAuthConfig(config)
	if err == nil && !hide.Knows(header) {
		hide.Learn(config.Username+":"+config.Password, header, config.Password)
	}
	return header, err
}

// encodedAuth returns the header with the credentials for the reference's registry. No other host gets them: an engine
// uses them only for the host in ServerAddress.
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
		return "", fmt.Errorf("reference %q: %s is not a host that ECR has named, so it gets no credentials", ref, host)
	}
	config, err := auth(ctx)
	if err != nil {
		return "", err
	}
	config.ServerAddress = host
	return learnedHeader(e.hide, config)
}
