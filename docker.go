package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/report"
)

// registryAuth says how the engine logs in to a registry. An error is one of getting the credentials.
type registryAuth func(ctx context.Context) (registry.AuthConfig, error)

// engine drives one Docker Engine through its API. It never retries.
type engine struct {
	client  *client.Client
	at      endpoint
	version string
	store   migrate.Store
	cpus    int // that the engine has
	images  int // that it had when we came
	source  registryAuth
	target  registryAuth
	// targetHost is where target's credentials go, and nowhere else: ECR has a host for each way to reach it.
	targetHost string
	// stall is how long a call may be without progress; 0: for ever.
	stall time.Duration
}

// endpoint is an address of an engine and the certificates to reach it with; CertPath is empty without TLS. With it
// the engine's certificate is always verified.
type endpoint struct {
	Host     string
	CertPath string
}

const (
	defaultSocket = "/var/run/docker.sock"
	plainDind     = "tcp://docker:2375"
	tlsDind       = "tcp://docker:2376"
)

// findEndpoint does what the docker CLI does with its variables, and with none of them what the official docker
// image's entrypoint does: the socket, else the service named docker, with TLS where dind has left certificates.
func findEndpoint(cfg Config, socket string) endpoint {
	certs := filepath.Join(cfg.DockerTLSCertDir, "client")
	haveCerts := cfg.DockerTLSCertDir != "" && filesExist(certs, "ca.pem", "cert.pem", "key.pem")
	verify := cfg.DockerTLSVerify != ""

	host := cfg.DockerHost
	switch {
	case host != "":
	case filesExist("/", socket):
		host = "unix://" + socket
	case haveCerts || verify:
		host = tlsDind
	default:
		host = plainDind
	}

	e := endpoint{Host: host, CertPath: cfg.DockerCertPath}
	switch {
	case e.CertPath != "" || !strings.HasPrefix(host, "tcp:"):
	case haveCerts:
		e.CertPath = certs
	case verify: // never plain: what goes over this connection are credentials
		e.CertPath = filepath.Join(os.Getenv("HOME"), ".docker")
	}
	return e
}

func filesExist(dir string, names ...string) bool {
	for _, name := range names {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.IsDir() {
			return false
		}
	}
	return true
}

// dial makes a client for the endpoint. The API version is negotiated with the first request.
func dial(at endpoint) (*client.Client, error) {
	options := []client.Opt{client.WithAPIVersionNegotiation()}
	if at.usesTLS() {
		options = append(options, client.WithTLSClientConfig(at.pem("ca"), at.pem("cert"), at.pem("key")))
	}
	return client.NewClientWithOpts(append(options, client.WithHost(at.Host))...)
}

func (at endpoint) usesTLS() bool { return strings.HasPrefix(at.Host, "tcp:") && at.CertPath != "" }

func (at endpoint) pem(name string) string { return filepath.Join(at.CertPath, name+".pem") }

// url is where the engine's API is, for a request that the docker client does not make. Over a socket any host does.
func (at endpoint) url(path string) string {
	target := url.URL{Scheme: "http", Host: client.DummyHost, Path: path}
	if host, err := client.ParseHostURL(at.Host); err == nil && host.Scheme != "unix" {
		target.Host, target.Path = host.Host, host.Path+path
	}
	if at.usesTLS() {
		target.Scheme = "https"
	}
	return target.String()
}

// enginePatience is how long the engine may take to come up. The runner itself waits 30 s for a service.
const enginePatience = time.Minute

// waitForEngine asks for the engine until it answers or patience has passed, and says so once through waiting.
// Each try looks for the endpoint anew: dind writes its certificates while we wait.
func waitForEngine(ctx context.Context, cfg Config, patience time.Duration, waiting func(host string)) (*engine, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var cause error
	for {
		at := findEndpoint(cfg, defaultSocket)
		e, err := connect(ctx, at)
		if err == nil {
			return e, nil
		}
		if cause == nil {
			waiting(at.Host)
		}
		if cause == nil || ctx.Err() == nil { // a try that the end cuts short says nothing about the engine
			cause = err
		}
		select {
		case <-ctx.Done():
			return nil, unreachable(at, patience, cause)
		case <-time.After(time.Second):
		}
	}
}

func connect(ctx context.Context, at endpoint) (*engine, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := dial(at)
	if err != nil {
		return nil, err
	}
	info, err := c.Info(ctx)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &engine{client: c, at: at, version: info.ServerVersion, store: storeOf(info), cpus: info.NCPU, images: info.Images}, nil
}

