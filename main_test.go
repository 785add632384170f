package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/api/types/system"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/interrupt"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/usage"
)

// secrets are in the environment of every run, except ECR's, which its token contains.
var secrets = map[string]string{
	"AWS_SECRET_ACCESS_KEY":  "secret-of-the-key",
	"AWS_SESSION_TOKEN":      "secret-of-the-session",
	"AWS_WEB_IDENTITY_TOKEN": "secret-of-the-job",
	"CI_REGISTRY_PASSWORD":   "secret-of-gitlab",
	"the ECR token":          "secret-of-ecr",
}

// world is an AWS and an engine for one run of the program.
type world struct {
	amazon *standIn
	daemon *daemon
	env    map[string]string
}

// newWorld has one image, with the tag 1.2, and a target that has it once it is pushed. The changes apply to the
// responses.
func newWorld(t *testing.T, changes map[string]http.HandlerFunc) *world {
	t.Helper()
	w := &world{}
	w.daemon = &daemon{version: "1.51", answers: engineAnswers(func() bool { return len(w.daemon.asked(pushPath)) > 0 })}
	maps.Copy(w.daemon.answers, changes)
	docker := closingServer(t, w.daemon)

	answers := amazonAnswers()
	maps.Copy(answers, changes)
	w.amazon = &standIn{answers: answers}
	w.env = map[string]string{
		"AWS_ENDPOINT_URL": closingServer(t, w.amazon).URL, "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/migration",
		"DOCKER_HOST": "tcp://" + docker.Listener.Addr().String(),
		"GITLAB_CI":   "", // whose log would have colours
	}
	for name, value := range secrets {
		if name != "the ECR token" {
			w.env[name] = value
		}
	}
	return w
}

// closingServer closes each connection after its response: an open one would stop the clock of a synctest bubble.
func closingServer(t *testing.T, handler http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.SetKeepAlivesEnabled(false)
	server.Config.ReadHeaderTimeout = 10 * time.Second // of a connection without a request, which a client may leave, too
	server.Start()
	t.Cleanup(server.Close)
	return server
}

func amazonAnswers() map[string]http.HandlerFunc {
	manifest := aManifest(1)
	id := map[string]string{"imageDigest": digest.FromString(manifest).String(), "imageTag": "1.2"}
	token := base64.StdEncoding.EncodeToString([]byte("AWS:" + secrets["the ECR token"]))
	answers := map[string]http.HandlerFunc{
		"GetCallerIdentity": callerIs(account),
		"GetAuthorizationToken": ecrAnswer(http.StatusOK, map[string]any{"authorizationData": []any{map[string]any{
			"authorizationToken": token, "proxyEndpoint": "https://" + sourceHost, "expiresAt": 32503680000,
		}}}),
		"DescribeRepositories": ecrAnswer(http.StatusOK, map[string]any{"repositories": []any{map[string]string{
			"repositoryName": "team/app", "repositoryUri": sourceHost + "/team/app",
		}}}),
		"DescribeImages": ecrAnswer(http.StatusOK, map[string]any{"imageDetails": []any{map[string]any{
			"imageDigest": id["imageDigest"], "imageTags": []string{"1.2"}, "imageManifestMediaType": ocispec.MediaTypeImageManifest,
		}}}),
		"BatchGetImage": ecrAnswer(http.StatusOK, map[string]any{"images": []any{map[string]any{
			"imageId": id, "imageManifest": manifest, "imageManifestMediaType": ocispec.MediaTypeImageManifest,
		}}}),
	}
	return answers
}

// engineAnswers are the responses of an engine with the containerd store.
func engineAnswers(pushed func() bool) map[string]http.HandlerFunc {
	image := digest.FromString(aManifest(1))
	source := sourceHost + "/team/app@" + image.String()
	done := func(http.ResponseWriter, *http.Request) {}
	return map[string]http.HandlerFunc{
		infoPath: jsonAnswer(http.StatusOK, system.Info{
			ServerVersion: "29.0.0", DriverStatus: [][2]string{{"driver-type", "io.containerd.snapshotter.v1"}},
		}),
		authPath:                          jsonAnswer(http.StatusOK, registry.AuthenticateOKBody{Status: "Login Succeeded"}),
		pullPath:                          stream(status("Digest: " + image.String())),
		pushPath:                          stream(status("1.2: digest: " + image.String() + " size: 123")),
		inspectPath:                       jsonAnswer(http.StatusOK, map[string]any{}),
		loadPath:                          stream(`{"stream":"Loaded image"}`),
		prunePath:                         jsonAnswer(http.StatusOK, map[string]any{}),
		"POST /images/" + source + "/tag": done,
		removePath:                        jsonAnswer(http.StatusOK, []any{}),
		"DELETE /images/" + source:        jsonAnswer(http.StatusOK, []any{}),
		resolvePath: func(w http.ResponseWriter, r *http.Request) {
			if !pushed() {
				problem(http.StatusNotFound, "manifest unknown")(w, r)
				return
			}
			jsonAnswer(http.StatusOK, registry.DistributionInspect{Descriptor: ocispec.Descriptor{Digest: image}})(w, r)
		},
	}
}

