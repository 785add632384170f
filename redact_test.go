package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/registry"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/ecr"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/usage"
)

// sentSecrets returns everything in a request that a proxy may quote: its headers, raw and decoded, and its body.
func sentSecrets(r *http.Request) string {
	var said strings.Builder
	_ = r.Header.Write(&said)
	body, _ := io.ReadAll(r.Body)
	decoded, _ := base64.URLEncoding.DecodeString(r.Header.Get(registry.AuthHeader))
	fmt.Fprintf(&said, "\n%s\n%s\n", body, decoded)
	if auth, err := registry.DecodeAuthConfig(r.Header.Get(registry.AuthHeader)); err == nil {
		fmt.Fprintf(&said, "Basic %s\n", base64.StdEncoding.EncodeToString([]byte(auth.Username+":"+auth.Password)))
		fmt.Fprintf(&said, "https://%s:%s@registry", auth.Username, auth.Password)
	}
	return "you said " + said.String()
}

// echo returns a response that quotes the request.
func echo(answer func(words string) http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { answer(sentSecrets(r))(w, r) }
}

// TestEchoedSecretsAreHidden makes each recipient of a secret return it in an error.
func TestEchoedSecretsAreHidden(t *testing.T) {
	refused := echo(func(words string) http.HandlerFunc { return problem(http.StatusInternalServerError, words) })
	denied := echo(func(words string) http.HandlerFunc { return problem(http.StatusUnauthorized, words) })
	inStream := echo(func(words string) http.HandlerFunc { return stream(status("Preparing"), streamError(words)) })
	page := echo(func(words string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, "<html>"+words+"</html>")
		}
	})
	ofECR := echo(func(words string) http.HandlerFunc { return ecrError("InvalidSignatureException", words) })
	ofSTS := echo(func(words string) http.HandlerFunc {
		return stsError("SignatureDoesNotMatch", html.EscapeString(words))
	})
	tests := []struct {
		name, call string
		answer     http.HandlerFunc
		env        map[string]string
	}{
		{name: "login", call: authPath, answer: refused},
		{name: "login denied", call: authPath, answer: denied},
		{name: "pull", call: pullPath, answer: refused},
		{name: "pull, in the stream", call: pullPath, answer: inStream},
		{name: "pull, by a proxy", call: pullPath, answer: page},
		{name: "push", call: pushPath, answer: denied},
		{name: "push, in the stream", call: pushPath, answer: inStream},
		{name: "push, by a proxy", call: pushPath, answer: page},
		{name: "resolve", call: resolvePath, answer: refused},
		{name: "AWS's identity", call: "GetCallerIdentity", answer: ofSTS},
		{name: "ECR's token", call: "GetAuthorizationToken", answer: ofECR},
		{name: "a listing", call: "DescribeRepositories", answer: ofECR},
		{
			name: "the job's token", call: "AssumeRoleWithWebIdentity", answer: ofSTS,
			env: map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, map[string]http.HandlerFunc{test.call: test.answer})
			for name, value := range test.env {
				w.env[name] = value
			}
			w.env["MIGRATE_REPORT_DIR"] = t.TempDir()
			code, stdout, stderr := w.runAtOnce(t) // which looks for secrets
			texts := w.reports(t)
			delete(texts, "references.csv") // which has no errors
			for name, text := range texts {
				if !strings.Contains(text, "you said ") || !strings.Contains(text, redact.Hidden) {
					t.Errorf("%s does not say why:\n%s", name, text)
				}
			}
			if code == exitDone || !strings.Contains(stdout+stderr, "you said ") || !strings.Contains(stdout+stderr, redact.Hidden) {
				t.Errorf("exit code %d:\n%s%s", code, stdout, stderr)
			}
		})
	}
}

// TestSignedURLsAreHidden makes an engine quote the URL of a layer, as it does when the bucket rejects it or
// disconnects.
func TestSignedURLsAreHidden(t *testing.T) {
	const bucket = "https://prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com/1a2b/layer"
	words := "unexpected status from GET request to " + bucket + "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ASIAEXAMPLE" +
		"%2F20261128&X-Amz-Security-Token=IQoJb3JpZ2lu&X-Amz-Signature=0123456789abcdef: 403 Forbidden"
	tests := []struct {
		name, call string
		answer     http.HandlerFunc
	}{
		{"pull", pullPath, problem(http.StatusInternalServerError, words)},
		{"pull, in the stream", pullPath, stream(status("Preparing"), streamError(words))},
		{"pull, cause known", pullPath, stream(status("Preparing"), streamError(words+": no space left on device"))},
		{"push", pushPath, stream(status("Preparing"), streamError(words))},
		{"resolve", resolvePath, problem(http.StatusInternalServerError, words)},
		{"a listing", "DescribeRepositories", ecrError("ServerException", words)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, map[string]http.HandlerFunc{test.call: test.answer})
			w.env["MIGRATE_REPORT_DIR"] = t.TempDir()
			code, stdout, stderr := w.runAtOnce(t)
			texts := w.reports(t)
			delete(texts, "references.csv") // which has no errors
			texts["output"] = stdout + stderr
			for name, text := range texts {
				if !strings.Contains(text, bucket) {
					t.Errorf("%s does not say where the layer is (exit code %d):\n%s", name, code, text)
				}
				for _, part := range []string{"X-Amz-", "ASIAEXAMPLE", "IQoJb3JpZ2lu", "0123456789abcdef"} {
					if strings.Contains(text, part) {
						t.Errorf("%s shows %s:\n%s", name, part, text)
					}
				}
			}
		})
	}
}