// manifestsAPI is the first version of the API that tells whether the containerd store holds all of an image.
const manifestsAPI = "1.48"

// usable refuses an engine that could push less than it was asked for without our knowing.
func (e *engine) usable() error {
	api := e.client.ClientVersion()
	if e.store == migrate.ContainerdStore && versions.LessThan(api, manifestsAPI) {
		return fmt.Errorf("the engine, Docker %s at %s, speaks API %s; with the containerd image store %s is needed, which Docker 28 and "+
			"later have: use a current dind, such as docker:29-dind", e.version, e.at.Host, api, manifestsAPI)
	}
	return nil
}

// concurrency is how many images the engine pulls at a time, and pushes, unless the user says otherwise: enough to
// wait for a network, which most of a copy is, and not more than dind's shipped settings carry.
func (e *engine) concurrency() int { return min(max(4, 3*e.cpus), 16) }

// storeOf tells the image store by what the containerd store lists of itself.
func storeOf(info system.Info) migrate.Store {
	for _, status := range info.DriverStatus {
		if status == [2]string{"driver-type", "io.containerd.snapshotter.v1"} {
			return migrate.ContainerdStore
		}
	}
	return migrate.ClassicStore
}

func unreachable(at endpoint, patience time.Duration, cause error) error {
	return fmt.Errorf(`no Docker Engine answers at %s (tried for %s): %w
The usual causes:
  - the job has no docker:dind service, or it is not named "docker": add services: [docker:29-dind], or set DOCKER_HOST
  - TLS on one side only: DOCKER_TLS_CERTDIR must be the same for the job and its service ("/certs", or "" for none on both)
  - the runner does not run services privileged: dind needs privileged = true in the runner's configuration`,
		at.Host, patience, cause)
}

// prepareEngine waits for the engine and has it log in on both sides.
func prepareEngine(ctx context.Context, cfg Config, hide *redact.Redactor, source *amazon, log *report.Log) (*engine, error) {
	engine, err := waitForEngine(ctx, cfg, enginePatience, func(host string) {
		log.Line("Engine: waiting for it at %s, for up to %s", host, enginePatience)
	})
	if err != nil {
		return nil, err
	}
	log.Line("Engine: Docker %s at %s, with the %s image store", engine.version, engine.at.Host, engine.store)
	if err := engine.usable(); err != nil {
		return nil, err
	}
	if engine.images > 0 {
		log.Line("        it holds images of its own, which are left alone; a fresh engine, as a job's dind is, would be faster")
	}
	engine.source = registryAuth(source.engineAuth).learned(hide)
	engine.target, engine.targetHost = registryAuth(cfg.targetAuth).learned(hide), cfg.Registry
	engine.stall = cfg.stallAfter()
	return engine, login(ctx, cfg, source, engine, log)
}

// login has the engine log in on both sides at once.
func login(ctx context.Context, cfg Config, source *amazon, engine *engine, log *report.Log) error {
	credentials, err := source.Credentials(ctx)
	if err != nil {
		return err
	}
	refusals := make(chan error, 1)
	try := func(auth registryAuth) error {
		return migrate.Retry(ctx, func() error { return engine.Login(ctx, auth) })
	}
	go func() { refusals <- try(engine.target) }()
	ofECR, ofGitLab := try(engine.source), <-refusals
	if ofECR != nil {
		return fmt.Errorf("the ECR registry %s refuses the login of AWS's own token: %w\n"+
			"AWS_ACCOUNT_ID and the region must be those of the registry, and the engine needs a way to it",
			credentials.ServerAddress, ofECR)
	}
	log.Line("ECR: logged in to %s", credentials.ServerAddress)
	if ofGitLab != nil {
		return fmt.Errorf("the GitLab registry %s refuses the login of %s: %w\n"+
			"In a job, CI_REGISTRY_USER and CI_REGISTRY_PASSWORD come from GitLab and die with the job; elsewhere use a deploy "+
			"token or an access token with read_registry and write_registry", cfg.Registry, cfg.RegistryUser, ofGitLab)
	}
	log.Line("GitLab: logged in to %s as %s", cfg.Registry, cfg.RegistryUser)
	return nil
}

// Login has the engine check the credentials against their registry.
func (e *engine) Login(ctx context.Context, auth registryAuth) error {
	config, err := auth(ctx)
	if err != nil {
		return err
	}
	return e.watched(ctx, func(ctx context.Context, _ *watch) error {
		_, err := e.client.RegistryLogin(ctx, config)
		return err
	})
}

// watch looks at what a call says of its progress.
type watch struct {
	last   map[string]string      // by what a message is about: what it said last
	moving func()                 // hears that there is progress
	tell   func(migrate.Transfer) // hears which; nil: nobody does
}