// run runs the program, and checks that it prints no secrets.
func (w *world) run(ctx context.Context, t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	awsEnv(t, "", w.env)
	var out, errors bytes.Buffer
	code = run(ctx, args, processEnv(), &out, &errors)
	reports := w.reports(t)
	for name, secret := range secrets {
		forms := []string{
			secret, base64.StdEncoding.EncodeToString([]byte(secret)),
			base64.StdEncoding.EncodeToString([]byte("AWS:" + secret)), base64.StdEncoding.EncodeToString([]byte("gitlab-ci-token:" + secret)),
			base64.URLEncoding.EncodeToString([]byte(`{"username":"AWS","password":"` + secret))[:60],
			base64.URLEncoding.EncodeToString([]byte(`{"username":"gitlab-ci-token","password":"` + secret))[:72],
		}
		for _, form := range forms {
			if strings.Contains(out.String()+errors.String(), form) {
				t.Errorf("%s is in the output:\n%s%s", name, &out, &errors)
			}
			for file, text := range reports {
				if strings.Contains(text, form) {
					t.Errorf("%s is in %s:\n%s", name, file, text)
				}
			}
		}
	}
	return code, out.String(), errors.String()
}

// runAtOnce is run on the clock of a synctest bubble, where the waits between retries take no time.
func (w *world) runAtOnce(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { code, stdout, stderr = w.run(t.Context(), t, args...) })
	return code, stdout, stderr
}

// reports returns the report files by name.
func (w *world) reports(t *testing.T) map[string]string {
	t.Helper()
	reports := map[string]string{}
	for _, name := range []string{"report.json", "junit.xml", "report.html", "references.csv"} {
		text, err := os.ReadFile(filepath.Join(w.env["MIGRATE_REPORT_DIR"], name))
		if err == nil {
			reports[name] = string(text)
		}
	}
	return reports
}

func (w *world) contacted() bool { return len(w.amazon.calls) > 0 || len(w.daemon.requests) > 0 }

// assertParts checks that the text contains each part, in this order.
func assertParts(t *testing.T, name, text string, parts ...string) {
	t.Helper()
	rest := text
	for _, part := range parts {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Errorf("%q is not in %s, or not at its place:\n%s", part, name, text)
		}
		rest = after
	}
	if len(parts) == 0 && text != "" {
		t.Errorf("%s is not empty:\n%s", name, text)
	}
}

func TestCommandLine(t *testing.T) {
	missing := map[string]string{"AWS_ACCOUNT_ID": "", "CI_REGISTRY_IMAGE": "", "CI_REGISTRY_PASSWORD": "", "MIGRATE_CONCURRENCY": "many"}
	config := []string{
		"ecr2gitlab: the configuration is invalid; nothing was changed\n",
		"  - AWS_ACCOUNT_ID: missing", "\n  - CI_REGISTRY_IMAGE: missing", "\n  - CI_REGISTRY_PASSWORD: missing",
		"\n  - MIGRATE_CONCURRENCY \"many\": must be a whole number",
	}
	help := []string{"ecr2gitlab copies images", "ecr2gitlab migrate", "ecr2gitlab plan", "ecr2gitlab verify", "Exit codes: 0 "}
	tests := []struct {
		args           []string
		env            map[string]string
		code           int
		stdout, stderr []string
	}{
		{[]string{"help"}, missing, exitDone, help, nil},
		{[]string{"-h"}, missing, exitDone, help, nil},
		{[]string{"--help"}, missing, exitDone, help, nil},
		{[]string{"version"}, missing, exitDone, []string{"ecr2gitlab 1.2.3 (0123abc)\n"}, nil},
		{[]string{"--version"}, missing, exitDone, []string{"ecr2gitlab 1.2.3 (0123abc)\n"}, nil},
		{[]string{"plan", "-h"}, missing, exitDone, help, nil},
		{[]string{"migrat"}, nil, exitConfig, nil, []string{`ecr2gitlab: unknown command "migrat" (did you mean "migrate"?): see ecr2gitlab help`}},
		{[]string{""}, nil, exitConfig, nil, []string{`unknown command ""`}},
		{[]string{"\x1b[2J"}, nil, exitConfig, nil, []string{`unknown command "\x1b[2J"`}},
		{[]string{"migrate", "team/app"}, nil, exitConfig, nil, []string{`migrate: unexpected argument "team/app" (configuration comes from environment variables): see ecr2gitlab help`}},
		{[]string{"help", "migrate"}, nil, exitConfig, nil, []string{`help: unexpected argument "migrate"`}},
		{[]string{"migrate", "--pull", "3"}, nil, exitConfig, nil, []string{`migrate: flag provided but not defined: -pull: see`}},
		{[]string{"verify", "--pull", "all"}, nil, exitConfig, nil, []string{`verify: invalid value "all" for flag -pull: parse error: see`}},
		{nil, missing, exitConfig, nil, config},
		{[]string{"migrate"}, missing, exitConfig, nil, config},
		{[]string{"plan", "--within", "3h"}, missing, exitConfig, nil, config},
		{[]string{"verify", "--pull=3"}, missing, exitConfig, nil, config},
	}
	version, revision = "1.2.3", "0123abc"
	defer func() { version, revision = "dev", "" }()
	for _, test := range tests {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			w := newWorld(t, nil)
			maps.Copy(w.env, test.env)
			code, stdout, stderr := w.runAtOnce(t, test.args...)
			if code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			assertParts(t, "stdout", stdout, test.stdout...)
			assertParts(t, "stderr", stderr, test.stderr...)
			if w.contacted() {
				t.Errorf("contacted AWS with %v, the engine with %v", w.amazon.calls, w.daemon.requests)
			}
		})
	}
}