// TestRoleCredentialsAreHidden: those from STS are in no variable.
func TestRoleCredentialsAreHidden(t *testing.T) {
	w := newWorld(t, map[string]http.HandlerFunc{
		"AssumeRoleWithWebIdentity": stsAnswer(http.StatusOK, strings.ReplaceAll(assumed, ">session<", ">session-of-the-role<")),
		"DescribeRepositories":      echo(func(words string) http.HandlerFunc { return ecrError("InvalidSignatureException", words) }),
	})
	w.env["AWS_ACCESS_KEY_ID"], w.env["AWS_SECRET_ACCESS_KEY"] = "", ""
	_, stdout, stderr := w.runAtOnce(t)
	if output := stdout + stderr; strings.Contains(output, "session-of-the-role") || !strings.Contains(output, "X-Amz-Security-Token: "+redact.Hidden) {
		t.Errorf("got %s", output)
	}
}

func TestRedactorLetsShortWordsPass(t *testing.T) {
	const line = "1 of 1 tags are at registry.example.com\n"
	var out bytes.Buffer
	if n, err := io.WriteString(secretsOf(jobWith(map[string]string{"CI_REGISTRY_PASSWORD": "tags"})).Writer(&out), line); n != len(line) || err != nil || out.String() != line {
		t.Errorf("%d bytes, %v: %q", n, err, &out)
	}
}

// panics are values that contain secrets, and end a program with all that the runtime prints of them.
func panics(cfg Config) map[string]any {
	auth := ecr.RegistryAuth{Username: "AWS", Password: cfg.RegistryPassword}
	return map[string]any{
		"configuration":           cfg,
		"its address":             &cfg,
		"secret":                  cfg.RegistryPassword,
		"login to AWS":            cfg.login(),
		"ECR's credentials":       auth,
		"message":                 fmt.Sprintf("%v %+v %#v %s", cfg, auth, &cfg, cfg.login()),
		"error":                   fmt.Errorf("with %+v: %w", auth, errors.ErrUnsupported),
		"joined errors":           errors.Join(fmt.Errorf("%q", cfg.RegistryPassword), fmt.Errorf("%v", []any{cfg, auth})),
		"what a redactor knows":   secretsOf(usage.Environment{"CI_REGISTRY_PASSWORD": string(cfg.RegistryPassword)}),
		"what an engine is given": registryAuth(cfg.targetAuth),
		"an engine's error":       docker.Classify(errors.New(`Get "https://bucket.example.com/layer?X-Amz-Signature=` + string(cfg.RegistryPassword) + `": EOF`)),
		"a bucket's refusal":      docker.Classify(errors.New(`unexpected status from GET request to https://bucket.example.com/layer?X-Amz-Signature=` + string(cfg.RegistryPassword) + `: 403 Forbidden`)),
	}
}

// TestPanicsShowNoSecret runs this test in a child process, which panics.
func TestPanicsShowNoSecret(t *testing.T) {
	const which = "ECR2GITLAB_TEST_PANIC"
	secret, token := "glcbt-secret", "header.payload.signature"
	cfg := Config{RegistryPassword: Secret(secret), WebIdentityToken: Secret(token), RegistryUser: "somebody"}
	if name := os.Getenv(which); name != "" {
		panic(panics(cfg)[name])
	}
	for name := range panics(cfg) {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		child.Env = append(os.Environ(), which+"="+name, "GOTRACEBACK=all")
		output, err := child.CombinedOutput()
		if err == nil || !bytes.Contains(output, []byte("panic: ")) || !bytes.Contains(output, []byte("goroutine ")) {
			t.Errorf("%s: no panic, %v:\n%s", name, err, output)
		}
		if bytes.Contains(output, []byte(secret)) || bytes.Contains(output, []byte(token)) {
			t.Errorf("%s: the panic shows a secret:\n%s", name, output)
		}
	}
}

func TestEachPasswordIsLearned(t *testing.T) {
	passwords := []string{"the first password\n", "the second one", "short"}
	hide := redact.New()
	for _, password := range passwords {
		header, err := learnedHeader(hide, registry.AuthConfig{Username: "somebody", Password: password})
		if err != nil {
			t.Fatal(err)
		}
		if got := hide.Text(header); got != redact.Hidden {
			t.Errorf("the header with %q is written as %s", password, got)
		}
	}
	if got := hide.Text(strings.Join(passwords, ", ")); got != redact.Hidden+"\n, "+redact.Hidden+", short" {
		t.Errorf("got %s", got)
	}
}