// watched makes a call, and ends it with migrate.ErrStalled when it has made no progress for too long.
func (e *engine) watched(ctx context.Context, call func(context.Context, *watch) error) error {
	w := &watch{last: map[string]string{}, moving: func() {}, tell: migrate.Transfers(ctx)}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if e.stall > 0 {
		timer := time.AfterFunc(e.stall, func() { cancel(migrate.ErrStalled) })
		defer timer.Stop()
		w.moving = func() { timer.Reset(e.stall) }
	}
	err := call(ctx, w)
	if err != nil && errors.Is(context.Cause(ctx), migrate.ErrStalled) {
		return docker.Failure(fmt.Sprintf("no progress for %s, by MIGRATE_STALL", e.stall), migrate.ErrStalled)
	}
	return docker.Classify(err)
}

// see takes a message for progress if it says something new: engines repeat themselves ten times a second.
func (w *watch) see(m streamMessage) {
	news := fmt.Sprint(m.Status, m.Progress.Current)
	if w.last[m.ID] == news {
		return
	}
	w.last[m.ID] = news
	w.moving()
	if transfer, ok := m.transfer(); ok && w.tell != nil {
		w.tell(transfer)
	}
}

// transfers is what an engine says of a blob that it transfers, whatever its store: the step, and whether it is over.
// Whatever else it says is about blobs that wait, or that have been there before.
var transfers = map[string]migrate.Transfer{
	"Downloading":          {Step: migrate.StepPull},
	"Download complete":    {Step: migrate.StepPull, Over: true},
	"Extracting":           {Step: migrate.StepExtract},
	"Pull complete":        {Step: migrate.StepExtract, Over: true},
	"Pushing":              {Step: migrate.StepPush},
	"Pushed":               {Step: migrate.StepPush, Over: true},
	"Layer already exists": {Step: migrate.StepPush, Over: true},
	"Mounted":              {Step: migrate.StepPush, Over: true},
}

// transfer is what the message says of a transfer, if it is about one.
func (m streamMessage) transfer() (migrate.Transfer, bool) {
	status, _, _ := strings.Cut(m.Status, " from ") // another repository
	transfer, known := transfers[status]
	transfer.Blob = m.ID
	if m.Progress.Units == "" { // bytes; the containerd store counts the seconds that it unpacks
		transfer.Current, transfer.Total = m.Progress.Current, m.Progress.Total
	}
	return transfer, known
}

// finishedPull begins the status without which a pull has not succeeded.
const finishedPull = "Digest: "

// Pull fetches what the reference names, a digest, into the engine.
func (e *engine) Pull(ctx context.Context, ref string) error {
	err := e.pull(ctx, ref, func(streamMessage) error { return nil })
	if docker.IsBlob(err) {
		return nil
	}
	return err
}

// pull has see look at each message of a pull, and end it with an error.
func (e *engine) pull(ctx context.Context, ref string, see func(streamMessage) error) error {
	auth, err := e.encodedAuth(ctx, ref)
	if err != nil {
		return err
	}
	return e.watched(ctx, func(ctx context.Context, w *watch) error {
		body, err := e.client.ImagePull(ctx, ref, image.PullOptions{RegistryAuth: auth})
		if err != nil {
			return err
		}
		defer body.Close() //nolint:errcheck // nothing is written
		finished := false
		err = drain(body, func(m streamMessage) error {
			w.see(m)
			finished = finished || strings.HasPrefix(m.Status, finishedPull)
			return see(m)
		})
		if err == nil && !finished {
			err = errTruncated
		}
		return err
	})
}

// errCutOff ends the reading of a pull whose layers are all there.
var errCutOff = errors.New("the layers are there")

// PullContent pulls until the engine has the layers, and cuts the pull off while they are being unpacked. The engine
// keeps what a pull has brought that was cut off, for some hours or until Sweep (moby/moby, daemon/containerd/leases.go).
func (e *engine) PullContent(ctx context.Context, ref string, layers []digest.Digest) error {
	ctx, cutOff := context.WithCancel(ctx)
	defer cutOff()
	waiting := map[string]bool{}
	for _, layer := range layers {
		waiting[shortID(layer)] = true
	}
	err := e.pull(ctx, ref, func(m streamMessage) error {
		if arrivedStatuses[m.Status] {
			delete(waiting, m.ID)
		}
		if len(waiting) == 0 {
			return errCutOff
		}
		return nil
	})
	if errors.Is(err, errCutOff) {
		return nil
	}
	return err
}