// Characters copied along with credentials are reported before anything is touched.
func TestPastedCredentials(t *testing.T) {
	names := []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "CI_REGISTRY_PASSWORD"}
	for ending, name := range map[string]string{"\n": "a line break", "\r": "a carriage return", " ": "a space"} {
		for _, variable := range names {
			t.Run(variable+" with "+name, func(t *testing.T) {
				w := newWorld(t, nil)
				w.env[variable] = "pasted-secret" + ending
				code, stdout, stderr := w.runAtOnce(t)
				if code != exitConfig || w.contacted() || strings.Contains(stdout+stderr, "pasted") {
					t.Errorf("exit code %d; contacted AWS with %v\n%s%s", code, w.amazon.calls, stdout, stderr)
				}
				assertParts(t, "stderr", stderr, "nothing was changed\n  - "+variable+": must not begin or end with white space (it ends with "+name+"); it is ")
				if lines := strings.Count(stderr, "\n"); lines != 2 {
					t.Errorf("%d lines:\n%s", lines, stderr)
				}
			})
		}
	}
}

// If credentials expire during a run, it ends with the cause: another job continues if it gets new ones automatically.
func TestCredentialsThatEnd(t *testing.T) {
	expired := ecrError("ExpiredTokenException", "The security token included in the request is expired")
	jobToken := map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": ""}
	// A role's session that is about to expire is renewed for each call, until the job's token has expired.
	endingSession := func() http.HandlerFunc {
		renewals := 0
		return func(w http.ResponseWriter, r *http.Request) {
			if renewals++; renewals > 2 {
				stsError("ExpiredTokenException", "Token expired")(w, r)
				return
			}
			assumedUntil(time.Now().Add(time.Minute))(w, r)
		}
	}
	for _, test := range []struct {
		name    string
		env     map[string]string
		answers map[string]http.HandlerFunc
		code    int
		says    []string
	}{
		{"a listing, of static keys", nil, map[string]http.HandlerFunc{"DescribeImages": expired}, exitFailed, []string{"set AWS_ACCESS_KEY_ID"}},
		{
			"manifests, of static keys", nil, map[string]http.HandlerFunc{"BatchGetImage": expired}, exitFailed,
			[]string{"ecr2gitlab: nothing more can be copied: ", "get manifests of team/app: ExpiredTokenException", "the session of AWS_SESSION_TOKEN has expired"},
		},
		{
			"a session that the job's token cannot renew any more", jobToken, map[string]http.HandlerFunc{"AssumeRoleWithWebIdentity": endingSession()},
			exitUnfinished, []string{"ExpiredTokenException: Token expired", "a new job gets a new token"},
		},
		{
			"the session alone", jobToken, map[string]http.HandlerFunc{
				"AssumeRoleWithWebIdentity": stsAnswer(http.StatusOK, assumed), "BatchGetImage": expired,
			}, exitUnfinished, []string{"nothing more can be copied", "a new job gets a new token"},
		},
	} {
		for _, command := range []string{"migrate", "plan", "verify"} {
			t.Run(command+": "+test.name, func(t *testing.T) {
				w := newWorld(t, test.answers)
				maps.Copy(w.env, test.env)
				code, stdout, stderr := w.run(t.Context(), t, command)
				if code != test.code {
					t.Errorf("exit code %d, want %d:\n%s%s", code, test.code, stdout, stderr)
				}
				assertParts(t, "stderr", stderr, test.says...)
			})
		}
	}
}

