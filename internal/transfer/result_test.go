package transfer

import (
	"errors"
	"strings"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/docker"
)

// What is known exactly has a remedy of its own, at whatever step; a denial has the step's.
func TestRemedyOfAnEnginesError(t *testing.T) {
	for _, test := range []struct {
		step  Step
		words string
		want  string
	}{
		{StepPush, `error from registry: tag is immutable - tag "v1" is immutable`, "makes it immutable"},
		{StepPush, "error from registry: manifest invalid - unknown media type: application/vnd.wasm.config.v0+json", "application/vnd.wasm.config.v0+json"},
		{StepPull, "unexpected status from GET request to https://prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com/a: 403 Forbidden", "s3:GetObject on arn:aws:s3:::prod-eu-west-1-starport-layer-bucket/*"},
		{StepVerify, `Head "https://r:5000/v2/": x509: certificate signed by unknown authority`, "/etc/docker/certs.d/r:5000/ca.crt"},
		{StepPush, "denied: requested access to the resource is denied", "below Developer"},
		{StepPull, "denied: not yours", "ecr:BatchGetImage"},
		{StepPull, "write /var/lib/docker/x: no space left on device", "nothing else was in the engine"},
		{StepPush, "write /var/lib/registry/x: no space left on device", "or of GitLab's registry"},
		{StepPush, "nobody knows", ""},
	} {
		var failed *StepError
		err := FailedAt(test.step, "ref", docker.Classify(errors.New(test.words)))
		if !errors.As(err, &failed) || !strings.Contains(failed.Remedy, test.want) || test.want == "" && failed.Remedy != "" {
			t.Errorf("%s: %s\nhas the remedy %q, want %q in it", test.step, test.words, failed.Remedy, test.want)
		}
	}
}

// An image that comes once more for a failed push is not alone in the engine.
func TestRemedyOfAFullDiskAmongOthers(t *testing.T) {
	full := FailedAt(StepPull, "ref", docker.Classify(errors.New("no space left on device")))
	var failed *StepError
	if err := crowded(full); !errors.As(err, &failed) || !strings.Contains(failed.Remedy, "run again") {
		t.Errorf("%+v", failed)
	}
	denied := FailedAt(StepPull, "ref", docker.Classify(errors.New("denied: not yours")))
	if err := crowded(denied); !errors.As(err, &failed) || !strings.Contains(failed.Remedy, "ecr:BatchGetImage") {
		t.Errorf("%+v", failed)
	}
}

// A push that fails is made once more with all content only where that may have been the reason.
func TestLacking(t *testing.T) {
	w := &workspace{trusted: true}
	for words, want := range map[string]bool{
		"nobody knows": true,
		"error from registry: blob unknown to registry - sha256:" + strings.Repeat("0", 64):               true,
		"error from registry: manifest invalid - unknown media type: application/vnd.wasm.config.v0+json": false,
		`error from registry: tag is immutable - tag "v1" is immutable`:                                   false,
		"unexpected status from POST request to https://r/v2/a/blobs/uploads/: 405 Method Not Allowed":    false,
		"denied: requested access to the resource is denied":                                              false,
	} {
		if got := w.lacking(FailedAt(StepPush, "ref", docker.Classify(errors.New(words)))); got != want {
			t.Errorf("%q: %t", words, got)
		}
	}
}