// arrivedStatuses are what an engine says of a layer once it has all of it.
var arrivedStatuses = map[string]bool{"Already exists": true, "Download complete": true, "Extracting": true, "Pull complete": true}

// shortID is how an engine names a layer in its messages.
func shortID(d digest.Digest) string {
	_, encoded, _ := strings.Cut(d.String(), ":")
	return encoded[:min(12, len(encoded))]
}

// nobodysLabel is a label that no image has.
const nobodysLabel = "invalid.ecr2gitlab.nobodys"

// Sweep has the engine drop what it keeps of pulls that were cut off, which it does when images are pruned. No image
// is: none has the label.
func (e *engine) Sweep(ctx context.Context) error {
	return e.watched(ctx, func(ctx context.Context, _ *watch) error {
		_, err := e.client.ImagesPrune(ctx, filters.NewArgs(filters.Arg("label", nobodysLabel)))
		return err
	})
}

// Push pushes the reference: a tag, or a digest that the engine holds under that very name. The digest it returns
// is the one the engine reports, and empty for a push by digest, of which it reports none.
func (e *engine) Push(ctx context.Context, ref string) (pushed digest.Digest, err error) {
	err = e.watched(ctx, func(ctx context.Context, w *watch) error {
		body, err := e.startPush(ctx, ref)
		if err != nil {
			return err
		}
		defer body.Close() //nolint:errcheck // nothing is written
		var report pushReport
		err = drain(body, func(m streamMessage) error {
			w.see(m)
			return report.see(m)
		})
		if err == nil {
			pushed, err = report.outcome(strings.Contains(ref, "@"))
		}
		return err
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
		return e.client.ImagePush(ctx, ref, image.PushOptions{RegistryAuth: auth})
	}
	path := "/v" + e.client.ClientVersion() + "/images/" + ref + "/push"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.at.url(path), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set(registry.AuthHeader, auth)
	response, err := e.client.HTTPClient().Do(request)
	if err != nil {
		return nil, docker.Lost(err, docker.ErrEngineGone)
	}
	return response.Body, refusedAnswer(response)
}

// refusedAnswer turns an error status into what the engine says with it.
func refusedAnswer(response *http.Response) error {
	if response.StatusCode < http.StatusBadRequest {
		return nil
	}
	defer response.Body.Close() //nolint:errcheck // nothing is written
	var answer struct{ Message string }
	if err := json.NewDecoder(io.LimitReader(response.Body, maxMessage)).Decode(&answer); err != nil || answer.Message == "" {
		return errors.New("the engine answers " + response.Status)
	}
	return errors.New("the engine answers " + response.Status + ": " + answer.Message)
}

// Load hands an OCI image layout, as a tar archive, to the engine.
func (e *engine) Load(ctx context.Context, archive []byte) error {
	return e.watched(ctx, func(ctx context.Context, w *watch) error {
		response, err := e.client.ImageLoad(ctx, bytes.NewReader(archive), client.ImageLoadWithQuiet(true))
		if err != nil {
			return err
		}
		defer response.Body.Close() //nolint:errcheck // nothing is written
		return drain(response.Body, func(m streamMessage) error { w.see(m); return nil })
	})
}

// inspect asks the engine about a local image.
func (e *engine) inspect(ctx context.Context, ref string, options ...client.ImageInspectOption) (inspected image.InspectResponse, err error) {
	err = e.watched(ctx, func(ctx context.Context, _ *watch) (err error) {
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

// Tag gives the image a second reference.
func (e *engine) Tag(ctx context.Context, source, target string) error {
	return e.watched(ctx, func(ctx context.Context, _ *watch) error { return e.client.ImageTag(ctx, source, target) })
}

// Remove takes the reference away, and the content with its last one. An unknown reference is no error.
func (e *engine) Remove(ctx context.Context, ref string) error {
	return e.watched(ctx, func(ctx context.Context, _ *watch) error {
		_, err := e.client.ImageRemove(ctx, ref, image.RemoveOptions{})
		if cerrdefs.IsNotFound(err) {
			return nil
		}
		return err
	})
}

// Resolve has the engine ask the registry what the reference stands for.
func (e *engine) Resolve(ctx context.Context, ref string) (resolved migrate.Resolved, err error) {
	auth, err := e.encodedAuth(ctx, ref)
	if err != nil {
		return migrate.Resolved{}, err
	}
	err = e.watched(ctx, func(ctx context.Context, _ *watch) error {
		inspected, err := e.client.DistributionInspect(ctx, ref, auth)
		resolved = migrate.Resolved{Digest: inspected.Descriptor.Digest, Platforms: inspected.Platforms}
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

// learned has the redactor know what an engine is handed: the password, and the header that it comes in.
func (auth registryAuth) learned(hide *redact.Redactor) registryAuth {
	return func(ctx context.Context) (registry.AuthConfig, error) {
		config, err := auth(ctx)
		if err == nil && !hide.Knows(config.Password) {
			header, _ := registry.EncodeAuthConfig(config)
			hide.Learn(config.Username+":"+config.Password, header, config.Password)
		}
		return config, err
	}
}

// encodedAuth is the header with the credentials for the registry that the reference names.
func (e *engine) encodedAuth(ctx context.Context, ref string) (string, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", fmt.Errorf("reference %q: %w", ref, err)
	}
	auth := e.source
	if reference.Domain(named) == e.targetHost {
		auth = e.target
	}
	config, err := auth(ctx)
	if err != nil {
		return "", err
	}
	return registry.EncodeAuthConfig(config)
}

// streamMessage is one of the messages that an engine streams while it pulls, pushes or loads.
type streamMessage struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	Progress struct {
		Current, Total int64
		Units          string
	} `json:"progressDetail"`
	Error       string                    `json:"error"`
	ErrorDetail *struct{ Message string } `json:"errorDetail"`
	Aux         json.RawMessage           `json:"aux"`
}

// failure is what went wrong, which an engine says in either field or in both: empty if nothing did.
func (m streamMessage) failure() string {
	if m.ErrorDetail == nil {
		return m.Error
	}
	return cmp.Or(m.ErrorDetail.Message, m.Error, "the engine failed, and does not say why")
}

// errTruncated: a stream that ends early looks like success to whoever does not wait for its last line.
var errTruncated = docker.Failure("the engine's answer ended before it said that it was done", docker.ErrBrokenOff)

// maxMessage bounds one message of an engine, in bytes. Real ones have a line, or a few descriptors.
const maxMessage = 1 << 20

var errMessageTooLong = fmt.Errorf("the engine's answer holds a message of more than %d bytes", maxMessage)

// drain reads the stream to its end, and fails with the first error that is in it or that see returns.
func drain(stream io.Reader, see func(streamMessage) error) error {
	limited := &io.LimitedReader{R: stream}
	decoder := json.NewDecoder(limited)
	for read := 0; ; read++ {
		limited.N = maxMessage
		var m streamMessage // a new one each: a field that is absent must not keep its last value
		err := decoder.Decode(&m)
		switch {
		case err != nil && limited.N == 0:
			return errMessageTooLong
		case err == io.EOF && read > 0:
			return nil
		case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
			return errTruncated
		case err != nil:
			return docker.Lost(err, docker.ErrBrokenOff)
		case m.failure() != "":
			return docker.Classify(errors.New(m.failure()))
		}
		if err := see(m); err != nil {
			return err
		}
	}
}

// pushReport collects what a push says of itself.
type pushReport struct{ digest digest.Digest }

// pushedLine is the last line of a push, on both stores: "1.2: digest: sha256:… size: 1234".
var pushedLine = regexp.MustCompile(`^\S+: digest: (\S+) size: [0-9]+$`)

// What an engine misses it misses again: such a push is not made once more as it is.
var (
	errMissing = docker.Failure("the engine misses content of the image", docker.ErrInvalid)
	errInstead = docker.Failure("the engine misses content of the image, and pushed one manifest instead of the index", docker.ErrInvalid)
)

// see fails as soon as the engine pushes less than the reference names: whoever stops reading stops the push. Where
// the store misses a blob of an index it calls layers unavailable, and goes on with the manifest of one platform, or
// never ends.
func (r *pushReport) see(m streamMessage) error {
	if match := pushedLine.FindStringSubmatch(m.Status); match != nil {
		r.digest = digest.Digest(match[1])
	}
	var aux struct {
		ManifestPushedInsteadOfIndex bool `json:"manifestPushedInsteadOfIndex"`
		ContentMissing               bool `json:"contentMissing"`
	}
	_ = json.Unmarshal(m.Aux, &aux) // the classic store's has other fields, and most messages have none
	switch {
	case aux.ManifestPushedInsteadOfIndex:
		return errInstead
	case aux.ContentMissing || m.Status == "Unavailable":
		return errMissing
	}
	return nil
}

// outcome returns the digest that was pushed. A push by digest ends without a line that says so.
func (r *pushReport) outcome(byDigest bool) (digest.Digest, error) {
	if r.digest == "" && !byDigest {
		return "", errTruncated
	}
	return r.digest, nil
}