// If an account's key has been deleted, each image has its own short error, also in the report.
func TestImagesWithoutTheirKey(t *testing.T) {
	const images = 1000
	var details []any
	for i := range images {
		details = append(details, map[string]any{
			"imageDigest": digest.FromString(fmt.Sprint(i)), "imageTags": []string{fmt.Sprintf("build-%d", i)}, "imageManifestMediaType": ocispec.MediaTypeImageManifest,
		})
	}
	w := newWorld(t, map[string]http.HandlerFunc{
		"DescribeImages": ecrAnswer(http.StatusOK, map[string]any{"imageDetails": details}),
		"BatchGetImage": func(w http.ResponseWriter, r *http.Request) {
			var asked struct{ ImageIds []any }
			if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || len(asked.ImageIds) != 100 {
				t.Errorf("asked for %d images, %v", len(asked.ImageIds), err)
			}
			var failures []any
			for _, id := range asked.ImageIds {
				failures = append(failures, map[string]any{"imageId": id, "failureCode": "KmsError", "failureReason": "The KMS key is disabled"})
			}
			ecrAnswer(http.StatusOK, map[string]any{"failures": failures})(w, r)
		},
	})
	w.env["MIGRATE_REPORT_DIR"] = t.TempDir()
	code, stdout, _ := w.runAtOnce(t)
	report := w.reports(t)["report.json"]
	about := 0
	for line := range strings.Lines(stdout) {
		if strings.Contains(line, "build-") || strings.Contains(line, "KMS") || strings.Contains(line, "Kms") {
			about++
		}
	}
	if code != exitIncomplete || about == 0 || about >= 20 {
		t.Errorf("exit code %d, %d lines about them:\n%s", code, about, stdout)
	}
	if counted := reportOf(t, w.env["MIGRATE_REPORT_DIR"]).Counts["failed"]; counted != images || len(report) >= 1<<20 {
		t.Errorf("report.json has %d bytes and %d failed tags", len(report), counted)
	}
	t.Logf("%d lines, %d bytes", about, len(report))
}

// GitLab.com limits requests, so tags take longer there.
func TestPace(t *testing.T) {
	line := usage.Line{Rate: 50e6, Within: time.Hour}
	for registry, perTag := range map[string]time.Duration{"registry.gitlab.com": 900 * time.Millisecond, "registry.example.com": 0} {
		want := plan.Pace{Bytes: 50e6, PerTag: perTag, Within: time.Hour}
		if got := paceOf(Config{Registry: registry}, line); got != want {
			t.Errorf("%s: %+v, want %+v", registry, got, want)
		}
	}
}

func TestVersionOfABuildWithoutOne(t *testing.T) {
	if got := versionLine(); !strings.HasPrefix(got, "ecr2gitlab dev") {
		t.Errorf("got %s", got)
	}
}

func TestHelpIsTheReference(t *testing.T) {
	_, help, _ := newWorld(t, nil).run(t.Context(), t, "help")
	for _, v := range variables() {
		if v.Short == "" {
			continue // the AWS SDK's own, as the help says
		}
		line := regexp.MustCompile(`(?m)^(.) ` + v.Name + ` +(.*)$`).FindStringSubmatch(help)
		if line == nil {
			t.Errorf("%s is not in\n%s", v.Name, help)
			continue
		}
		want := v.Short
		if v.Default != "" {
			want += " (default " + v.Default + ")"
		}
		if (line[1] == "*") != v.Required || line[2] != want {
			t.Errorf("%+v is\n%s", v, line[0])
		}
	}
	_, exits, _ := strings.Cut(help, "Exit codes: ")
	assertParts(t, "the exit codes", exits, "0 ", "1 ", "2 ", "3 ", "130 ", "143 ")
	lines := strings.Split(help, "\n")
	for _, line := range lines {
		if len([]rune(line)) > 100 {
			t.Errorf("it needs %d columns for\n%s", len([]rune(line)), line)
		}
	}
	if len(lines) > 51 {
		t.Errorf("it needs %d lines", len(lines))
	}
	if !strings.HasSuffix(help, ".\n") || strings.HasSuffix(help, "\n\n") {
		t.Errorf("it ends with %q", help[len(help)-10:])
	}
}

// If the tutorial's own variable makes a current dind keep the classic store, the log begins with the line to change.
func TestClassicStoreOfACurrentEngine(t *testing.T) {
	for api, want := range map[string]bool{"1.52": true, "1.51": false} {
		w := newWorld(t, map[string]http.HandlerFunc{infoPath: jsonAnswer(http.StatusOK, system.Info{ServerVersion: "29.0.0", Driver: "overlay2"})})
		w.daemon.version = api
		w.env["DOCKER_DRIVER"] = "overlay2"
		_, stdout, _ := w.runAtOnce(t, "plan")
		if got := strings.Contains(stdout, `with the classic image store`+"\n        DOCKER_DRIVER=overlay2 makes it use"); got != want {
			t.Errorf("API %s:\n%s", api, stdout)
		}
	}
}

func TestMigration(t *testing.T) {
	loginRefused := func(host string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var asked registry.AuthConfig
			if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || asked.ServerAddress == host {
				problem(http.StatusUnauthorized, "unauthorized: HTTP Basic: Access denied")(w, r)
				return
			}
			jsonAnswer(http.StatusOK, registry.AuthenticateOKBody{Status: "Login Succeeded"})(w, r)
		}
	}
	loginFails := func(host, words string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var asked registry.AuthConfig
			if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || asked.ServerAddress == host {
				problem(http.StatusInternalServerError, words)(w, r)
				return
			}
			jsonAnswer(http.StatusOK, registry.AuthenticateOKBody{Status: "Login Succeeded"})(w, r)
		}
	}
	webIdentity := map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
	tests := []struct {
		name           string
		env            map[string]string
		changes        map[string]http.HandlerFunc
		code           int
		stdout, stderr []string
	}{
		{
			name: "everything arrives", code: exitDone,
			stdout: []string{
				"AWS: account 123456789012, arn:aws:iam::123456789012:user/ci\n", "Engine: Docker 29.0.0 at tcp://127.0.0.1:", "with the containerd image store\n",
				"ECR: logged in to " + sourceHost + "\n", "GitLab: logged in to registry.example.com as gitlab-ci-token\n", "1 of 1 tags are at registry.example.com/group/project",
			},
		},
		{
			name: "a tag that the target denies", code: exitIncomplete,
			changes: map[string]http.HandlerFunc{pushPath: stream(streamError("denied: requested access to the resource is denied"))},
			stdout:  []string{"0 of 1 tags are at", "team/app:1.2", "denied: requested access", "two levels below the project"},
		},
		{
			name: "an empty registry", code: exitDone,
			changes: map[string]http.HandlerFunc{"DescribeRepositories": ecrAnswer(http.StatusOK, map[string]any{"repositories": []any{}})},
			stdout:  []string{"ECR: 0 tags of 0 images in 0 repositories", "0 of 0 tags"},
		},
		{
			name: "one of two jobs", env: map[string]string{"CI_NODE_INDEX": "2", "CI_NODE_TOTAL": "2"}, code: exitDone,
			stdout: []string{"ECR: 1 tags of 1 images", "Share: job 2 of 2: 1 of 1 tags\n", "1 of 1 tags are at"},
		},
		{
			name: "the other", env: map[string]string{"CI_NODE_INDEX": "1", "CI_NODE_TOTAL": "2"}, code: exitDone,
			stdout: []string{"Share: job 1 of 2: 0 of 1 tags\n", "0 of 0 tags are at"},
		},
		{
			name: "another account's credentials", code: exitDone,
			changes: map[string]http.HandlerFunc{"GetCallerIdentity": callerIs("210987654321")},
			stdout:  []string{"AWS: account 210987654321", "does not belong to the account whose registry is migrated, 123456789012", "1 of 1 tags"},
		},
		{
			name: "keys that AWS refuses", code: exitFailed,
			changes: map[string]http.HandlerFunc{"GetCallerIdentity": stsError("InvalidClientTokenId", "The security token included in the request is invalid.")},
			stderr:  []string{"ecr2gitlab: cannot find out whose AWS credentials these are: InvalidClientTokenId", "AWS_SECRET_ACCESS_KEY"},
		},
		{
			name: "a job that the role does not trust", env: webIdentity, code: exitFailed,
			changes: map[string]http.HandlerFunc{"AssumeRoleWithWebIdentity": stsError("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")},
			stderr:  []string{"AccessDenied", "the trust policy of the role in AWS_ROLE_ARN"},
		},
		{
			name: "a token that the policy denies", code: exitFailed,
			changes: map[string]http.HandlerFunc{"GetAuthorizationToken": ecrError("AccessDeniedException", "no")},
			stdout:  []string{"Engine: Docker 29.0.0"},
			stderr:  []string{"cannot get a token for the ECR registry", "must allow ecr:GetAuthorizationToken"},
		},
		{
			name: "a certificate that the engine does not trust", code: exitFailed,
			changes: map[string]http.HandlerFunc{authPath: loginFails(targetHost, `Get "https://`+targetHost+`/v2/": tls: failed to verify certificate: x509: certificate signed by unknown authority`)},
			stderr:  []string{"the engine cannot log in to the GitLab registry registry.example.com", "x509", "/etc/docker/certs.d/registry.example.com/ca.crt"},
		},
		{
			name: "a registry without TLS", code: exitFailed,
			changes: map[string]http.HandlerFunc{authPath: loginFails(sourceHost, `Get "https://`+sourceHost+`/v2/": http: server gave HTTP response to HTTPS client`)},
			stderr:  []string{"the engine cannot log in to the ECR registry " + sourceHost, "HTTP response", "--insecure-registry=" + sourceHost},
		},
		{
			name: "a proxy that does not let the engine connect", code: exitFailed,
			changes: map[string]http.HandlerFunc{authPath: loginFails(sourceHost, `Get "https://`+sourceHost+`/v2/": Forbidden`)},
			stdout:  []string{"logging in to " + sourceHost + " again, because of: "},
			stderr:  []string{"the engine cannot log in to the ECR registry " + sourceHost, "to " + sourceHost + ": allow that in the proxy", "docker:dind service"},
		},
		{
			name: "a login that ECR refuses", code: exitFailed,
			changes: map[string]http.HandlerFunc{authPath: loginRefused(sourceHost)},
			stdout:  []string{"Engine: Docker 29.0.0"},
			stderr:  []string{"the ECR registry " + sourceHost + " refuses the login", "Access denied", "AWS_ACCOUNT_ID and the region"},
		},
		{
			name: "a login that GitLab refuses", code: exitFailed,
			changes: map[string]http.HandlerFunc{authPath: loginRefused(targetHost)},
			stdout:  []string{"ECR: logged in"},
			stderr:  []string{"the GitLab registry registry.example.com refuses the login of gitlab-ci-token", "Access denied", "CI_REGISTRY_PASSWORD"},
		},
		{
			name: "a listing that the policy denies", code: exitFailed,
			changes: map[string]http.HandlerFunc{"DescribeRepositories": ecrError("AccessDeniedException", "no")},
			stdout:  []string{"GitLab: logged in"},
			stderr:  []string{"cannot list the repositories", "must allow ecr:DescribeRepositories"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, test.changes)
			maps.Copy(w.env, test.env)
			code, stdout, stderr := w.runAtOnce(t)
			if code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			if test.stdout != nil {
				assertParts(t, "stdout", stdout, test.stdout...)
			}
			assertParts(t, "stderr", stderr, test.stderr...)
		})
	}
}

// A login that has not reached its registry is not about the credentials, whatever stands in its way.
func TestLoginError(t *testing.T) {
	const host, refused = "registry.example.com", "the ECR registry registry.example.com refuses the login: "
	for words, want := range map[string]string{
		`Get "https://registry.example.com/v2/": dial tcp 192.0.2.1:443: connect: permission denied`:                     "the engine cannot reach the ECR registry " + host,
		`Get "https://registry.example.com/v2/": proxyconnect tcp: tls: first record does not look like a TLS handshake`: "the engine cannot reach the ECR registry " + host,
		"login attempt to https://registry.example.com/v2/ failed with status: 503 Service Unavailable":                  refused,
		"unauthorized: HTTP Basic: Access denied":                                                                        refused,
	} {
		remedy := "another token"
		if want != refused {
			remedy = docker.ReachRemedy(host, true)
		}
		err := loginError(&engine{proxied: true}, "the ECR registry", host, "refuses the login", docker.Classify(errors.New(words)), "another token")
		if got := err.Error(); !strings.HasPrefix(got, want) || !strings.Contains(got, words) || !strings.HasSuffix(got, "\n"+remedy) {
			t.Errorf("got %s", got)
		}
	}
}

// TestEachRegistryGetsItsOwnCredentials checks the credentials that the engine gets for each call of an entire run.
func TestEachRegistryGetsItsOwnCredentials(t *testing.T) {
	w := newWorld(t, nil)
	if code, _, stderr := w.runAtOnce(t); code != exitDone {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	ofECR := registry.AuthConfig{Username: "AWS", Password: secrets["the ECR token"], ServerAddress: sourceHost}
	ofGitLab := registry.AuthConfig{Username: "gitlab-ci-token", Password: secrets["CI_REGISTRY_PASSWORD"], ServerAddress: targetHost}
	for call, want := range map[string]registry.AuthConfig{pullPath: ofECR, pushPath: ofGitLab, resolvePath: ofGitLab} {
		asked := w.daemon.asked(call)
		if len(asked) == 0 {
			t.Errorf("no %s", call)
		}
		for _, request := range asked {
			if got := decodeAuth(t, request); got != want {
				t.Errorf("%s with %+v, want %+v", call, got, want)
			}
		}
	}
}

// TestNoEngine takes a minute on the clock of a synctest bubble.
func TestNoEngine(t *testing.T) {
	w := newWorld(t, nil)
	w.env["DOCKER_HOST"] = nobody
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		code, stdout, stderr := w.run(t.Context(), t)
		if waited := time.Since(began); code != exitFailed || waited != enginePatience {
			t.Errorf("exit code %d after %s", code, waited)
		}
		assertParts(t, "stdout", stdout, "AWS: account", "Engine: waiting for it at tcp://127.0.0.1:1, for up to 1m0s\n")
		assertParts(t, "stderr", stderr, "ecr2gitlab: no Docker Engine answers at tcp://127.0.0.1:1 (tried for 1m0s)", "The usual causes:\n  - ")
	})
}

func TestInterruptedRun(t *testing.T) {
	tests := []struct {
		name   string
		at     string // the call during which the signal comes; "": before the run
		stdout []string
	}{
		{"before the run", "", nil},
		{"at the first call", "GetCallerIdentity", nil},
		{"at the engine", infoPath, []string{"AWS: account"}},
		{"at a login", authPath, []string{"Engine: Docker"}},
		{"while it lists", "DescribeImages", []string{"GitLab: logged in"}},
		{"during a pull", pullPath, []string{"ECR: 1 tags", "not started   team/app:1.2", "0 of 1 tags are at", "1  not started"}},
		{"during a push", pushPath, []string{"ECR: 1 tags", "not started   team/app:1.2", "0 of 1 tags are at", "1  not started"}},
	}
	for signal, want := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		for _, test := range tests {
			t.Run(signal.String()+" "+test.name, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				if test.at == "" {
					cancel(interrupt.Error{Signal: signal})
				}
				w := newWorld(t, map[string]http.HandlerFunc{test.at: func(_ http.ResponseWriter, r *http.Request) {
					cancel(interrupt.Error{Signal: signal})
					<-r.Context().Done()
				}})
				code, stdout, stderr := w.run(ctx, t)
				if said := "ecr2gitlab: interrupted by " + unix.SignalName(signal) + "\n"; code != want || stderr != said {
					t.Errorf("exit code %d, want %d; stderr:\n%s", code, want, stderr)
				}
				if test.stdout != nil {
					assertParts(t, "stdout", stdout, test.stdout...)
				}
			})
		}
	}
}

// reportOf parses the parts of report.json that main decides.
func reportOf(t *testing.T, dir string) (r struct {
	Program, Target, Error string
	Finished               bool
	Ended                  time.Time
	Counts                 map[string]int
}) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// However a run ends, its report says so.
func TestReport(t *testing.T) {
	tests := []struct {
		name    string
		at      string // the call during which a signal comes
		changes map[string]http.HandlerFunc
		outcome string
		says    string
	}{
		{"finished", "", nil, "exact", ""},
		{"one failed", "", map[string]http.HandlerFunc{pushPath: stream(streamError("denied"))}, "failed", ""},
		{"interrupted", pullPath, nil, "not started", "interrupted by SIGTERM"},
		{"interrupted before there is a plan", authPath, nil, "", "interrupted by SIGTERM"},
		{"nothing could be listed", "", map[string]http.HandlerFunc{
			"DescribeRepositories": ecrError("AccessDeniedException", "no"),
		}, "", "cannot list the repositories"},
		{"refused by AWS", "", map[string]http.HandlerFunc{
			"GetCallerIdentity": stsError("InvalidClientTokenId", "no"),
		}, "", "InvalidClientTokenId"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			changes := map[string]http.HandlerFunc{test.at: func(_ http.ResponseWriter, r *http.Request) {
				cancel(interrupt.Error{Signal: syscall.SIGTERM})
				<-r.Context().Done()
			}}
			maps.Copy(changes, test.changes)
			w := newWorld(t, changes)
			dir := t.TempDir()
			w.env["MIGRATE_REPORT_DIR"] = dir
			w.run(ctx, t)
			r := reportOf(t, dir)
			if r.Finished != (test.says == "") || !strings.Contains(r.Error, test.says) || r.Ended.IsZero() {
				t.Errorf("%+v", r)
			}
			if test.outcome != "" && r.Counts[test.outcome] != 1 {
				t.Errorf("%v, want one %s", r.Counts, test.outcome)
			}
			if r.Program != versionLine() || r.Target != "registry.example.com/group/project" {
				t.Errorf("%+v", r)
			}
		})
	}
}

// classicWorld is a world whose engine has the classic store, which pushes its only image with another digest.
func classicWorld(t *testing.T) *world {
	t.Helper()
	manifest := `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageManifest + `","config":{"mediaType":"` +
		ocispec.MediaTypeImageConfig + `","size":2,"digest":"` + digest.FromString("{}").String() + `"},"layers":[]}`
	image, changed := digest.FromString(manifest), digest.FromString("compressed again")
	source := sourceHost + "/team/app@" + image.String()
	var w *world
	w = newWorld(t, map[string]http.HandlerFunc{
		"DescribeImages": ecrAnswer(http.StatusOK, map[string]any{"imageDetails": []any{map[string]any{
			"imageDigest": image, "imageTags": []string{"1.2"}, "imageManifestMediaType": ocispec.MediaTypeImageManifest,
		}}}),
		"BatchGetImage": ecrAnswer(http.StatusOK, map[string]any{"images": []any{map[string]any{
			"imageId": map[string]any{"imageDigest": image}, "imageManifest": manifest, "imageManifestMediaType": ocispec.MediaTypeImageManifest,
		}}}),
		infoPath: jsonAnswer(http.StatusOK, system.Info{ServerVersion: "20.10.24", Driver: "overlay2"}),
		pullPath: stream(status("Digest: " + image.String())),
		pushPath: stream(status("1.2: digest: " + changed.String() + " size: 123")),
		"GET /distribution/" + source + "/json": jsonAnswer(http.StatusOK, registry.DistributionInspect{
			Descriptor: ocispec.Descriptor{Digest: image}, Platforms: []ocispec.Platform{{OS: "linux", Architecture: "amd64"}},
		}),
		"GET /distribution/" + sourceHost + "/team/app@" + changed.String() + "/json": problem(http.StatusNotFound, "manifest unknown"),
		resolvePath: func(rw http.ResponseWriter, r *http.Request) {
			if len(w.daemon.asked(pushPath)) == 0 {
				problem(http.StatusNotFound, "manifest unknown")(rw, r)
				return
			}
			jsonAnswer(http.StatusOK, registry.DistributionInspect{Descriptor: ocispec.Descriptor{Digest: changed}})(rw, r)
		},
		"POST /images/" + source + "/tag": func(http.ResponseWriter, *http.Request) {},
		"DELETE /images/" + source:        jsonAnswer(http.StatusOK, []any{}),
	})
	return w
}

// With the classic store, a second run relies on the report to know that nothing is left to do.
func TestSecondRunGoesOnFromTheReport(t *testing.T) {
	w := classicWorld(t)
	dir := t.TempDir()
	w.env["MIGRATE_REPORT_DIR"] = dir
	for _, outcome := range []string{"changed", "present"} {
		code, stdout, stderr := w.runAtOnce(t)
		if r := reportOf(t, dir); code != exitDone || r.Counts[outcome] != 1 {
			t.Errorf("exit code %d, want one %s:\n%s%s", code, outcome, stdout, stderr)
		}
	}
	if pushes := w.daemon.asked(pushPath); len(pushes) != 1 {
		t.Errorf("%d pushes", len(pushes))
	}
}

// A folder that cannot hold the report is detected before anything is touched.
func TestReportFolder(t *testing.T) {
	w := newWorld(t, nil)
	w.env["MIGRATE_REPORT_DIR"] = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(w.env["MIGRATE_REPORT_DIR"], nil, 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := w.runAtOnce(t)
	if code != exitConfig || w.contacted() {
		t.Errorf("exit code %d; contacted AWS with %v", code, w.amazon.calls)
	}
	assertParts(t, "stderr", stderr, "nothing was changed", "MIGRATE_REPORT_DIR", w.env["MIGRATE_REPORT_DIR"], "not a directory")
}

// A report that cannot be written is reported at the end, and does not affect the migration.
func TestReportThatCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "report")
	w := newWorld(t, map[string]http.HandlerFunc{authPath: func(rw http.ResponseWriter, r *http.Request) {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
		jsonAnswer(http.StatusOK, registry.AuthenticateOKBody{Status: "Login Succeeded"})(rw, r)
	}})
	w.env["MIGRATE_REPORT_DIR"] = dir
	code, stdout, stderr := w.runAtOnce(t)
	if code != exitDone {
		t.Errorf("exit code %d", code)
	}
	assertParts(t, "stdout", stdout, "1 of 1 tags are at")
	assertParts(t, "stderr", stderr, "ecr2gitlab: report.json cannot be written")
}
